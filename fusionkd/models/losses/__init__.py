"""Losses. What a loss is given follows from the names of its ``forward`` arguments, see ``FusionDistiller``.

A loss that is a mean over samples has ``per_sample`` with the arguments of ``forward``, ``(N,)``.
"""

from .distillation import AttentionTransferLoss, ChannelWiseLoss, FeatureLoss, MarginLoss, MaskedGenerativeLoss
from .encoder import EncoderLoss
from .frequency import FrequencyLoss, LaplacianBandLoss
from .fusion import FusionLoss
from .gradient import GradientLoss, JointGradientLoss
from .logits import ClassLoss, DISTLoss, DKDLoss, EmbeddingLoss, GIoULoss, KDLoss
from .metric import MetricLoss
from .perceptual import PerceptualLoss
from .pixel import IntensityLoss, L1Loss
from .quality import QualityLoss
from .recognition_rewards import AgreementPolicyLoss, AlignmentPolicyLoss, ConfidencePolicyLoss
from .relation import RelationalLoss, RelationLoss, SimilarityLoss
from .ssim import SSIMLoss
from .weight_map import WeightMapKLD, WeightMapLoss, WeightMapTapLoss

__all__ = [
    'AgreementPolicyLoss',
    'AlignmentPolicyLoss',
    'AttentionTransferLoss',
    'ChannelWiseLoss',
    'ClassLoss',
    'ConfidencePolicyLoss',
    'DISTLoss',
    'DKDLoss',
    'EmbeddingLoss',
    'EncoderLoss',
    'FeatureLoss',
    'FrequencyLoss',
    'FusionLoss',
    'GIoULoss',
    'GradientLoss',
    'IntensityLoss',
    'JointGradientLoss',
    'KDLoss',
    'L1Loss',
    'LaplacianBandLoss',
    'MarginLoss',
    'MaskedGenerativeLoss',
    'MetricLoss',
    'PerceptualLoss',
    'QualityLoss',
    'RelationLoss',
    'RelationalLoss',
    'SSIMLoss',
    'SimilarityLoss',
    'WeightMapKLD',
    'WeightMapLoss',
    'WeightMapTapLoss',
]
