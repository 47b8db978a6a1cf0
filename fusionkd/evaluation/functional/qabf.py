"""Edge-based fusion quality."""

import math

import torch
from torch import Tensor

from .edges import Comparison, Edges, compare_edges, sigmoid, source_edges
from .levels import to_levels
from .windows import into, sum_pixels

STRENGTH = (0.9994, 15.0, 0.5)  # gain, slope and midpoint of the sigmoids, as published
ORIENTATION = (0.9879, 22.0, 0.8)


def qabf(ir: Tensor, vis: Tensor, fused: Tensor, data_range: float) -> Tensor:
    r"""Edge information carried from the sources to a fused image (Qabf, also Qg).

    C. S. Xydeas and V. Petrovic, *Objective image fusion performance measure*, Electronics Letters 36(4), 2000:

    .. math:: Q^{ABF} = \frac{\sum_S \sum Q_{SF}\, g_S}{\sum_S \sum g_S}, \quad
        Q_{SF} = \frac{0.9994}{1 + e^{-15 (G - 0.5)}} \cdot \frac{0.9879}{1 + e^{-22 (A - 0.8)}}

    with the Sobel strength :math:`g`, the ratio :math:`G` of the weaker to the stronger edge and
    :math:`A = 1 - |\Delta\alpha| / (\pi / 2)`. Two quirks of every published implementation are kept: :math:`A` does not
    wrap, so that orientations on both sides of the vertical differ by up to 2; and where both edges are equally strong,
    :math:`G` is that strength itself. The image is padded with zeros. Differentiable in all three images.

    Protocols: the same in all (``vifb`` per channel; ``cddfuse`` in float32, which moves it by about 1e-7).

    Args:
        ir: gray, ``(N, 1, H, W)`` in [0, ``data_range``], at least 2 x 2.
        vis: the same shape.
        fused: the same shape.
        data_range: value of white, 1 or 255.

    Returns:
        ``(N,)``, 0 to 0.975 (about that for identical images), higher is better; nan where both sources are black.

    Raises:
        ValueError: shapes that differ or are too small.

    Example:
        >>> image = torch.rand(1, 1, 32, 32, dtype=torch.float64)
        >>> round(float(qabf(image, image, image, data_range=1)), 3)
        0.975
    """
    sources, fused = to_levels(ir, vis, fused, data_range, 'Qabf')
    kept, weight = 0.0, 0.0
    for source in source_edges(sources, ('zeros',)):
        kept = kept + qabf_part(compare_edges(source, fused))
        weight = weight + qabf_weight(source.edges)
    return (kept.sum(1) / weight.sum(1)).to(fused.dtype)


def qabf_part(edges: Comparison) -> Tensor:
    """Preserved edge strength of each source in a part of the image: ``(N, S)``."""
    return sum_pixels(_kept(edges)) * (STRENGTH[0] * ORIENTATION[0])


def qabf_map(edges: Comparison) -> Tensor:
    """The same of every pixel, ``(N, S, ...)``."""
    return _kept(edges) * (STRENGTH[0] * ORIENTATION[0])


def _kept(edges: Comparison) -> Tensor:
    """Preserved edge strength without the two gains, pixel by pixel."""
    _, slope, midpoint = STRENGTH
    # The quirk: rounded down, the ratio is 1 for equal strengths and else 0. From a strength of 4 on nothing changes.
    ratio = torch.addcmul(edges.ratio, edges.ratio.floor(), edges.fused_strength.clamp_max(4) - 1)
    kept = sigmoid(ratio, slope, midpoint)
    _, slope, midpoint = ORIENTATION
    kept_o = sigmoid(edges.turn, -slope * 2 / math.pi, (1 - midpoint) * math.pi / 2)
    kept = torch.mul(kept, kept_o, out=into(kept))
    return torch.mul(kept, edges.strength, out=into(kept))


def qabf_weight(sources: Edges) -> Tensor:
    """Edge strength of each source in a part of the image: ``(N, S)``."""
    return sum_pixels(sources.strength)
