"""Visual information fidelity, pixel domain."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from fusionkd.ops import gaussian_kernel1d

from .levels import to_levels
from .windows import Kernel, filter_valid, into, row_strips, side_by_side, sum_windows, to_float, window_means

VIF_SMALLEST = 41  # three halvings leave the 3 x 3 window of the last scale exactly one place
_KERNELS = tuple(tuple(gaussian_kernel1d(n, n / 5)) for n in (17, 9, 5, 3))
_NOISE = 2.0  # variance of the visual system's internal noise, in squared grey levels


def vif(ir: Tensor, vis: Tensor, fused: Tensor, data_range: float, cap_gain: bool = False) -> Tensor:
    r"""Visual information fidelity of a fused image: the sum over both sources (tables print it as VIF or VIFF).

    H. R. Sheikh and A. C. Bovik, *Image information and visual quality*, IEEE TIP 15(2), 2006, in the pixel-domain form
    with four scales. A source window is a Gaussian channel input; its distorted version is modelled as
    :math:`F = g S + \nu`, and the score compares the information that survives an internal noise of variance 2:

    .. math:: \mathrm{VIF}_S = \frac{\sum \log(1 + g^2 \sigma_S^2 / (\sigma_\nu^2 + 2))}{\sum \log(1 + \sigma_S^2 / 2)},
        \quad g = \frac{\sigma_{SF}}{\sigma_S^2}, \quad \sigma_\nu^2 = \sigma_F^2 - g \sigma_{SF}

    with negative ``g`` read as 0. Windows are Gaussians of 17, 9, 5 and 3 pixels with sigma a fifth of the size, without
    padding; between scales the image is filtered with the next window and halved.

    Differentiable in all three images. **Not bounded by 2**: raising the contrast of ``fused`` raises the score without
    end, so a reward or a loss should set ``cap_gain``.

    Protocols: all agree (the sum over both sources), also on the definition of each step.

    Args:
        ir: gray, ``(N, 1, H, W)`` in [0, ``data_range``], at least 41 x 41. float64 where digits matter; float32 loses the
            variance of nearly flat windows (about 1e-3 in the score).
        vis: the same shape.
        fused: the same shape.
        data_range: value of white, 1 or 255. Scores depend on it: the noise is given in grey levels.
        cap_gain: count a window whose contrast exceeds the source's (``g > 1``) as if it had the source's, *not from the
            paper*: contrast enhancement brings nothing, the noise that it amplifies costs, and no source's score exceeds 1.
            Default False, the published metric.

    Returns:
        ``(N,)``, from 0, higher is better. An identical image scores 1 for its source, a flat source scores 1,
        and a flat ``fused`` 0 for any other source.

    Raises:
        ValueError: shapes that differ or are too small.

    Example:
        >>> image = torch.rand(1, 1, 64, 64, dtype=torch.float64)
        >>> round(float(vif(image, image, image, data_range=1)), 6)
        2.0
    """
    sources, fused = to_levels(ir, vis, fused, data_range, 'VIF', VIF_SMALLEST)
    return vif_scores(vif_windows(sources), fused, cap_gain).sum(1)


class VifWindows(NamedTuple):
    """What VIF needs of the sources alone, a strip of windows at one scale."""

    scale: int
    rows: slice
    strip: Tensor  # of the images side by side
    mean: Tensor  # (S, N, blocks, h, b)
    inverse: Tensor  # 1 / (variance + eps), or 0 for flat windows
    information: Tensor  # (N, S): this strip's part of the denominator


def vif_windows(sources: Tensor) -> Iterator[VifWindows]:
    """Source side of VIF for ``(N, S, H, W)`` in grey levels; a list of it serves any number of fused images."""
    for scale, kernel in enumerate(_KERNELS):
        if scale:
            sources = filter_valid(sources, kernel, stride=2)
        width = sources.shape[-1] - len(kernel) + 1
        laid = side_by_side(sources, len(kernel))
        for rows in row_strips(sources, len(kernel)):
            strip = to_float(laid[rows])
            mean, variance, eps = _mean_and_variance(strip, kernel)
            variance = torch.threshold(variance, eps, 0.0)
            inverse = variance + eps
            inverse = torch.div(variance.sign(), inverse, out=into(inverse))
            signal = variance * (1 / _NOISE)
            information = sum_windows(_log_ratio(torch.add(signal, 1, out=into(signal))), width)
            yield VifWindows(scale, rows, strip, mean, inverse, information)


def vif_scores(windows: Iterable[VifWindows], fused: Tensor, cap_gain: bool = False) -> Tensor:
    """VIF of ``fused``, ``(N, 1, H, W)`` in grey levels, to each source: ``(N, S)``."""
    information, kept, scale, laid = 0.0, 0.0, -1, fused
    for source in windows:
        kernel = _KERNELS[source.scale]
        if source.scale != scale:
            scale = source.scale
            if scale:
                fused = filter_valid(fused, kernel, stride=2)
            width = fused.shape[-1] - len(kernel) + 1
            laid = side_by_side(fused, len(kernel))
        strip = to_float(laid[source.rows])
        mean, variance, eps = _mean_and_variance(strip, kernel)
        total = torch.clamp_min(variance, 0, out=into(variance)) + _NOISE
        covariance = window_means(source.strip * strip, kernel)
        covariance = torch.addcmul(covariance, mean, source.mean, value=-1, out=into(covariance))
        covariance = torch.clamp_min(covariance, 0, out=into(covariance))
        gain = covariance * source.inverse
        noise = torch.addcmul(total, gain, covariance, value=-1, out=into(covariance))
        if cap_gain:
            signal = torch.addcmul(noise, gain.clamp(max=1).square(), _source_variance(source.inverse, eps))
        else:
            signal = torch.addcmul(total, gain, gain, value=-eps, out=into(gain))  # noise + g^2 var_S
        if signal.requires_grad:
            signal, noise = _only_inside(signal, width), _only_inside(noise, width)
        kept = kept + sum_windows(_log_ratio(signal, noise), width)
        information = information + source.information
    flat = information == 0
    return torch.where(flat, 1.0, kept / torch.where(flat, 1.0, information))


def _mean_and_variance(strip: Tensor, kernel: Kernel) -> tuple[Tensor, Tensor, float]:
    """Mean and variance of the windows of a strip, and the variance below which there is only rounding.

    That is 1e-10 as published, and more where the number format is coarser.
    """
    mean = window_means(strip, kernel)
    variance = window_means(strip * strip, kernel)
    variance = torch.addcmul(variance, mean, mean, value=-1, out=into(variance))
    return mean, variance, max(1e-10, 255**2 * torch.finfo(strip.dtype).eps)


def _source_variance(inverse: Tensor, eps: float) -> Tensor:
    """Variance of the source's windows, of which only the inverse is kept."""
    return torch.where(inverse > 0, 1 / inverse.clamp(min=1e-12) - eps, 0.0)


def _only_inside(values: Tensor, width: int) -> Tensor:
    """1 in windows that cross a border: nothing is summed there, but a logarithm's gradient of 0 / 0 would be nan."""
    position = torch.arange(values.shape[2] * values.shape[4], device=values.device)
    return values.where((position < width).view(values.shape[2], 1, values.shape[4]), 1.0)


def _log_ratio(x: Tensor, y: Tensor | None = None) -> Tensor:
    """Sum of ``log x`` or ``log x / y`` over the rows of ``(..., h, b)``, for ``1 <= x, y < 2 ** 14``: ``(..., b)``."""
    if x.dtype != torch.float64:
        return (x.log() if y is None else x.log() - y.log()).sum(-2)
    # A product of up to 64 factors cannot overflow and costs a fraction of their logarithms.
    x = torch.stack([part.prod(-2) for part in x.split(64, dim=-2)])
    if y is not None:
        x = x / torch.stack([part.prod(-2) for part in y.split(64, dim=-2)])
    return x.log().sum(0)
