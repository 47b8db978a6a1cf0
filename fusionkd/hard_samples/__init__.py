"""Degraded source pairs on which the student learns by itself."""

from . import degradations
from .generator import HardSampleGenerator

__all__ = ['HardSampleGenerator', 'degradations']
