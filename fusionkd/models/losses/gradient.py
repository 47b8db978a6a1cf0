"""Losses on Sobel gradients."""

import torch
from torch import Tensor, nn

from fusionkd.ops import sobel
from fusionkd.registry import MODELS

from .pixel import mean_abs


def joint_gradient_loss(fused: Tensor, ir: Tensor, vis: Tensor) -> Tensor:
    """Distance of ``|Sobel|`` to the larger one of the sources, x and y apart (paper B, L_grad).

    Args:
        fused: ``(N, 1, H, W)``.
        ir: same shape and range.
        vis: same shape and range.

    Returns:
        ``(N,)``, the sum of the mean absolute differences along x and y.
    """
    with torch.no_grad():
        target = [torch.maximum(a.abs(), b.abs()) for a, b in zip(sobel(ir), sobel(vis), strict=True)]
    return sum(mean_abs(g.abs() - t) for g, t in zip(sobel(fused), target, strict=True))


@MODELS.register_module()
class JointGradientLoss(nn.Module):
    """Keep the stronger edge of the two sources, see :func:`joint_gradient_loss`."""

    def forward(self, fused: Tensor, ir: Tensor, vis: Tensor) -> Tensor:
        """Scalar >= 0 of three ``(N, 1, H, W)`` images in [0, 1], the mean of :meth:`per_sample`."""
        return self.per_sample(fused, ir, vis).mean()

    def per_sample(self, fused: Tensor, ir: Tensor, vis: Tensor) -> Tensor:
        """``(N,)``; arguments as in :meth:`forward`."""
        return joint_gradient_loss(fused, ir, vis)


@MODELS.register_module()
class GradientLoss(nn.Module):
    """Mean absolute difference of signed Sobel gradients to a target's: edges of the same place and polarity."""

    def forward(self, fused: Tensor, target: Tensor) -> Tensor:
        """Scalar >= 0 of two ``(N, C, H, W)`` images in [0, 1], the mean of :meth:`per_sample`."""
        return self.per_sample(fused, target).mean()

    def per_sample(self, fused: Tensor, target: Tensor) -> Tensor:
        """``(N,)``; arguments as in :meth:`forward`."""
        return sum(mean_abs(g) for g in sobel(fused - target))  # Sobel is linear
