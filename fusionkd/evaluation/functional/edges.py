"""Sobel edges as strength and orientation, and how a fused image keeps them: the common ground of Qabf and Nabf.

The two metrics differ at the border of the image, where one pads with zeros and the other mirrors. All inner pixels are
shared.
"""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from .windows import into, row_strips, take_rows, to_float

PADDINGS = {'zeros': 'constant', 'mirror': 'reflect'}


class Edges(NamedTuple):
    """Edge maps, both of one shape."""

    strength: Tensor  # of the Sobel gradient with weights 1 2 1 and -1 0 1, not normalised
    orientation: Tensor  # atan(dy / dx) in [-pi / 2, pi / 2); -pi / 2 where dx is 0


class SourceEdges(NamedTuple):
    """Edges of ``S`` sources in a part of the image."""

    part: slice | str  # a strip of inner pixels, as rows of the image, or the padding of the border
    edges: Edges  # (N, S, h, W - 2), or (N, S, P) of the border


class Comparison(NamedTuple):
    """Edges of ``S`` sources, ``(N, S, ...)``, beside those of a fused image, ``(N, 1, ...)``."""

    strength: Tensor
    fused_strength: Tensor
    ratio: Tensor  # weaker over stronger, in [0, 1]; 0 where both vanish
    turn: Tensor  # absolute difference of orientation, in [0, pi]; it does not wrap at pi


def source_edges(
    sources: Tensor, paddings: Sequence[str] = tuple(PADDINGS), dtype: torch.dtype = torch.float64
) -> Iterator[SourceEdges]:
    """Edges of ``(N, S, H, W)`` in grey levels, at least 2 x 2: strips of inner pixels, then the border.

    A list of it serves any number of fused images.

    Args:
        sources: grey levels.
        paddings: ``'zeros'`` for Qabf, ``'mirror'`` for Nabf; the border comes once for each.
        dtype: precision for images of whole grey levels; floating images keep theirs.
    """
    if min(sources.shape[-2:]) > 2:
        for rows in row_strips(sources, 3):
            yield SourceEdges(rows, _find(take_rows(sources, rows, dtype)))
    for padding in paddings:
        yield SourceEdges(padding, _find_border(sources, padding, dtype))


def compare_edges(source: SourceEdges, fused: Tensor) -> Comparison:
    """Compare a part of the sources' edges with those of ``fused``, ``(N, 1, H, W)`` in grey levels."""
    strength, orientation = source.edges
    if isinstance(source.part, str):
        own = _find_border(fused, source.part, strength.dtype)
    else:
        own = _find(take_rows(fused, source.part, strength.dtype))
    stronger = torch.maximum(strength, own.strength.clamp_min(torch.finfo(strength.dtype).tiny))
    weaker = torch.minimum(strength, own.strength)
    turn = orientation - own.orientation
    return Comparison(
        strength, own.strength, torch.div(weaker, stronger, out=into(weaker)), torch.abs(turn, out=into(turn))
    )


def sigmoid(x: Tensor, slope: float, midpoint: float) -> Tensor:
    """``1 / (1 + exp(-slope * (x - midpoint)))``."""
    y = torch.add(x.new_tensor(-slope * midpoint), x, alpha=slope)
    return torch.sigmoid(y, out=into(y))


def sobel(x: Tensor) -> tuple[Tensor, Tensor]:
    """Sobel gradients of inner pixels, weights 1 2 1 and -1 0 1: dx and dy, ``(..., h - 2, w - 2)``, of ``(..., h, w)``."""
    smooth = x[..., :-2, :] + x[..., 2:, :]
    smooth = torch.add(smooth, x[..., 1:-1, :], alpha=2, out=into(smooth))
    dx = smooth[..., 2:] - smooth[..., :-2]
    smooth = x[..., :-2] + x[..., 2:]
    smooth = torch.add(smooth, x[..., 1:-1], alpha=2, out=into(smooth))
    dy = smooth[..., 2:, :] - smooth[..., :-2, :]
    return dx, dy


def _find(x: Tensor) -> Edges:
    """Edges of the inner pixels of ``(..., h, w)``: ``(..., h - 2, w - 2)``.

    Differentiable: where the gradient vanishes the strength has slope 0, and where dx vanishes the orientation has.
    """
    dx, dy = sobel(x)
    squares = torch.addcmul(dx * dx, dy, dy)
    if not x.requires_grad:  # the same values in fewer passes
        slope = dy.div_(dx).nan_to_num_(nan=-math.inf, posinf=-math.inf, neginf=-math.inf)
        return Edges(squares.sqrt_(), slope.atan_())
    vertical, flat = dx == 0, squares == 0
    slope = (dy / dx.masked_fill(vertical, 1.0)).masked_fill(vertical, -math.inf)
    return Edges(squares.masked_fill(flat, 1.0).sqrt().masked_fill(flat, 0.0), slope.atan())


def _find_border(images: Tensor, padding: str, dtype: torch.dtype) -> Edges:
    """Edges of the outermost pixels of ``(N, C, H, W)``, always in the same order: ``(N, C, P)``."""

    def find(part: Tensor) -> Edges:
        return _find(F.pad(to_float(part, dtype), (1, 1, 1, 1), mode=PADDINGS[padding]))

    top, bottom, left, right = (
        find(part) for part in (images[..., :2, :], images[..., -2:, :], images[..., :2], images[..., -2:])
    )
    return Edges(
        *(
            torch.cat([t[..., 0, :], b[..., -1, :], le[..., 1:-1, 0], ri[..., 1:-1, -1]], dim=-1)
            for t, b, le, ri in zip(top, bottom, left, right, strict=True)
        )
    )
