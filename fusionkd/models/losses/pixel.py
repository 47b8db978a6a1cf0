"""Losses on intensities."""

import torch
from torch import Tensor, nn

from fusionkd.registry import MODELS


def mean_abs(difference: Tensor) -> Tensor:
    """Mean absolute value of each sample: ``(N, ...)`` to ``(N,)``."""
    return difference.abs().flatten(1).mean(1)


@MODELS.register_module()
class L1Loss(nn.Module):
    """Mean absolute difference between the fused image and a target."""

    def forward(self, fused: Tensor, target: Tensor) -> Tensor:
        """Scalar in [0, 1] of two ``(N, C, H, W)`` images in [0, 1], the mean of :meth:`per_sample`."""
        return self.per_sample(fused, target).mean()

    def per_sample(self, fused: Tensor, target: Tensor) -> Tensor:
        """``(N,)``; arguments as in :meth:`forward`."""
        return mean_abs(fused - target)


@MODELS.register_module()
class IntensityLoss(nn.Module):
    """Mean absolute difference to a pixel rule of the sources, the intensity term of most fusion papers.

    Args:
        rule: ``'max'`` (SeAFusion and later) or ``'mean'``. Default ``'max'``.

    Raises:
        ValueError: another rule.
    """

    def __init__(self, rule: str = 'max'):
        super().__init__()
        if rule not in ('max', 'mean'):
            raise ValueError(f"unknown rule {rule!r}; known: 'max', 'mean'")
        self.rule = rule

    def forward(self, fused: Tensor, ir: Tensor, vis: Tensor) -> Tensor:
        """Scalar in [0, 1] of three ``(N, 1, H, W)`` images in [0, 1], the mean of :meth:`per_sample`."""
        return self.per_sample(fused, ir, vis).mean()

    def per_sample(self, fused: Tensor, ir: Tensor, vis: Tensor) -> Tensor:
        """``(N,)``; arguments as in :meth:`forward`."""
        return mean_abs(fused - (torch.maximum(ir, vis) if self.rule == 'max' else (ir + vis) / 2))
