"""The balanced score: one number for rewards, model selection and honest comparison (ours, not from a paper)."""

from __future__ import annotations

import torch
from torch import Tensor

from . import functional as fn

# What each part adds to the score.
WEIGHTS = dict(vif=0.25, qabf=0.25, ssim=0.2, scd=0.15, target=0.15, nabf=-1.0)
SCD_CAP = 1.6


class Scorer:
    """Balanced score of any number of fused images of the same pairs.

    ``0.25 VIF + 0.25 Qabf + 0.2 SSIM + 0.15 min(SCD, 1.6) / 1.6 + 0.15 target - Nabf``, where

    * VIF is the harmonic mean over both sources, for a copied source must not live on its likeness to itself. Contrast
      beyond a source's is capped in every window, and so each VIF at 1: without, it rewards contrast enhancement;
    * SSIM is the well-conditioned one (Gaussian window, range 255), harmonic mean over both sources;
    * SCD counts up to 1.6, about what sound fusions reach: its maximum of 2 is the over-exposed sum of the sources;
    * target is the contrast of hot targets that is kept; its inverse where a target was amplified, 0 where one is darker
      than its surroundings, and 1 where there is no target;
    * Nabf counts artefacts, edges that no source has.

    Everything is full-reference; what the sources alone decide is computed once. Differentiable.

    Args:
        ir: ``(N, 1, H, W)`` in [0, 1], at least 41 x 41.
        vis: same shape.

    Example:
        >>> ir, vis = torch.rand(2, 1, 64, 64), torch.rand(2, 1, 64, 64)
        >>> sorted(Scorer(ir, vis)(torch.maximum(ir, vis)))
        ['nabf', 'qabf', 'scd', 'score', 'ssim', 'target', 'vif']
    """

    def __init__(self, ir: Tensor, vis: Tensor):
        self.sources = torch.cat([ir, vis], dim=1).double() * 255
        self.targets = fn.target_terms(self.sources[:, :1])
        self.form = fn.ssim_form()
        self.vif_windows = list(fn.vif_windows(self.sources))
        self.ssim_windows = list(fn.ssim_windows(self.sources, self.form))

    def parts(self, fused: Tensor) -> dict[str, Tensor]:
        """The six parts as they are, before clipping, and the score of every image, each ``(N,)`` in float64.

        Args:
            fused: ``(N, 1, H, W)`` in [0, 1]; values outside are clipped.
        """
        levels = fused.double().clamp(0, 1) * 255
        images = (*self.sources.split(1, dim=1), levels)
        parts = dict(
            vif=harmonic(fn.vif_scores(self.vif_windows, levels, cap_gain=True)),
            qabf=fn.qabf(*images, data_range=255),
            ssim=harmonic(fn.ssim_scores(self.ssim_windows, levels, self.form)[0]),
            scd=fn.scd(*images, data_range=255),
            target=fn.target_scores(self.targets, levels),
            nabf=fn.nabf(*images, data_range=255),
        )
        counted = parts | dict(
            # SCD is undefined where the fused image is one of the sources: nothing of the other was added.
            scd=parts['scd'].nan_to_num(0.0).clamp(max=SCD_CAP) / SCD_CAP,
            target=_kept(parts['target']).nan_to_num(1.0),
        )
        return parts | dict(score=sum(weight * counted[name] for name, weight in WEIGHTS.items()))

    def __call__(self, fused: Tensor) -> dict[str, float]:
        """Means of :meth:`parts` over the images where they are defined; a part defined nowhere is left at 0."""
        return {name: float(part.nanmean().nan_to_num(0.0)) for name, part in self.parts(fused).items()}


def harmonic(scores: Tensor) -> Tensor:
    """Harmonic mean over the sources of ``(N, 2)``, 0 where one of them is not positive: ``(N,)``."""
    a, b = scores.clamp(min=0).unbind(1)
    return 2 * a * b / (a + b).clamp(min=1e-12)


def _kept(contrast: Tensor) -> Tensor:
    """1 for a contrast ratio of 1, less for a dulled target and for an amplified one."""
    return torch.minimum(contrast, 1 / contrast.clamp(min=1)).clamp(min=0)
