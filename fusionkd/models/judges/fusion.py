"""Judge of fused images."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from fusionkd.models.losses.quality import QualityParts, quality_parts
from fusionkd.models.losses.quality_maps import MAPPED, quality_maps
from fusionkd.models.policies.base import Queries
from fusionkd.registry import MODELS

from .base import Judge

VERSUS = ('teacher', 'best_teacher', 'median')


@MODELS.register_module()
class FusionJudge(Judge):
    """A fused image is good if its full-reference quality is above that of its teachers or of its group (not from the paper).

    Quality is ``(VIF + 1.5 Qabf + SSIM) / 3``, each summed over both sources as usual, in the fast form of
    :class:`QualityLoss`: float32, every second window, no contrast counted beyond the source's, so that it cannot be raised
    by inventing contrast.

    With ``cell`` every cell of an answer is paid for itself, as in GRPO with process rewards (arXiv 2402.03300): a single 0
    or 1 for an image says little about a hundred cells that were drawn independently. A cell is good if what it and its
    neighbours contribute to the quality, see :func:`quality_maps`, is above the same cells of the group.

    Args:
        versus: ``'median'`` of the group (default), ``'teacher'``, the mean of the teachers, or ``'best_teacher'``.
        margin: by how much quality, or a cell's contribution, must be above. Default 0.
        weights: of :class:`QualityParts`. Default VIF 1/3, Qabf 1/2 and SSIM 1/3, both summed over the sources.
        cell: side of a cell in pixels, that of the policy. Default none: the image as a whole is paid.
        reach: neighbours of a cell on each side that count with it. Default 1.

    Raises:
        ValueError: an unknown comparison or part, or a part that has no map where there are cells.
    """

    def __init__(
        self,
        versus: str = 'median',
        margin: float = 0.0,
        weights: Mapping[str, float] | None = None,
        cell: int | None = None,
        reach: int = 1,
    ):
        self.weights = dict(weights or dict(vif_sum=1 / 3, qabf=1 / 2, ssim_sum=1 / 3))
        unknown = sorted(set(self.weights) - set(QualityParts._fields))
        if versus not in VERSUS or unknown:
            parts = ', '.join(QualityParts._fields)
            raise ValueError(f'versus={versus!r}; known: {", ".join(VERSUS)}. Unknown parts: {unknown}; known: {parts}')
        unmapped = sorted(set(self.weights) - set(MAPPED)) if cell else []
        if unmapped:
            raise ValueError(
                f'cells can be paid for {", ".join(MAPPED)}, not {unmapped}: change weights or leave cell out'
            )
        self.cell, self.reach = cell, reach
        self.versus = versus
        self.margin = margin

    def __call__(self, queries: Queries, outputs: Tensor, references: Tensor | None) -> Tensor:
        """Judge fused images ``(B, N, 1, H, W)``: ``(B, N)``, or ``(B, N, cells)``, row by row; see :class:`Judge`.

        Raises:
            ValueError: a comparison with teachers that do not exist.
        """
        found = self.contributions(queries, outputs) if self.cell else self.quality(queries, outputs)
        if self.versus == 'median':
            # The mean of the middle two: of an even group half are above it.
            threshold = found.quantile(0.5, dim=1, keepdim=True)
        elif references is None:
            raise ValueError(f"versus={self.versus!r} compares with teachers, but there are none; use 'median'")
        else:
            theirs = found[:, -references.shape[1] :]  # the group ends with them
            threshold = theirs.mean(1, keepdim=True) if self.versus == 'teacher' else theirs.amax(1, keepdim=True)
        return (found > threshold + self.margin).float()

    @torch.no_grad()
    def quality(self, queries: Queries, outputs: Tensor) -> Tensor:
        """``(B, N)`` of fused images ``(B, N, 1, H, W)`` in [0, 1], at least 41 x 41 pixels."""
        ir, vis = _sources(queries, outputs)
        parts = quality_parts(outputs.flatten(0, 1), ir, vis, list(self.weights))
        value = sum(weight * getattr(parts, name) for name, weight in self.weights.items())
        return value.unflatten(0, outputs.shape[:2]).float()

    @torch.no_grad()
    def contributions(self, queries: Queries, outputs: Tensor) -> Tensor:
        """``(B, N, cells)``: mean contribution of each cell and its neighbours inside the image to the quality."""
        ir, vis = _sources(queries, outputs)
        found = quality_maps(outputs.flatten(0, 1), ir, vis, self.cell, self.weights)
        side = 2 * self.reach + 1
        around = F.avg_pool2d(found[:, None], side, 1, self.reach, count_include_pad=False)
        return around.flatten(1).unflatten(0, outputs.shape[:2])


def _sources(queries: Queries, outputs: Tensor) -> list[Tensor]:
    """Both sources of every output, ``(B * N, 1, H, W)``."""
    return [queries[key].repeat_interleave(outputs.shape[1], dim=0) for key in ('ir', 'vis')]
