"""Pairs of images in."""

from .paired import PairedFusionDataset
from .sampler import EndlessSampler
from .synthetic import SyntheticScenes
from .transforms import LoadImagePair, PackFusionInputs, PhotometricJitter, RandomCropPair, RandomFlipPair

__all__ = [
    'EndlessSampler',
    'LoadImagePair',
    'PackFusionInputs',
    'PairedFusionDataset',
    'PhotometricJitter',
    'RandomCropPair',
    'RandomFlipPair',
    'SyntheticScenes',
]
