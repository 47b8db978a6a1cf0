"""Rules without a network that every results table carries."""

from __future__ import annotations

import torch
from torch import Tensor

from fusionkd.ops import filter_separable

TRIVIAL = ('copy ir', 'copy vis', 'average', 'maximum', 'Laplacian maximum')

_LEVELS = 4
_SMALLEST = 8  # pixels a side of an image that is still taken apart
# Taps whose even and odd places weigh the same: a flat image stays flat through the pyramid. The pyramid of
# fusionkd.ops keeps the sampled Gaussian of a published network, which does not, and costs this rule a sixth of its VIF.
_BINOMIAL = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)


def trivial_fusions(ir: Tensor, vis: Tensor) -> dict[str, Tensor]:
    """Rules without a network that every results table carries.

    A network that learnt ``maximum`` looks like the state of the art on some sets, and a copied source scores a summed
    VIF above 1.

    Args:
        ir: ``(..., C, H, W)``, floating, any range.
        vis: the same shape.

    Returns:
        Fused images by the rule's name, in the order of ``TRIVIAL``. ``Laplacian maximum`` may leave the range of its
        sources by a little; it is not clipped here.

    Example:
        >>> ir, vis = torch.zeros(1, 1, 48, 64), torch.ones(1, 1, 48, 64)
        >>> {name: float(image.mean()) for name, image in trivial_fusions(ir, vis).items()}['average']
        0.5
    """
    images = ir, vis, (ir + vis) / 2, torch.maximum(ir, vis), laplacian_maximum(ir, vis)
    return dict(zip(TRIVIAL, images, strict=True))


def laplacian_maximum(ir: Tensor, vis: Tensor, levels: int = _LEVELS) -> Tensor:
    """Fuse Laplacian pyramids: the detail of larger absolute value in every band, the average of the bases.

    The pyramid is that of Burt and Adelson (IEEE Trans. Communications, 1983), with reflected borders; the rule is the
    textbook one, the choices of this implementation are ours.

    Args:
        ir: ``(..., C, H, W)``, floating.
        vis: the same shape; where both details are equally large its own is taken.
        levels: detail bands. Fewer for an image that is below 8 pixels a side before the last.

    Returns:
        The same shape, not clipped.
    """
    bands = []
    while len(bands) < levels and min(ir.shape[-2:]) >= _SMALLEST:
        lows = [_down(x) for x in (ir, vis)]
        detail_ir, detail_vis = (x - _up(low, x.shape) for x, low in zip((ir, vis), lows, strict=True))
        bands.append(torch.where(detail_ir.abs() > detail_vis.abs(), detail_ir, detail_vis))
        ir, vis = lows
    fused = (ir + vis) / 2
    for band in reversed(bands):
        fused = _up(fused, band.shape) + band
    return fused


def _down(x: Tensor) -> Tensor:
    return filter_separable(x, _BINOMIAL)[..., ::2, ::2]


def _up(low: Tensor, shape: torch.Size) -> Tensor:
    sparse = low.new_zeros(shape)
    sparse[..., ::2, ::2] = 4 * low
    return filter_separable(sparse, _BINOMIAL)
