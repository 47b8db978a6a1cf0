"""Losses on features: what a student can learn from inside a teacher."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fusionkd.registry import MODELS


@MODELS.register_module()
class FeatureLoss(nn.Module):
    """Mean squared difference of features through a 1 x 1 adapter (FitNets, Romero et al., ICLR 2015).

    The adapter maps the student's channels to the teacher's. It is trained with the student and is no part of the
    student's file.
    """

    def __init__(self):
        super().__init__()
        self.adapter: nn.Module | None = None

    def bind(self, channels_s: int, channels_t: int) -> None:
        """Build the adapter; the distiller calls this once the tapped layers are known."""
        self.adapter = nn.Conv2d(channels_s, channels_t, 1)

    def forward(self, feat_s: Tensor, feat_t: Tensor) -> Tensor:
        """Scalar >= 0 of ``(N, C_s, h, w)`` and ``(N, C_t, H, W)``; the student's map is resized to the teacher's."""
        feat_s = self.adapter(feat_s)
        if feat_s.shape[-2:] != feat_t.shape[-2:]:
            feat_s = F.interpolate(feat_s, size=feat_t.shape[-2:], mode='bilinear', align_corners=False)
        return F.mse_loss(feat_s, feat_t)


@MODELS.register_module()
class RelationLoss(nn.Module):
    """Mean squared difference of the cosine similarities between places (pair-wise part of Liu et al., CVPR 2019).

    Needs no adapter: only how places of the image relate to each other is compared.

    Args:
        grid: features are averaged to ``grid x grid`` places first. Default 8.
    """

    def __init__(self, grid: int = 8):
        super().__init__()
        self.grid = grid

    def forward(self, feat_s: Tensor, feat_t: Tensor) -> Tensor:
        """Scalar in [0, 4] of ``(N, C_s, h, w)`` and ``(N, C_t, H, W)``."""
        return F.mse_loss(self._affinity(feat_s), self._affinity(feat_t))

    def _affinity(self, feat: Tensor) -> Tensor:
        places = F.normalize(F.adaptive_avg_pool2d(feat, self.grid).flatten(2), dim=1)
        return places.transpose(1, 2) @ places


@MODELS.register_module()
class WeightMapKLD(nn.Module):
    """Paper B's regulariser: divergence of ``N(mu, exp(logvar))`` from ``N(0, 1)``, mean over pixels.

    Tap the backbone of a :class:`WeightMapFuser`: ``dict(loss=dict(type='WeightMapKLD'), tap_s='backbone')``.
    """

    def forward(self, feat_s: Tensor) -> Tensor:
        """Scalar >= 0 of the backbone's two channels, ``(N, 2, H, W)``: mean before the sigmoid, log-variance."""
        mean, logvar = feat_s.split(1, dim=1)
        return -0.5 * torch.mean(1 + logvar - torch.sigmoid(mean).square() - logvar.exp())
