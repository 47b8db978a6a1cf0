"""Fusers, recognisers, vision-language models, distillers, losses, policies, discriminators, judges and preprocessors."""

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
