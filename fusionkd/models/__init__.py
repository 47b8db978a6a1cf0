"""Fusers, recognisers, distillers, losses and data preprocessors."""

from . import classifiers, distillers, fusers, losses
from .preprocessor import FusionPreprocessor

__all__ = ['FusionPreprocessor', 'classifiers', 'distillers', 'fusers', 'losses']
