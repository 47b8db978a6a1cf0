"""Judge of fused images."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from fusionkd.models.losses.quality import QualityParts, quality_parts
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

    Args:
        versus: ``'median'`` of the group (default), ``'teacher'``, the mean of the teachers, or ``'best_teacher'``.
        margin: by how much quality must be above. Default 0.
        weights: of :class:`QualityParts`. Default VIF 1/3, Qabf 1/2 and SSIM 2/3, as its SSIM is a mean over both sources.

    Raises:
        ValueError: an unknown comparison or part.
    """

    def __init__(self, versus: str = 'median', margin: float = 0.0, weights: Mapping[str, float] | None = None):
        self.weights = dict(weights or dict(vif_sum=1 / 3, qabf=1 / 2, ssim=2 / 3))
        unknown = sorted(set(self.weights) - set(QualityParts._fields))
        if versus not in VERSUS or unknown:
            parts = ', '.join(QualityParts._fields)
            raise ValueError(f'versus={versus!r}; known: {", ".join(VERSUS)}. Unknown parts: {unknown}; known: {parts}')
        self.versus = versus
        self.margin = margin

    def __call__(self, queries: Queries, outputs: Tensor, references: Tensor | None) -> Tensor:
        """Judge fused images ``(B, N, 1, H, W)``; see :class:`Judge`.

        Raises:
            ValueError: a comparison with teachers that do not exist.
        """
        found = self.quality(queries, outputs)
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
        num = outputs.shape[1]
        ir, vis = (queries[key].repeat_interleave(num, dim=0) for key in ('ir', 'vis'))
        parts = quality_parts(outputs.flatten(0, 1), ir, vis, list(self.weights))
        value = sum(weight * getattr(parts, name) for name, weight in self.weights.items())
        return value.unflatten(0, (-1, num)).float()
