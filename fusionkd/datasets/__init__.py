"""Pairs of images in."""

from .paired import PairedFusionDataset
from .questions import SyntheticQuestions, VisualQuestions
from .recognition import CaptionList, ClassFolders, GroundingList
from .recognition_transforms import ColourJitter, LoadImage, PackRecognition, RandomResizedCrop, RandomSymmetry
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
    'CaptionList',
    'ClassFolders',
    'ColourJitter',
    'EndlessSampler',
    'GroundingList',
    'LoadImage',
    'LoadImagePair',
    'PackFusionInputs',
    'PackRecognition',
    'PairedFusionDataset',
    'PhotometricJitter',
    'RandomCropPair',
    'RandomFlipPair',
    'RandomResizedCrop',
    'RandomSymmetry',
    'SensorNoise',
    'SyntheticQuestions',
    'SyntheticScenes',
    'VisualQuestions',
]
