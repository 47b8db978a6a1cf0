"""Degraded source pairs on which the student learns by itself."""

from . import compression, optics, scene, sensor
from .adversarial import AdversarialHardSampleGenerator
from .degradation import MODALITIES, STAGES, degradation
from .families import SEEN, UNSEEN, degrade_pair, known_degradations
from .generator import MIXED, HardSampleGenerator

__all__ = [
    'MIXED',
    'MODALITIES',
    'SEEN',
    'STAGES',
    'UNSEEN',
    'AdversarialHardSampleGenerator',
    'HardSampleGenerator',
    'degradation',
    'degrade_pair',
    'known_degradations',
]
