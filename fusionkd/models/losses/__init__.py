"""Losses. What a loss is given follows from the names of its ``forward`` arguments, see ``FusionDistiller``."""

from .distillation import FeatureLoss, RelationLoss, WeightMapKLD
from .fusion import FusionLoss
from .gradient import GradientLoss, JointGradientLoss
from .metric import MetricLoss
from .perceptual import PerceptualLoss
from .pixel import IntensityLoss, L1Loss
from .quality import QualityLoss
from .ssim import SSIMLoss

__all__ = [
    'FeatureLoss',
    'FusionLoss',
    'GradientLoss',
    'IntensityLoss',
    'JointGradientLoss',
    'L1Loss',
    'MetricLoss',
    'PerceptualLoss',
    'QualityLoss',
    'RelationLoss',
    'SSIMLoss',
    'WeightMapKLD',
]
