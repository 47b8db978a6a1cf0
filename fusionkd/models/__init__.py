"""Fusers, distillers, losses and the data preprocessor."""

from . import distillers, fusers, losses
from .preprocessor import FusionPreprocessor

__all__ = ['FusionPreprocessor', 'distillers', 'fusers', 'losses']
