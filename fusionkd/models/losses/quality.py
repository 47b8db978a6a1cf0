"""The objective that students and teacher of this toolbox are trained with."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fusionkd.evaluation.score import harmonic
from fusionkd.ops import filter_separable, gaussian_kernel1d
from fusionkd.registry import MODELS

from .edge_terms import edge_terms
from .metric import check_luma

_STRIDE = 2  # between the windows of SSIM and of VIF's first scale: the same gradient at a quarter of the work
_VIF_KERNELS = tuple(gaussian_kernel1d(n, n / 5) for n in (17, 9, 5, 3))
_VIF_NOISE = 2.0
_SSIM_KERNEL = gaussian_kernel1d(11, 1.5)
_SSIM_C1, _SSIM_C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
_SCD_ENOUGH = 1.75  # beyond it a fusion is bought with the over-exposed sum of the sources
_HOT = 0.1  # contrast of hot regions in [0, 1]
_POOL, _SURROUND = 4, 15  # a surround of 60 pixels, at a quarter of the resolution
_REGION = 16  # pixels of a region's brightness


class QualityParts(NamedTuple):
    """Parts of :func:`quality_parts`, each ``(N,)``."""

    vif: Tensor
    vif_sum: Tensor
    qabf: Tensor
    ssim: Tensor
    scd: Tensor
    nabf: Tensor
    target: Tensor
    brightness: Tensor
    ssim_sum: Tensor | None = None


@MODELS.register_module()
class QualityLoss(nn.Module):
    """Full-reference fusion metrics as one loss (not from the papers).

    The parts are those of the balanced score, in float32 and in a form with the same gradient up to sampling noise: SSIM and
    VIF's first scale take every second window, and the edges of the border, which a crop has by accident, do not count::

        L = vif * (1 - VIF_h) + vif_sum * (2 - VIF) + qabf * (1 - Qabf) + ssim * (1 - SSIM_h) + scd * (1.75 - min(SCD, 1.75))
          + nabf * Nabf + target * T + brightness * B
          + ssim_sum * (2 - SSIM) + outside * mean |F - clip(F)|

    VIF counts no contrast beyond the source's; ``_h`` is the harmonic mean over both sources, which asks for both, where the
    sum is content with one. ``T`` is the difference of local contrast on hot regions of the infrared image, see
    :func:`hot_contrast`: unlike the target contrast of the score it needs no search for targets. ``B`` is the distance
    of local brightness, means of 16 x 16 pixels, to the brighter source's: all other parts are nearly blind to it, and
    without it networks learn to darken.

    Under paper B's loss a larger network is no better than a small one and a lower loss may mean lower metrics; under this
    one capacity and time pay.

    Args:
        vif: weight of the harmonic VIF. Default 0.9.
        vif_sum: weight of the summed VIF. Default 1.2.
        qabf: Default 2.5.
        ssim: Default 0: networks trained without it have nearly the same SSIM, and it costs a fifth of the loss.
        scd: Default 0.5.
        nabf: Default 4.
        target: Default 3.5.
        brightness: Default 2.
        outside: weight of values outside [0, 1], which are clipped in everything else. Default 1.
        ssim_sum: weight of the summed SSIM, which the tables have. Default 0.

    Raises:
        ValueError: a negative weight, or none above 0.
    """

    def __init__(
        self,
        vif: float = 0.9,
        vif_sum: float = 1.2,
        qabf: float = 2.5,
        ssim: float = 0.0,
        scd: float = 0.5,
        nabf: float = 4.0,
        target: float = 3.5,
        brightness: float = 2.0,
        outside: float = 1.0,
        ssim_sum: float = 0.0,
    ):
        super().__init__()
        self.weights = dict(
            vif=vif,
            vif_sum=vif_sum,
            qabf=qabf,
            ssim=ssim,
            scd=scd,
            nabf=nabf,
            target=target,
            brightness=brightness,
            ssim_sum=ssim_sum,
        )
        self.outside = outside
        if min(*self.weights.values(), outside) < 0 or not any(self.weights.values()):
            raise ValueError(f'weights must be at least 0 and one of them above, got {self.weights}, outside={outside}')

    def forward(self, fused: Tensor, ir: Tensor, vis: Tensor) -> Tensor:
        """Scalar, the mean of :meth:`per_sample`."""
        return self.per_sample(fused, ir, vis).mean()

    def per_sample(self, fused: Tensor, ir: Tensor, vis: Tensor) -> Tensor:
        """``(N,)`` of ``(N, 1, H, W)`` luma in [0, 1], at least 41 x 41 pixels.

        Raises:
            ValueError: colour images; use ``space='y'``.
        """
        check_luma(fused)
        inside = fused.clamp(0, 1)
        if inside.requires_grad:
            inside.register_hook(_finite)
        parts = quality_parts(inside, ir, vis, [name for name, weight in self.weights.items() if weight])
        best = QualityParts(
            vif=1, vif_sum=2, qabf=1, ssim=1, scd=_SCD_ENOUGH, nabf=0, target=0, brightness=0, ssim_sum=2
        )
        parts = parts._replace(scd=None if parts.scd is None else parts.scd.clamp(max=_SCD_ENOUGH))
        loss = self.outside * (fused - inside).abs().mean((1, 2, 3))
        for name, weight in self.weights.items():
            if weight:
                loss = loss + weight * (getattr(best, name) - getattr(parts, name)).abs()
        return loss


def quality_parts(fused: Tensor, ir: Tensor, vis: Tensor, names: list[str] | None = None) -> QualityParts:
    """Differentiable metrics of ``(N, 1, H, W)`` images in [0, 1]; those not in ``names`` (default all) are ``None``."""
    wanted = set(QualityParts._fields if names is None else names)
    levels, sources = fused * 255, torch.cat([ir, vis], dim=1) * 255
    parts = dict.fromkeys(QualityParts._fields)
    if wanted & {'vif', 'vif_sum'}:
        scores = _capped_vif(sources, levels)
        parts.update(vif=harmonic(scores), vif_sum=scores.sum(1))
    if wanted & {'ssim', 'ssim_sum'}:
        scores = _ssim(sources, levels)
        parts.update(ssim=harmonic(scores), ssim_sum=scores.sum(1))
    if wanted & {'qabf', 'nabf'}:
        parts['qabf'], parts['nabf'] = edge_terms(sources, levels)
    if 'scd' in wanted:
        parts['scd'] = _scd(sources, levels)
    if 'target' in wanted:
        parts['target'] = hot_contrast(fused, ir)
    if 'brightness' in wanted:
        own, *means = (_regions(x) for x in (fused, ir, vis))
        parts['brightness'] = (own - torch.maximum(*means)).abs().mean((1, 2, 3))
    return QualityParts(**parts)


def _finite(gradient: Tensor) -> Tensor:
    """Gradient without nan: one window in a million crops must not end a training."""
    return gradient.nan_to_num(0.0, 0.0, 0.0)


def hot_contrast(fused: Tensor, ir: Tensor) -> Tensor:
    """How much the contrast of hot regions to their surroundings differs from that of the infrared image (ours).

    Contrast is a pixel minus the mean of the 60 x 60 pixels around it, at a quarter of the resolution. A region counts by
    the infrared contrast above 0.1.

    Args:
        fused: ``(N, 1, H, W)`` in [0, 1].
        ir: the same shape.

    Returns:
        ``(N,)``, 0 where all contrast is kept; an image with few hot pixels counts little.
    """
    own, reference = (_local_contrast(x) for x in (fused, ir))
    weight = (reference - _HOT).clamp(min=0)
    return (weight * (own - reference).abs()).sum((1, 2, 3)) / (weight.sum((1, 2, 3)) + 0.1)


def _local_contrast(x: Tensor) -> Tensor:
    x = F.avg_pool2d(x, _POOL)
    margin = _SURROUND // 2
    padded = F.pad(x, (margin,) * 4, mode='replicate')
    return x - F.avg_pool2d(F.avg_pool2d(padded, (1, _SURROUND), 1), (_SURROUND, 1), 1)


def _capped_vif(sources: Tensor, fused: Tensor) -> Tensor:
    """VIF to each source, ``(N, S)``, whose contrast is capped at the source's; images in grey levels."""
    information = kept = 0.0
    for scale in vif_scales(sources, fused):
        kept = kept + scale.kept.sum((2, 3)) * scale.weight
        information = information + scale.information.sum((2, 3)) * scale.weight
    return (kept + 1e-3) / (information + 1e-3)


class VIFScale(NamedTuple):
    """Information in the windows of one scale, ``(N, S, h, w)``, what is kept of it and what exists."""

    kept: Tensor
    information: Tensor
    weight: int  # of every window
    first: float  # centre of the first window, in pixels
    step: int  # pixels from one window to the next


def vif_scales(sources: Tensor, fused: Tensor) -> Iterator[VIFScale]:
    """Capped VIF of ``(N, S, H, W)`` and ``(N, 1, H, W)`` in grey levels, scale by scale."""
    first, pixel = 0.0, 1
    for scale, kernel in enumerate(_VIF_KERNELS):
        if scale:
            sources, fused = (filter_separable(x, kernel, padding='valid', stride=2) for x in (sources, fused))
            first += pixel * (len(kernel) - 1) / 2
            pixel *= 2
        stride = 1 if scale else _STRIDE
        variance_s, variance, covariance = _moments(sources, fused, kernel, stride)[:3]
        variance_s, variance = variance_s.clamp(min=0), variance.clamp(min=0)
        gain = covariance.clamp(min=0) / (variance_s + 0.01)
        # Exact arithmetic never falls below the noise; float32 may.
        noise = (variance + _VIF_NOISE - gain * covariance).clamp(min=_VIF_NOISE)
        signal = 1 + gain.clamp(max=1).square() * variance_s / noise
        centre = first + pixel * (len(kernel) - 1) / 2
        yield VIFScale(signal.log(), (1 + variance_s / _VIF_NOISE).log(), stride**2, centre, pixel * stride)


def _ssim(sources: Tensor, fused: Tensor) -> Tensor:
    """SSIM to each source, ``(N, S)``; images in grey levels."""
    return ssim_map(sources, fused).mean((2, 3))


def ssim_map(sources: Tensor, fused: Tensor) -> Tensor:
    """SSIM to each source in windows of 11 pixels, every second one, ``(N, S, h, w)``; images in grey levels."""
    variance_s, variance, covariance, mean_s, mean = _moments(sources, fused, _SSIM_KERNEL, _STRIDE)
    luminance = (2 * mean_s * mean + _SSIM_C1) / (mean_s.square() + mean.square() + _SSIM_C1)
    structure = (2 * covariance + _SSIM_C2) / (variance_s + variance + _SSIM_C2)
    return luminance * structure


def _moments(sources: Tensor, fused: Tensor, kernel: list[float], stride: int) -> tuple[Tensor, ...]:
    """Of all windows: variances of the sources and of the fused image, covariances, and both means."""
    count = sources.shape[1]

    def blur(*maps: Tensor) -> Tensor:
        return filter_separable(torch.cat(maps, dim=1), kernel, padding='valid', stride=stride)

    mean_s, square_s = blur(sources, sources.square()).split(count, dim=1)  # no gradient is needed here
    mean, square, product = blur(fused, fused.square(), sources * fused).split([1, 1, count], dim=1)
    return square_s - mean_s.square(), square - mean.square(), product - mean_s * mean, mean_s, mean


def _scd(sources: Tensor, levels: Tensor) -> Tensor:
    """Correlations of what was added to either source with the other one; near 0 where one of them is flat.

    From three moments of the fused image, those of the differences follow.
    """
    a, b, f = (x - x.mean((2, 3), keepdim=True) for x in (*sources.split(1, dim=1), levels))
    var_a, var_b, var_f, a_b, a_f, b_f = (
        (x * y).mean((1, 2, 3)) for x, y in ((a, a), (b, b), (f, f), (a, b), (a, f), (b, f))
    )
    # Exact arithmetic finds no negative variance; float32 may.
    less_b, less_a = (var_f + var - 2 * both for var, both in ((var_b, b_f), (var_a, a_f)))
    to_a = (a_f - a_b) / (less_b.clamp(min=0) * var_a + 1).sqrt()
    return to_a + (b_f - a_b) / (less_a.clamp(min=0) * var_b + 1).sqrt()


def _regions(x: Tensor) -> Tensor:
    """Means of regions that overlap by half, from means of their quarters."""
    return F.avg_pool2d(F.avg_pool2d(x, _REGION // 2), 2, 1)
