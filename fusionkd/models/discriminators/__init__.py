"""Networks that tell a student's outputs from its teachers', one world a file."""

from .base import Discriminator
from .vision_language import VisionLanguageDiscriminator

__all__ = ['Discriminator', 'VisionLanguageDiscriminator']
