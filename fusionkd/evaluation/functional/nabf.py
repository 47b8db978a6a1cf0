"""Artefacts that a fusion adds."""

import functools
import math

import torch
from torch import Tensor

from .edges import Comparison, Edges, compare_edges, sigmoid, source_edges
from .levels import to_levels
from .windows import into, sum_pixels

STRENGTH = (0.9999, 19.0, 0.5)  # gain, slope and midpoint of the sigmoids, as published
ORIENTATION = (0.9995, 22.0, 0.5)
_SOBEL = 8  # the published thresholds are meant for Sobel filters divided by 8
_VISIBLE = 2.0
_FAINT = (_VISIBLE * _SOBEL) ** 1.5 * (1 - 1e-6)  # strength ** 1.5 up to which an edge is not visible


def nabf(ir: Tensor, vis: Tensor, fused: Tensor, data_range: float, floor: float = 1e-3) -> Tensor:
    r"""Share of edge information in a fused image that neither source has (Nabf, modified).

    B. K. Shreyamsha Kumar, *Multifocus and multispectral image fusion based on pixel significance using discrete cosine
    harmonic wavelet transform*, Signal, Image and Video Processing 7, 2013, after V. Petrovic and C. Xydeas 2005. Where the
    fused edge is stronger than both source edges, what the sources' edges lose is an artefact:

    .. math:: N^{AB/F} = \frac{\sum_{g_F > g_A, g_F > g_B} \sum_S (1 - Q_{SF})\, w_S}{\sum \sum_S w_S}

    :math:`Q_{SF}` is the geometric mean of a strength and an orientation sigmoid, the orientation wraps, and a source pixel
    weighs :math:`g_S^{1.5}` from a strength of 2 on, else ``floor``. Sobel filters are divided by 8; the image is mirrored
    at the border. Differentiable in ``fused`` wherever no pixel changes sides.

    Protocols: ``tang`` and ``hybridfusion`` set ``floor`` to 0, all others to 1e-3; ``cddfuse`` computes in float32, which
    moves it by about 1e-7.

    Args:
        ir: gray, ``(N, 1, H, W)`` in [0, ``data_range``], at least 2 x 2.
        vis: the same shape.
        fused: the same shape.
        data_range: value of white, 1 or 255.
        floor: weight of a pixel whose source edge is weaker than 2 grey levels.

    Returns:
        ``(N,)``, 0 to 1, lower is better; 0 for a copied source; nan where no pixel has any weight (``floor=0`` and two
        sources without visible edges).

    Raises:
        ValueError: shapes that differ or are too small.
    """
    sources, fused = to_levels(ir, vis, fused, data_range, 'Nabf')
    added, weight = 0.0, 0.0
    for source in source_edges(sources, ('mirror',)):
        weights = nabf_weights(source.edges, floor)
        added = added + nabf_part(compare_edges(source, fused), weights)
        weight = weight + sum_pixels(weights)
    return (added.sum(1) / weight.sum(1)).to(fused.dtype)


def nabf_weights(sources: Edges, floor: float) -> Tensor:
    """Weight of every source pixel in a part of the image, times ``8 ** 1.5``; a constant for autograd."""
    strength = sources.strength.detach()
    return torch.threshold(strength.sqrt().mul_(strength), _FAINT, floor * _SOBEL**1.5)


def nabf_part(edges: Comparison, weights: Tensor) -> Tensor:
    """Weighted artefacts against each source in a part of the image: ``(N, S)``."""
    gain, slope, midpoint = STRENGTH
    kept = sigmoid(edges.ratio, slope, midpoint)
    gain_o, slope, midpoint = ORIENTATION
    aligned = edges.turn - math.pi / 2  # of orientations that wrap
    kept_o = sigmoid(torch.abs(aligned, out=into(aligned)), slope * 2 / math.pi, midpoint * math.pi / 2)
    kept = torch.mul(kept, kept_o, out=into(kept))
    kept = torch.sqrt(kept, out=into(kept))
    # weight * (1 - gain * kept)
    lost = torch.addcmul(weights, weights, kept, value=-math.sqrt(gain * gain_o), out=into(kept))
    strongest = functools.reduce(torch.maximum, edges.strength.split(1, dim=1))
    added = edges.fused_strength - strongest
    added = torch.clamp_min(added, 0, out=into(added)).sign()  # 1 where the fused edge is the strongest, else 0
    return sum_pixels(torch.mul(lost, added, out=into(lost)))
