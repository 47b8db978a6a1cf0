"""Fusers, recognisers, vision-language models, distillers, losses, policies with their discriminators and judges, and data preprocessors."""

from . import classifiers, discriminators, distillers, fusers, judges, losses, policies, vlms
from .preprocessor import FusionPreprocessor

__all__ = [
    'FusionPreprocessor',
    'classifiers',
    'discriminators',
    'distillers',
    'fusers',
    'judges',
    'losses',
    'policies',
    'vlms',
]
