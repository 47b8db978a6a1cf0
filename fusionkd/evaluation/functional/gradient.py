"""Measures of detail in the fused image alone: SF, AG and EI. Noise raises all three."""

import torch
from torch import Tensor

from fusionkd.ops import sobel

from .levels import fused_levels
from .windows import into, row_strips, sum_pixels, take_rows


def sf(fused: Tensor, data_range: float, divisor: str = 'differences', wrap: bool = False) -> Tensor:
    r"""Spatial frequency of a fused image (SF).

    .. math:: \mathrm{SF} = \sqrt{\operatorname{mean} (\partial_x F)^2 + \operatorname{mean} (\partial_y F)^2}

    with differences of neighbouring pixels. A. M. Eskicioglu and P. S. Fisher, *Image quality measures and their
    performance*, IEEE Trans. Commun. 43(12), 1995. No reference: noise raises it.

    Protocols: ``vifb`` divides both sums by ``H W`` (``divisor='pixels'``). ``hybridfusion`` works in 8 bits that overflow,
    differences and squares alike (``wrap``), on all channels of a colour image, and is therefore far lower.

    Args:
        fused: ``(N, 1, H, W)`` in [0, ``data_range``], at least 2 x 2; ``(N, 3, H, W)`` pools the channels.
        data_range: value of white, 1 or 255.
        divisor: ``'differences'``, each mean over its own number of differences, or ``'pixels'``.
        wrap: truncate to 8 bits and keep differences and squares modulo 256.

    Returns:
        ``(N,)`` in grey levels, higher is better. A constant image has 0.

    Raises:
        ValueError: an image too small, or an unknown divisor.
    """
    n, c = fused.shape[:2]
    levels = fused_levels(fused.reshape(n * c, 1, *fused.shape[2:]), data_range, 'SF')
    return sf_levels(levels.view(n, c, *fused.shape[2:]), divisor, wrap)


def ag(fused: Tensor, data_range: float, divisor: str = 'pixels') -> Tensor:
    r"""Average gradient of a fused image (AG).

    .. math:: \mathrm{AG} = \operatorname{mean} \sqrt{(g_x^2 + g_y^2) / 2}

    with central differences, one-sided at the border. G. Cui et al., *Detail preserved fusion of visible and infrared
    images using regional saliency extraction and multi-scale image decomposition*, Opt. Commun. 341, 2015. No reference:
    noise raises it.

    Protocols: ``cddfuse`` and ``proper`` divide by ``H W``; all others divide the same sum by ``(H - 1)(W - 1)``.
    ``cddfuse`` computes in float32, which moves it by about 1e-7.

    Args:
        fused: gray, ``(N, 1, H, W)`` in [0, ``data_range``], at least 2 x 2.
        data_range: value of white, 1 or 255.
        divisor: ``'pixels'`` or ``'inner'``.

    Returns:
        ``(N,)`` in grey levels, higher is better. A constant image has 0.

    Raises:
        ValueError: an image too small, or an unknown divisor.
    """
    return ag_levels(fused_levels(fused, data_range, 'AG'), divisor)


def ei(fused: Tensor, data_range: float) -> Tensor:
    r"""Edge intensity of a fused image (EI): the mean magnitude of its Sobel gradient.

    B. Rajalingam and R. Priya, *Hybrid multimodality medical image fusion technique for feature enhancement in medical
    diagnosis*, Int. J. Eng. Sci. Invent., 2018. Border pixels are repeated. No reference: noise raises it.

    Protocols: the same in all (``vifb`` per channel).

    Args:
        fused: gray, ``(N, 1, H, W)`` in [0, ``data_range``], at least 2 x 2.
        data_range: value of white, 1 or 255.

    Returns:
        ``(N,)`` in grey levels times 8 (the filter is not normalised), higher is better. A constant image has 0.

    Raises:
        ValueError: an image too small.
    """
    dx, dy = sobel(fused_levels(fused, data_range, 'EI'), padding='replicate')
    return (dx.square() + dy.square()).sqrt().mean(dim=(-1, -2, -3))


def sf_levels(levels: Tensor, divisor: str = 'differences', wrap: bool = False) -> Tensor:
    """SF of images ``(N, C, H, W)`` in grey levels, channels pooled: ``(N,)``."""
    if divisor not in ('differences', 'pixels'):
        raise ValueError(f"SF: unknown divisor {divisor!r}; known: 'differences', 'pixels'")
    channels, height, width = levels.shape[1:]
    along_x, along_y = 0.0, 0.0
    for rows in row_strips(levels, 2):
        # uint8 truncates, and its differences and products overflow as intended.
        strip = levels[..., rows, :].to(torch.uint8) if wrap else take_rows(levels, rows)
        along_y = along_y + _sum_squares(strip[..., 1:, :] - strip[..., :-1, :])
        body = strip if rows.stop == height else strip[..., :-1, :]
        along_x = along_x + _sum_squares(body[..., 1:] - body[..., :-1])
    if divisor == 'pixels':
        return ((along_x + along_y) / (channels * height * width)).sqrt()
    return (along_x / (channels * height * (width - 1)) + along_y / (channels * (height - 1) * width)).sqrt()


def ag_levels(levels: Tensor, divisor: str = 'pixels', dtype: torch.dtype = torch.float64) -> Tensor:
    """AG of gray images ``(N, 1, H, W)`` in grey levels: ``(N,)``. Whole levels are taken in ``dtype``."""
    if divisor not in ('pixels', 'inner'):
        raise ValueError(f"AG: unknown divisor {divisor!r}; known: 'pixels', 'inner'")
    height, width = levels.shape[-2:]
    extended = _extend(levels if levels.is_floating_point() else levels.short())
    total = 0.0
    for rows in row_strips(extended, 3):
        strip = take_rows(extended, rows, dtype)
        twice_x = strip[..., 1:-1, 2:] - strip[..., 1:-1, :-2]
        twice_y = strip[..., 2:, 1:-1] - strip[..., :-2, 1:-1]
        squares = torch.mul(twice_x, twice_x, out=into(twice_x))
        squares = torch.addcmul(squares, twice_y, twice_y, out=into(squares))
        total = total + sum_pixels(torch.sqrt(squares, out=into(squares))).squeeze(1)
    return total / (8**0.5 * (height * width if divisor == 'pixels' else (height - 1) * (width - 1)))


def _extend(x: Tensor) -> Tensor:
    """Extend ``(N, 1, H, W)`` by one pixel on each side along its slope.

    The central difference at the border of the image is then the one-sided one.
    """
    x = torch.cat([2 * x[..., :1] - x[..., 1:2], x, 2 * x[..., -1:] - x[..., -2:-1]], dim=-1)
    return torch.cat([2 * x[..., :1, :] - x[..., 1:2, :], x, 2 * x[..., -1:, :] - x[..., -2:-1, :]], dim=-2)


def _sum_squares(x: Tensor) -> Tensor:
    """``(N, C, h, w)`` to ``(N,)``; what has overflown in 8 bits stays so."""
    squares = torch.mul(x, x, out=into(x)).flatten(1)
    return squares.sum(1) if x.is_floating_point() else squares.sum(1).double()
