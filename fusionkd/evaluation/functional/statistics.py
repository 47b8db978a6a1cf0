"""Measures built from means, variances and correlations: SD, MSE, RMSE, PSNR, CC and SCD."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from .levels import fused_levels, to_levels
from .windows import into, row_strips, take_rows


def sd(fused: Tensor, data_range: float) -> Tensor:
    r"""Standard deviation of the grey levels of a fused image (SD): its contrast.

    .. math:: \mathrm{SD} = \sqrt{\operatorname{mean} (F - \bar F)^2}

    Y.-J. Rao, *In-fibre Bragg grating sensors*, Meas. Sci. Technol. 8, 1997, is what fusion papers cite. No reference:
    stretching the contrast raises it without end.

    Protocols: the same in all (``vifb`` per channel; its tables call it Variance).

    Args:
        fused: gray, ``(N, 1, H, W)`` in [0, ``data_range``].
        data_range: value of white, 1 or 255.

    Returns:
        ``(N,)`` in grey levels, 0 to 127.5, higher is better. A constant image has 0.
    """
    fused = fused_levels(fused, data_range, 'SD', 1)
    return sd_from(moments(source_moments(fused), fused))


def mse(ir: Tensor, vis: Tensor, fused: Tensor, data_range: float, scale: float = 255.0) -> Tensor:
    r"""Mean squared error, averaged over both sources (MSE).

    .. math:: \mathrm{MSE} = \frac{1}{2} \sum_S \operatorname{mean} (F - S)^2

    A copy of either source can be better than any fusion.

    Protocols: ``cddfuse`` and ``proper`` on 0 to 255; ``tang``, ``tang_matlab`` and ``hybridfusion`` on 0 to 1.

    Args:
        ir: gray, ``(N, 1, H, W)`` in [0, ``data_range``].
        vis: the same shape.
        fused: the same shape.
        data_range: value of white, 1 or 255.
        scale: range the result is expressed in, 255 or 1.

    Returns:
        ``(N,)`` in squared units of ``scale``, lower is better, 0 for identical images.

    Raises:
        ValueError: shapes that differ.
    """
    sources, fused = to_levels(ir, vis, fused, data_range, 'MSE', 1)
    return mse_from(moments(source_moments(sources), fused), scale)


def rmse(ir: Tensor, vis: Tensor, fused: Tensor, data_range: float) -> Tensor:
    r"""Root mean squared error as the VIFB benchmark defines it (RMSE), averaged over both sources.

    .. math:: \mathrm{RMSE} = \frac{1}{2} \sum_S \frac{\sqrt{\sum (F - S)^2}}{H W}

    P. Jagalingam and A. V. Hegde, *A review of quality metrics for fused image*, Aquatic Procedia 4, 2015. The division is
    outside the root, so larger images get smaller values: compare only images of one size.

    Protocols: the same in all.

    Args:
        ir: gray, ``(N, 1, H, W)`` in [0, ``data_range``].
        vis: the same shape.
        fused: the same shape.
        data_range: value of white, 1 or 255.

    Returns:
        ``(N,)``, lower is better, 0 for identical images.

    Raises:
        ValueError: shapes that differ.
    """
    sources, fused = to_levels(ir, vis, fused, data_range, 'RMSE', 1)
    return rmse_from(moments(source_moments(sources), fused))


def psnr(ir: Tensor, vis: Tensor, fused: Tensor, data_range: float, form: str = 'peak_255') -> Tensor:
    r"""Peak signal-to-noise ratio against both sources (PSNR).

    .. math:: \mathrm{PSNR} = 10 \log_{10} (\mathrm{peak}^2 / \mathrm{MSE})

    Protocols, by ``form``: ``proper`` has peak 255 (``'peak_255'``); ``cddfuse`` the brightest level of the fused image
    (``'peak_fused'``); ``tang``, ``tang_matlab`` and ``hybridfusion`` divide 255 by an error on 0 to 1, which adds 48.13 dB
    (``'peak_255_over_unit'``); ``vifb`` puts :func:`rmse` in the place of MSE (``'rmse'``).

    Args:
        ir: gray, ``(N, 1, H, W)`` in [0, ``data_range``].
        vis: the same shape.
        fused: the same shape.
        data_range: value of white, 1 or 255.
        form: one of the above.

    Returns:
        ``(N,)`` in dB, higher is better; inf for identical images, -inf for a black ``fused`` and another source with
        ``'peak_fused'``.

    Raises:
        ValueError: shapes that differ, or an unknown form.
    """
    sources, fused = to_levels(ir, vis, fused, data_range, 'PSNR', 1)
    return psnr_from(moments(source_moments(sources), fused), form)


def cc(ir: Tensor, vis: Tensor, fused: Tensor, data_range: float, undefined: float = math.nan) -> Tensor:
    r"""Correlation coefficient, averaged over both sources (CC).

    .. math:: \mathrm{CC} = \frac{1}{2} \sum_S r(S, F)

    with Pearson's r over all pixels. Plain averaging of the sources comes out best.

    Protocols: the same in all.

    Args:
        ir: gray, ``(N, 1, H, W)`` in [0, ``data_range``].
        vis: the same shape.
        fused: the same shape.
        data_range: value of white, 1 or 255.
        undefined: value of a correlation with a constant image: nan in a metric, a number in a loss.

    Returns:
        ``(N,)``, -1 to 1, higher is better; ``undefined`` where ``fused`` or a source is constant.

    Raises:
        ValueError: shapes that differ.
    """
    sources, fused = to_levels(ir, vis, fused, data_range, 'CC', 1)
    return cc_from(moments(source_moments(sources), fused), undefined)


def scd(ir: Tensor, vis: Tensor, fused: Tensor, data_range: float, undefined: float = math.nan) -> Tensor:
    r"""Sum of the correlations of differences (SCD).

    .. math:: \mathrm{SCD} = r(F - B, A) + r(F - A, B)

    V. Aslantas and E. Bendes, *A new image quality metric for image fusion: the sum of the correlations of differences*,
    AEU 69(12), 2015: what ``fused`` has beyond one source should be the other source. Differentiable; min-max stretching
    of ``fused`` raises it.

    Protocols: the same in all.

    Args:
        ir: gray, ``(N, 1, H, W)`` in [0, ``data_range``], A in the formula.
        vis: the same shape, B in the formula.
        fused: the same shape.
        data_range: value of white, 1 or 255.
        undefined: value of a correlation with a constant image: nan in a metric, a number, such as 0, in a loss.

    Returns:
        ``(N,)``, -2 to 2, higher is better; nan where ``fused`` equals a source up to a constant, or a source is
        constant, because a difference or a source then has no variance. With a number for ``undefined``, that number
        takes the place of the one correlation that is not defined.

    Raises:
        ValueError: shapes that differ.
    """
    sources, fused = to_levels(ir, vis, fused, data_range, 'SCD', 1)
    return scd_from(moments(source_moments(sources), fused), undefined)


class SourceMoments(NamedTuple):
    """What the sources alone contribute to :class:`Moments`."""

    images: Tensor  # (N, S, H, W) in grey levels
    mean: Tensor  # (N, S)
    covariance: Tensor  # (N, S, S), population


class Moments(NamedTuple):
    """Population moments of ``S`` sources and one fused image, in grey levels."""

    pixels: int
    peak: Tensor  # (N,) largest level of the fused image
    source_covariance: Tensor  # (N, S, S)
    variance: Tensor  # (N,) of the fused image
    covariance: Tensor  # (N, S) between source and fused image
    error: Tensor  # (N, S) mean squared difference
    difference_variance: Tensor  # (N, S) variance of the difference


def source_moments(sources: Tensor) -> SourceMoments:
    """Source side of :func:`moments` for ``(N, S, H, W)`` in grey levels."""
    mean = _mean(sources)
    covariance = 0.0
    for rows in row_strips(sources):
        centred = take_rows(sources, rows) - mean[..., None, None]
        products = [(centred * channel).flatten(2).sum(2) for channel in centred.split(1, dim=1)]
        covariance = covariance + torch.stack(products, dim=2)
    return SourceMoments(sources, mean, covariance / sources[0, 0].numel())


def moments(source: SourceMoments, fused: Tensor) -> Moments:
    """Moments of ``fused``, ``(N, 1, H, W)`` in grey levels, and its differences from the sources.

    The differences are taken before they are squared: identical images give exactly 0.
    """
    pixels = fused[0, 0].numel()
    mean = _mean(fused)  # (N, 1)
    variance, error = 0.0, 0.0
    for rows in row_strips(source.images):
        strip = take_rows(fused, rows)
        error = error + _sum_squares(take_rows(source.images, rows) - strip)
        variance = variance + _sum_squares(strip - mean[..., None, None]).squeeze(1)
    peak = fused.amax(dim=(-1, -2, -3)).to(variance.dtype)
    return _moments(source, pixels, peak, mean, variance / pixels, error / pixels)


def moments_from_counts(source: SourceMoments, joint: Tensor) -> Moments:
    """:func:`moments` of whole grey levels from their joint histograms, ``(N, S, 256, 256)``, without the images."""
    joint = joint.double()
    levels = torch.arange(joint.shape[-1], dtype=joint.dtype, device=joint.device)
    counts = joint[:, 0].sum(-2)  # of the fused image
    pixels = source.images[0, 0].numel()
    mean = (counts @ levels / pixels).unsqueeze(1)
    variance = (counts * (levels - mean).square()).sum(1) / pixels
    error = joint.flatten(2) @ (levels.unsqueeze(1) - levels).square().flatten() / pixels
    return _moments(source, pixels, (levels * counts.sign()).amax(1), mean, variance, error)


def _moments(
    source: SourceMoments, pixels: int, peak: Tensor, mean: Tensor, variance: Tensor, error: Tensor
) -> Moments:
    shift = mean - source.mean
    # The rounding of the means counts in proportion to the shift.
    spread = _drop_rounding(error - shift.square(), error + shift.abs() * (mean.abs() + source.mean.abs()))
    own = torch.diagonal(source.covariance, dim1=-1, dim2=-2)
    covariance = (own + variance.unsqueeze(1) - spread) / 2
    return Moments(pixels, peak, source.covariance, variance, covariance, error, spread)


def sd_from(m: Moments) -> Tensor:
    """SD of moments: ``(N,)``."""
    return m.variance.sqrt()


def mse_from(m: Moments, scale: float = 255.0) -> Tensor:
    """MSE of moments, expressed in a range of ``scale``: ``(N,)``."""
    return m.error.mean(1) * (scale / 255) ** 2


def rmse_from(m: Moments) -> Tensor:
    """RMSE of moments as in the VIFB benchmark: ``(N,)``."""
    return (m.error / m.pixels).sqrt().mean(1)


def psnr_from(m: Moments, form: str = 'peak_255') -> Tensor:
    """PSNR of moments: ``(N,)``; see :func:`psnr` for the forms."""
    if form == 'peak_255':
        return 10 * (255**2 / mse_from(m)).log10()
    if form == 'peak_fused':
        error = mse_from(m)
        # Two black images are identical as well: no error comes before no peak.
        return torch.where(error == 0, math.inf, 10 * (m.peak.square() / error).log10())
    if form == 'peak_255_over_unit':
        return 10 * (255**2 / mse_from(m, 1.0)).log10()
    if form == 'rmse':
        return 10 * (255**2 / rmse_from(m)).log10()
    raise ValueError(f"PSNR: unknown form {form!r}; known: 'peak_255', 'peak_fused', 'peak_255_over_unit', 'rmse'")


def cc_from(m: Moments, undefined: float = math.nan) -> Tensor:
    """CC of moments: ``(N,)``."""
    own = torch.diagonal(m.source_covariance, dim1=-1, dim2=-2)
    return _pearson(m.covariance, own, m.variance.unsqueeze(1), undefined).mean(1)


def scd_from(m: Moments, undefined: float = math.nan) -> Tensor:
    """SCD of moments of two sources: ``(N,)``."""
    own = torch.diagonal(m.source_covariance, dim1=-1, dim2=-2)
    between = m.source_covariance[:, 0, 1].unsqueeze(1)
    return _pearson(m.covariance - between, own, m.difference_variance.flip(1), undefined).sum(1)


def _pearson(covariance: Tensor, variance_a: Tensor, variance_b: Tensor, undefined: float) -> Tensor:
    product = variance_a * variance_b
    defined = product > 0
    return torch.where(defined, covariance / torch.where(defined, product, 1.0).sqrt(), undefined)


def _mean(x: Tensor) -> Tensor:
    """Mean of each channel: ``(N, C, H, W)`` to ``(N, C)``."""
    if x.is_floating_point():
        return x.mean(dim=(-1, -2))
    return x.sum(dim=(-1, -2)).double() / x[0, 0].numel()


def _sum_squares(x: Tensor) -> Tensor:
    """``(N, C, h, W)`` to ``(N, C)``."""
    return torch.mul(x, x, out=into(x)).flatten(2).sum(2)


def _drop_rounding(variance: Tensor, scale: Tensor) -> Tensor:
    """Zero where a variance, found as a difference of two numbers of size ``scale``, is only their rounding error."""
    return torch.where(variance > 64 * torch.finfo(variance.dtype).eps * scale, variance, 0.0)
