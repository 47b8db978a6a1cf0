"""Pairs of images in."""

from .paired import PairedFusionDataset
from .sampler import EndlessSampler
from .synthetic import SyntheticScenes
from .transforms import (
    LoadImagePair,
    PackFusionInputs,
    PhotometricJitter,
    RandomCropPair,
    RandomFlipPair,
    SensorNoise,
)

__all__ = [
    'EndlessSampler',
    'LoadImagePair',
    'PackFusionInputs',
    'PairedFusionDataset',
    'PhotometricJitter',
    'RandomCropPair',
    'RandomFlipPair',
    'SensorNoise',
    'SyntheticScenes',
]
