"""Fusion metrics as losses."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from fusionkd.evaluation import functional as fn
from fusionkd.registry import MODELS

_METRICS: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    'VIF': lambda ir, vis, fused: fn.vif(ir, vis, fused, data_range=1),
    'Qabf': lambda ir, vis, fused: fn.qabf(ir, vis, fused, data_range=1),
    'SSIM': lambda ir, vis, fused: fn.ssim(ir, vis, fused, data_range=1),
    'SCD': lambda ir, vis, fused: fn.scd(ir, vis, fused, data_range=1, undefined=0.0),
    'MI': lambda ir, vis, fused: fn.soft_mi(ir, vis, fused, data_range=1, bins=32),
}


@MODELS.register_module()
class MetricLoss(nn.Module):
    """``-metric``, mean over the batch (not from the papers).

    A raw metric can be hacked: VIF alone is doubled by invented contrast, SSIM alone is raised by dullness.
    :class:`QualityLoss` is the loss of several that pull against each other.

    Args:
        metric: ``'VIF'``, ``'Qabf'``, ``'SSIM'``, ``'SCD'`` or ``'MI'`` (soft histogram of 32 bins).

    Raises:
        ValueError: a metric that is not differentiable or does not exist; the message lists the known ones.
    """

    def __init__(self, metric: str):
        super().__init__()
        if metric not in _METRICS:
            raise ValueError(f'no differentiable metric {metric!r}; known: {", ".join(_METRICS)}')
        self.metric = metric

    def forward(self, fused: Tensor, ir: Tensor, vis: Tensor) -> Tensor:
        """Scalar of ``(N, 1, H, W)`` luma in [0, 1], at least 41 x 41 pixels; values outside are clipped.

        Raises:
            ValueError: colour images; use ``space='y'``.
        """
        check_luma(fused)
        # A metric subtracts nearly equal sums, hence double precision.
        images = (x.double().clamp(0, 1) for x in (ir, vis, fused))
        return -_METRICS[self.metric](*images).mean().to(torch.float32)


def check_luma(fused: Tensor) -> None:
    """Metrics compare luma.

    Raises:
        ValueError: more than one channel.
    """
    if fused.shape[1] != 1:
        raise ValueError(f"metric losses compare luma, got {fused.shape[1]} channels; give the term space='y'")
