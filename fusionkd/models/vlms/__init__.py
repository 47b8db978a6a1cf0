"""Vision-language models: networks that read a question about an image and write a text."""

from .base import BaseVLM
from .hub import HubVLM
from .tiny import TinyVLM

__all__ = ['BaseVLM', 'HubVLM', 'TinyVLM']
