"""Where in an image its quality comes from."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from fusionkd.evaluation import functional as fn

from .quality import ssim_map, vif_scales

MAPPED = ('vif_sum', 'qabf', 'ssim_sum')


def quality_maps(fused: Tensor, ir: Tensor, vis: Tensor, cell: int, weights: Mapping[str, float]) -> Tensor:
    """What every cell of an image contributes to the metrics of :func:`quality_parts`; the sum over the cells is the metric.

    A window belongs to the cell of its centre. VIF and Qabf are ratios of sums, whose denominators are the whole image's and
    depend on the sources alone; SSIM is a mean over its windows.
    Windows of VIF reach over 17 pixels at the finest and over the whole of a small crop at the coarsest scale, so that a
    change shows in the cells around it, too. Not from a paper.

    Args:
        fused: ``(N, 1, H, W)`` luma in [0, 1], at least 41 x 41 pixels.
        ir: the same shape.
        vis: the same shape.
        cell: side of a cell in pixels; H and W are multiples of it.
        weights: of the parts ``'vif_sum'``, ``'qabf'`` and ``'ssim_sum'``, whose contributions are added up.

    Returns:
        ``(N, H / cell, W / cell)``.

    Raises:
        ValueError: a part that has no map, or a size that is no multiple of the cell.
    """
    unknown, size = sorted(set(weights) - set(MAPPED)), tuple(fused.shape[-2:])
    if unknown or size[0] % cell or size[1] % cell:
        raise ValueError(
            f'parts with a map are {", ".join(MAPPED)}, not {unknown}; images of {size} must be whole cells of {cell}'
        )
    levels, sources = fused * 255, torch.cat([ir, vis], dim=1) * 255
    total = fused.new_zeros(len(fused), size[0] // cell, size[1] // cell)
    if 'vif_sum' in weights:
        scales = list(vif_scales(sources, levels))
        whole = sum(scale.information.sum((2, 3), keepdim=True) * scale.weight for scale in scales) + 1e-3
        for scale in scales:
            kept = (scale.kept * scale.weight / whole).sum(1)
            total += weights['vif_sum'] * _to_cells(kept, scale.first, scale.first, scale.step, cell, size)
    if 'qabf' in weights:
        strips = list(fn.source_edges(sources, paddings=()))
        whole = sum(fn.qabf_weight(strip.edges).sum(1) for strip in strips).clamp(min=1e-6)[:, None, None]
        for strip in strips:
            kept = (fn.qabf_map(fn.compare_edges(strip, levels)).sum(1) / whole).to(total.dtype)
            total += weights['qabf'] * _to_cells(kept, strip.part.start + 1, 1, 1, cell, size)
    if 'ssim_sum' in weights:
        similar = ssim_map(sources, levels).sum(1)
        share = similar / similar[0].numel()
        total += weights['ssim_sum'] * _to_cells(share, 5, 5, 2, cell, size)
    return total


def _to_cells(x: Tensor, top: float, left: float, step: int, cell: int, size: tuple[int, int]) -> Tensor:
    """Sums over cells of values ``(N, h, w)`` that stand ``step`` pixels apart from (top, left) on."""
    rows, columns = (
        F.one_hot(((first + step * torch.arange(count, device=x.device)) // cell).long(), full // cell).to(x.dtype)
        for first, count, full in zip((top, left), x.shape[-2:], size, strict=True)
    )
    return rows.T @ x @ columns
