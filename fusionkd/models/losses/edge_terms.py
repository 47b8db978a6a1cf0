"""Qabf and Nabf of a training batch with their gradient written by hand: the largest part of a training step otherwise."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from fusionkd.evaluation import functional as fn
from fusionkd.evaluation.functional.edges import Edges, sobel
from fusionkd.evaluation.functional.nabf import ORIENTATION as NABF_ORIENTATION
from fusionkd.evaluation.functional.nabf import STRENGTH as NABF_STRENGTH
from fusionkd.evaluation.functional.qabf import ORIENTATION as QABF_ORIENTATION
from fusionkd.evaluation.functional.qabf import STRENGTH as QABF_STRENGTH

_FLOOR = 1e-3  # weight of a faint source pixel in Nabf
_TURN = 2 / math.pi  # orientations are compared in right angles


def edge_terms(sources: Tensor, fused: Tensor) -> tuple[Tensor, Tensor]:
    """Qabf and Nabf of the inner pixels, whose edges both share; the border of a crop is there by accident.

    The values are those of :func:`fusionkd.evaluation.functional.qabf_part` and ``nabf_part``, and so are the gradients.
    They are computed together with the values, in strips that stay in a core's cache and without what autograd keeps.

    Args:
        sources: ``(N, S, H, W)`` in grey levels, floating, without gradient, at least 3 x 3.
        fused: ``(N, 1, H, W)``, the same range and type.

    Returns:
        Qabf, 0 where no source has an edge, and Nabf, each ``(N,)`` in float32.

    Raises:
        ValueError: sources that need a gradient.
    """
    if sources.requires_grad:
        raise ValueError('Qabf and Nabf as losses have a gradient in the fused image only; detach the sources')
    kept, weight, added, weight_added = _EdgeTerms.apply(fused, sources)
    # A black pair has no edges to keep: 0 of 0.
    return (kept / weight.clamp(min=1e-6)).float(), (added / weight_added).float()


class _EdgeTerms(torch.autograd.Function):
    """Kept edge strength and all there is, added artefacts and all that could be: each ``(N,)`` in float64."""

    @staticmethod
    def forward(ctx: Any, fused: Tensor, sources: Tensor) -> tuple[Tensor, ...]:
        slopes = fused.new_zeros(2, *fused.shape) if ctx.needs_input_grad[0] else None
        sums = fused.new_zeros(4, len(fused), dtype=torch.float64)
        for source in fn.source_edges(sources, paddings=()):
            of_strip = None if slopes is None else slopes[..., source.part, :]
            sums += _strip(source.edges, fused[..., source.part, :], of_strip)
        if slopes is not None:
            ctx.save_for_backward(slopes)
        kept, weight, added, weight_added = sums
        ctx.mark_non_differentiable(weight, weight_added)
        return kept, weight, added, weight_added

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (slopes,) = ctx.saved_tensors
        of_kept, of_added = (gradients[i].to(slopes.dtype)[:, None, None, None] for i in (0, 2))
        return torch.addcmul(slopes[0] * of_kept, slopes[1], of_added), None


def _strip(sources: Edges, fused: Tensor, slopes: Tensor | None) -> Tensor:
    """The four sums of a strip, ``(4, N)``; its share of the slopes of the first and the third is added to ``slopes``."""
    dx, dy = sobel(fused)
    strength = torch.addcmul(dx * dx, dy, dy).sqrt_()
    orientation = (dy / dx).nan_to_num_(nan=-math.inf, posinf=-math.inf, neginf=-math.inf).atan_()

    ratio = torch.minimum(sources.strength, strength)
    ratio /= torch.maximum(sources.strength, strength.clamp_min(torch.finfo(strength.dtype).tiny))
    turned = sources.orientation - orientation
    turn = turned.abs()

    gain, slope, midpoint = QABF_STRENGTH
    gain_o, slope_o, midpoint_o = QABF_ORIENTATION
    equal = ratio.floor()  # the quirk of Qabf, see there
    alike = torch.addcmul(ratio, equal, strength.clamp_max(4) - 1)
    alike = alike.mul_(slope).sub_(slope * midpoint).sigmoid_()
    aligned = turn.mul(-slope_o * _TURN).add_(slope_o * (1 - midpoint_o)).sigmoid_()
    kept = (alike * aligned).mul_(sources.strength).mul_(gain * gain_o)

    gain_n, slope_n, midpoint_n = NABF_STRENGTH
    gain_no, slope_no, midpoint_no = NABF_ORIENTATION
    weights = fn.nabf_weights(sources, _FLOOR)
    strongest = sources.strength.amax(1, keepdim=True)
    counted = weights * (strength > strongest)
    alike_n = ratio.mul(slope_n).sub_(slope_n * midpoint_n).sigmoid_()
    across = turn.sub_(math.pi / 2)  # the orientation wraps
    aligned_n = across.abs().mul_(slope_no * _TURN).sub_(slope_no * midpoint_no).sigmoid_()
    lost = (alike_n * aligned_n).sqrt_().mul_(counted).mul_(-math.sqrt(gain_n * gain_no))

    sums = torch.stack([fn.sum_pixels(x).sum(1) for x in (kept, sources.strength, lost, weights)])
    sums[2] += fn.sum_pixels(counted).sum(1)
    if slopes is None:
        return sums

    inverse = strength.reciprocal().masked_fill_(strength == 0, 0)
    # Of the ratio by the fused strength: 1 / source below it and -ratio / fused above.
    of_ratio = (sources.strength - strength).sign_().mul_(ratio).mul_(inverse)
    own = dx, dy, inverse
    direction = turned.sign_().neg_()
    across.sign_().mul_(direction)

    by_ratio = alike.neg_().add_(1).mul_(kept).mul_(slope)
    by_turn = aligned.neg_().add_(1).mul_(kept).mul_(-slope_o * _TURN)
    by_strength = torch.addcmul(of_ratio, equal, (strength < 4).to(strength.dtype)).mul_(by_ratio)
    _add(slopes[0], by_strength, by_turn.mul_(direction), own)
    by_ratio = alike_n.neg_().add_(1).mul_(lost).mul_(slope_n / 2)
    by_turn = aligned_n.neg_().add_(1).mul_(lost).mul_(slope_no * _TURN / 2)
    _add(slopes[1], by_ratio.mul_(of_ratio), by_turn.mul_(across), own)
    return sums


def _add(slope: Tensor, by_strength: Tensor, by_orientation: Tensor, own: tuple[Tensor, Tensor, Tensor]) -> None:
    """From slopes by strength and orientation, ``(N, S, h, w)``, through the Sobel filters back to the pixels."""
    dx, dy, inverse = own
    by_strength = by_strength.sum(1, keepdim=True).mul_(inverse)
    by_orientation = by_orientation.sum(1, keepdim=True).mul_(inverse).mul_(inverse)
    by_dy = torch.addcmul(by_strength * dy, by_orientation, dx)
    # Where dx vanishes, the orientation is a constant.
    by_dx = torch.addcmul(by_strength * dx, by_orientation.masked_fill_(dx == 0, 0), dy, value=-1)
    smooth = F.pad(by_dx, (2, 0)).sub_(F.pad(by_dx, (0, 2)))
    for rows, weight in ((slice(None, -2), 1), (slice(1, -1), 2), (slice(2, None), 1)):
        slope[..., rows, :].add_(smooth, alpha=weight)
    smooth = F.pad(by_dy, (0, 0, 2, 0)).sub_(F.pad(by_dy, (0, 0, 0, 2)))
    for columns, weight in ((slice(None, -2), 1), (slice(1, -1), 2), (slice(2, None), 1)):
        slope[..., columns].add_(smooth, alpha=weight)
