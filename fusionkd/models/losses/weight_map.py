"""Losses on weight maps: where a fusion takes infrared and where visible."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fusionkd.registry import MODELS

from .pixel import mean_abs


def project_weight_map(
    image: Tensor, ir: Tensor, vis: Tensor, window: int = 5, ridge: float = 1e-3
) -> tuple[Tensor, Tensor]:
    """Weight map that reproduces an image best: least squares in a window around every pixel (not from a paper).

    ``w = argmin sum over the window of (w ir + (1 - w) vis - image)^2 + ridge (w - 1/2)^2``. Where the sources are alike
    any weight reproduces the image; there the map tends to one half and its confidence to 0.

    Args:
        image: fused, ``(N, 1, H, W)``.
        ir: same shape, in [0, 1].
        vis: same shape, in [0, 1].
        window: side of the window in pixels, odd. Default 5.
        ridge: squared difference of the sources that counts as little. Default 0.001, eight grey levels.

    Returns:
        The share of infrared and its confidence in [0, 1), both ``(N, 1, H, W)``. The share is not clipped: it is above 1
        where the image goes beyond the infrared source, and below 0 beyond the visible one.
    """
    apart = ir - vis
    energy, product = (
        F.avg_pool2d(x, window, 1, window // 2, count_include_pad=False)
        for x in (apart.square(), apart * (image - vis))
    )
    return (product + ridge / 2) / (energy + ridge), energy / (energy + ridge)


@MODELS.register_module()
class WeightMapLoss(nn.Module):
    """Distance of the weight maps that reproduce the student's and the target's image best (not from a paper).

    Works for every network, as it looks at images only, see :func:`project_weight_map`. The teacher's map is clipped to
    [0, 1]; where it leaves the range, a student beyond the same end pays nothing. Each pixel counts by its confidence.

    Args:
        window: side of the least-squares window in pixels, odd. Default 5.
        ridge: squared difference of the sources below which a pixel counts little. Default 0.001.

    Raises:
        ValueError: an even or too small window, or a ridge that is not positive.
    """

    def __init__(self, window: int = 5, ridge: float = 1e-3):
        super().__init__()
        if window < 1 or window % 2 == 0 or ridge <= 0:
            raise ValueError(f'window must be odd and ridge positive, got window={window}, ridge={ridge}')
        self.window = window
        self.ridge = ridge

    def forward(self, fused: Tensor, target: Tensor, ir: Tensor, vis: Tensor) -> Tensor:
        """Scalar >= 0 of four ``(N, 1, H, W)`` images in [0, 1], the mean of :meth:`per_sample`."""
        return self.per_sample(fused, target, ir, vis).mean()

    def per_sample(self, fused: Tensor, target: Tensor, ir: Tensor, vis: Tensor) -> Tensor:
        """``(N,)``; arguments as in :meth:`forward`.

        Raises:
            ValueError: colour images; use ``space='y'``.
        """
        if fused.shape[1] != 1:
            raise ValueError(f"weight maps are of luma, got {fused.shape[1]} channels; give the term space='y'")
        student, confidence = project_weight_map(fused, ir, vis, self.window, self.ridge)
        teacher, _ = project_weight_map(target, ir, vis, self.window, self.ridge)
        difference = student - teacher.clamp(0, 1)
        difference = torch.where(teacher > 1, difference.clamp(max=0), difference)
        difference = torch.where(teacher < 0, difference.clamp(min=0), difference)
        return mean_abs(confidence * difference)


@MODELS.register_module()
class WeightMapTapLoss(nn.Module):
    """Mean absolute difference of two predicted weight maps (not from a paper).

    For a student and a teacher that are :class:`WeightMapFuser`: tap the backbone of both. For other networks use
    :class:`WeightMapLoss`.
    """

    def bind(self, channels_s: int, channels_t: int) -> None:
        """Check that what is tapped are backbones of weight-map fusers."""
        _check_map(self, channels_s, channels_t)

    def forward(self, feat_s: Tensor, feat_t: Tensor) -> Tensor:
        """Scalar in [0, 1] of two ``(N, 2, H, W)`` backbone outputs, the mean of :meth:`per_sample`."""
        return self.per_sample(feat_s, feat_t).mean()

    def per_sample(self, feat_s: Tensor, feat_t: Tensor) -> Tensor:
        """``(N,)``; arguments as in :meth:`forward`. Padding that only one of the networks needs is cut off."""
        h, w = (min(a, b) for a, b in zip(feat_s.shape[-2:], feat_t.shape[-2:], strict=True))
        return mean_abs(torch.sigmoid(feat_s[:, :1, :h, :w]) - torch.sigmoid(feat_t[:, :1, :h, :w]))


@MODELS.register_module()
class WeightMapKLD(nn.Module):
    """Paper B's regulariser: divergence of ``N(mu, exp(logvar))`` from ``N(0, 1)``, mean over pixels.

    Tap the backbone of a :class:`WeightMapFuser`: ``dict(loss=dict(type='WeightMapKLD'), tap_s='backbone')``.
    """

    def bind(self, channels_s: int, channels_t: int | None) -> None:
        """Check that what is tapped is the backbone of a weight-map fuser."""
        _check_map(self, channels_s)

    def forward(self, feat_s: Tensor) -> Tensor:
        """Scalar >= 0 of the backbone's two channels, ``(N, 2, H, W)``: mean before the sigmoid, log-variance."""
        return self.per_sample(feat_s).mean()

    def per_sample(self, feat_s: Tensor) -> Tensor:
        """``(N,)``; arguments as in :meth:`forward`."""
        mean, logvar = feat_s.split(1, dim=1)
        return -0.5 * (1 + logvar - torch.sigmoid(mean).square() - logvar.exp()).flatten(1).mean(1)


def _check_map(loss: nn.Module, *channels: int) -> None:
    if any(c != 2 for c in channels):
        raise ValueError(
            f'{type(loss).__name__} is for backbones of WeightMapFuser, which have 2 channels; the taps have {channels}'
        )
