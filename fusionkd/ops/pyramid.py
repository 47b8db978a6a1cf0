"""Laplacian pyramid with a fixed 5 x 5 Gaussian (sigma 1), the renderer of weight-map fusion.

Paper B (arXiv 2602.20851) fuses each of four Laplacian levels and the base with a resized weight map. Its filters and
zero padding are kept; the computation is ours: fusion is linear in the images, so one pyramid of ``ir - vis`` replaces
one pyramid each of ``ir`` and ``vis``.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from .filters import gaussian_kernel1d

_TAPS, _SIGMA = 5, 1.0


def _kernel(x: Tensor, gain: float = 1.0) -> Tensor:
    k = torch.tensor(gaussian_kernel1d(_TAPS, _SIGMA), dtype=x.dtype, device=x.device)
    return (gain * torch.outer(k, k)).expand(x.shape[1], 1, _TAPS, _TAPS)


def gaussian_downsample(x: Tensor) -> Tensor:
    """Blur and keep every second pixel: ``(N, C, H, W)`` to ``(N, C, ceil(H / 2), ceil(W / 2))``."""
    return F.conv2d(x, _kernel(x), stride=2, padding=_TAPS // 2, groups=x.shape[1])


def gaussian_upsample(x: Tensor, size: Sequence[int]) -> Tensor:
    """Insert zeros and blur with gain 4: ``(N, C, h, w)`` to ``(N, C, *size)``, ``size`` in {2h - 1, 2h} x {2w - 1, 2w}."""
    output_padding = [s - 2 * n + 1 for s, n in zip(size, x.shape[-2:], strict=True)]
    return F.conv_transpose2d(
        x, _kernel(x, 4.0), stride=2, padding=_TAPS // 2, output_padding=output_padding, groups=x.shape[1]
    )


def laplacian_pyramid(x: Tensor, levels: int) -> list[Tensor]:
    """``levels`` detail bands, finest first, and the Gaussian base as the last entry."""
    bands = []
    for _ in range(levels):
        low = gaussian_downsample(x)
        bands.append(x - gaussian_upsample(low, x.shape[-2:]))
        x = low
    return [*bands, x]


def reconstruct(bands: Sequence[Tensor]) -> Tensor:
    """Exact inverse of :func:`laplacian_pyramid`, up to rounding."""
    x = bands[-1]
    for band in reversed(bands[:-1]):
        x = gaussian_upsample(x, band.shape[-2:]) + band
    return x


def blend_pyramids(ir: Tensor, vis: Tensor, weight: Tensor | Sequence[Tensor], levels: int = 4) -> Tensor:
    """Fuse level by level: ``(1 - w) * vis + w * ir`` on each Laplacian band and on the base.

    Args:
        ir: ``(N, C, H, W)``.
        vis: same shape.
        weight: share of ir in [0, 1]. One map ``(N, 1, h, w)`` for every level, as in paper B, or ``levels + 1`` maps,
            finest first. A map is resized bilinearly to the level it is used on.
        levels: number of detail bands. Default 4.

    Returns:
        ``(N, C, H, W)``, not clipped.

    Raises:
        ValueError: the number of maps is neither 1 nor ``levels + 1``.
    """
    weights = [weight] * (levels + 1) if isinstance(weight, Tensor) else list(weight)
    if len(weights) != levels + 1:
        raise ValueError(f'{levels} levels need 1 or {levels + 1} weight maps, got {len(weights)}')
    bands = laplacian_pyramid(ir - vis, levels)
    return vis + reconstruct([resize(w, band.shape[-2:]) * band for w, band in zip(weights, bands, strict=True)])


def resize(x: Tensor, size: Sequence[int]) -> Tensor:
    """Bilinear resize without aligned corners; the same tensor where the size fits."""
    if tuple(x.shape[-2:]) == tuple(size):
        return x
    return F.interpolate(x, size=tuple(size), mode='bilinear', align_corners=False)
