"""Structural similarity, single and multi-scale."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from fusionkd.ops import gaussian_kernel1d

from .levels import to_levels
from .windows import Kernel, into, row_strips, side_by_side, sum_windows, to_float, window_means

MS_SSIM_SMALLEST = 161  # four halvings leave the 11 x 11 window some room
_MS_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
_PADDINGS = ('valid', 'replicate')


WINDOWS = {  # weights along one axis, and whether variances are divided by n - 1 instead of n
    'gaussian': (tuple(gaussian_kernel1d(11, 1.5)), False),
    'uniform': ((1.0,) * 7, True),
}


def ssim(
    ir: Tensor,
    vis: Tensor,
    fused: Tensor,
    data_range: float,
    dynamic_range: float = 255.0,
    window: str = 'gaussian',
    padding: str = 'valid',
    reduction: str = 'mean',
) -> Tensor:
    r"""Structural similarity of a fused image to both sources (SSIM).

    Z. Wang, A. C. Bovik, H. R. Sheikh and E. P. Simoncelli, *Image quality assessment: from error visibility to structural
    similarity*, IEEE TIP 13(4), 2004:

    .. math:: \mathrm{SSIM}_S = \operatorname{mean}
        \frac{(2 \mu_S \mu_F + C_1)(2 \sigma_{SF} + C_2)}{(\mu_S^2 + \mu_F^2 + C_1)(\sigma_S^2 + \sigma_F^2 + C_2)},
        \quad C_i = (K_i L)^2,\ K = (0.01, 0.03)

    Differentiable in all three images. Plain averaging of the sources comes out best.

    Protocols: ``proper`` is the published metric (11 x 11 Gaussian of sigma 1.5, L = 255, mean over sources). ``vifb`` sums
    the sources. ``cddfuse`` has a 7 x 7 uniform window with unbiased variances and L = 2, and sums; ``tang`` and
    ``hybridfusion`` L = 1 and sum; ``tang_matlab`` L = 1 and repeated borders. An L of 1 or 2 on 255 levels makes the
    constants vanish: flat regions then decide the score, and float32 is off by up to 3e-3.

    Args:
        ir: gray, ``(N, 1, H, W)`` in [0, ``data_range``], at least as large as the window (11 or 7).
        vis: the same shape.
        fused: the same shape.
        data_range: value of white, 1 or 255.
        dynamic_range: L, in grey levels of 0 to 255 whatever the ``data_range``.
        window: ``'gaussian'`` or ``'uniform'``.
        padding: ``'valid'``, only windows inside the image, or ``'replicate'``.
        reduction: ``'mean'`` or ``'sum'`` over the two sources.

    Returns:
        ``(N,)``, up to 1 (2 for a sum), higher is better; an identical image scores 1 for its source. Constant images differ
        in luminance alone.

    Raises:
        ValueError: shapes that differ or are too small, or an unknown option.

    Example:
        >>> image = torch.rand(1, 1, 32, 32, dtype=torch.float64)
        >>> round(float(ssim(image, image, image, data_range=1)), 6)
        1.0
    """
    if window not in WINDOWS:
        raise ValueError(f'SSIM: unknown window {window!r}; known: {", ".join(WINDOWS)}')
    if padding not in _PADDINGS:
        raise ValueError(f'SSIM: unknown padding {padding!r}; known: {", ".join(_PADDINGS)}')
    form = ssim_form(dynamic_range, window, padding)
    sources, fused = to_levels(ir, vis, fused, data_range, 'SSIM', form.smallest)
    return reduce_sources(ssim_scores(ssim_windows(sources, form), fused, form)[0], reduction)


def ms_ssim(
    ir: Tensor, vis: Tensor, fused: Tensor, data_range: float, dynamic_range: float = 255.0, reduction: str = 'mean'
) -> Tensor:
    r"""Multi-scale structural similarity of a fused image to both sources (MS_SSIM).

    Z. Wang, E. P. Simoncelli and A. C. Bovik, *Multiscale structural similarity for image quality assessment*, Asilomar
    2003:

    .. math:: \mathrm{MS\text{-}SSIM}_S = \mathrm{SSIM}_5^{w_5} \prod_{j=1}^{4} c_j^{w_j}

    with the contrast-structure factors :math:`c_j` of :func:`ssim` at scale j, negative values read as 0, and 2 x 2 means
    between scales; an image of odd size gets a border of zeros first, as in the common PyTorch code.

    Protocols: ``tang`` and ``hybridfusion`` have L = 1 and sum over the sources (``hybridfusion`` reports it on the CPU
    only); the other protocols do not define it and use L = 255 with the sum or mean of their SSIM.

    Args:
        ir: gray, ``(N, 1, H, W)`` in [0, ``data_range``], at least 161 x 161.
        vis: the same shape.
        fused: the same shape.
        data_range: value of white, 1 or 255.
        dynamic_range: L, in grey levels of 0 to 255 whatever the ``data_range``.
        reduction: ``'mean'`` or ``'sum'`` over the two sources.

    Returns:
        ``(N,)``, 0 to 1 (2 for a sum), higher is better; an identical image scores 1 for its source. Constant images differ
        in luminance alone.

    Raises:
        ValueError: shapes that differ or are too small, or an unknown reduction.
    """
    sources, fused = to_levels(ir, vis, fused, data_range, 'MS_SSIM', MS_SSIM_SMALLEST)
    form = ssim_form(dynamic_range)
    return reduce_sources(ms_ssim_scores(ms_ssim_windows(sources, form), fused, form), reduction)


def reduce_sources(scores: Tensor, reduction: str) -> Tensor:
    """Sum or mean of per-source scores ``(N, S)``: ``(N,)``."""
    if reduction not in ('sum', 'mean'):
        raise ValueError(f"unknown reduction {reduction!r}; known: 'sum', 'mean'")
    return scores.sum(1) if reduction == 'sum' else scores.mean(1)


class SsimForm(NamedTuple):
    """One definition of SSIM."""

    kernel: Kernel  # weights of the window along one axis
    c1: float
    c2: float
    border: int  # pixels repeated around the image

    @property
    def weight(self) -> float:
        """Sum of the weights of a window: 1, or the number of its pixels."""
        return sum(self.kernel) ** 2

    @property
    def smallest(self) -> int:
        """Least height and width of an image."""
        return 2 if self.border else len(self.kernel)

    @property
    def precision(self) -> torch.dtype:
        """Of the sums over windows of whole grey levels: with whole weights they are exact in float32."""
        return torch.float32 if all(w == int(w) for w in self.kernel) else torch.float64


class SsimWindows(NamedTuple):
    """What SSIM needs of the sources alone, a strip of windows. Sums over a window of weight n stay undivided."""

    rows: slice
    strip: Tensor  # of the images side by side
    sums: Tensor  # (S, N, blocks, h, b), as all that follow
    luminance: Tensor  # n^2 (mean^2 + c1)
    contrast: Tensor  # n (variance + c2)


def ssim_form(dynamic_range: float = 255.0, window: str = 'gaussian', padding: str = 'valid') -> SsimForm:
    """The definition with these options of :func:`ssim`."""
    kernel, unbiased = WINDOWS[window]
    size = len(kernel)
    c1, c2 = (0.01 * dynamic_range) ** 2, (0.03 * dynamic_range) ** 2
    if unbiased:  # the factor n / (n - 1) of all variances, moved to the one constant beside them
        c2 *= (size**2 - 1) / size**2
    return SsimForm(kernel, c1, c2, size // 2 if padding == 'replicate' else 0)


def ssim_windows(sources: Tensor, form: SsimForm) -> Iterator[SsimWindows]:
    """Source side of SSIM for ``(N, S, H, W)`` in grey levels; a list of it serves any number of fused images."""
    n = form.weight
    sources = _pad(sources, form.border)
    laid = side_by_side(sources, len(form.kernel), dtype=form.precision)
    wide = laid.dtype if laid.is_floating_point() else torch.float64
    for rows in row_strips(sources, len(form.kernel)):
        strip = to_float(laid[rows], form.precision)
        sums, contrast = _sums_and_variances(strip, form, wide)
        yield SsimWindows(rows, strip, sums, sums * sums + n**2 * form.c1, contrast + n * form.c2)


def ssim_scores(
    windows: Iterable[SsimWindows], fused: Tensor, form: SsimForm, contrast: bool = False
) -> tuple[Tensor, Tensor | None]:
    """SSIM of ``fused``, ``(N, 1, H, W)`` in grey levels, to each source: ``(N, S)``.

    Returns:
        SSIM, and with ``contrast`` the mean of its contrast-structure factor alone, else ``None``.
    """
    n, size = form.weight, len(form.kernel)
    fused = _pad(fused, form.border)
    height, width = (side - size + 1 for side in fused.shape[-2:])
    laid = side_by_side(fused, size, dtype=form.precision)
    wide = laid.dtype if laid.is_floating_point() else torch.float64
    total, total_contrast = 0.0, 0.0
    for source in windows:
        strip = to_float(laid[source.rows], form.precision)
        sums, variance = _sums_and_variances(strip, form, wide)
        covariance = window_means(source.strip * strip, form.kernel).to(wide)
        products = sums * source.sums
        covariance = torch.sub(covariance, products, alpha=1 / n, out=into(covariance))
        above = torch.add(covariance.new_tensor(n * form.c2), covariance, alpha=2, out=into(covariance))
        below = source.contrast + variance
        if contrast:
            total_contrast = total_contrast + sum_windows((above / below).sum(-2), width)
        products = torch.add(products.new_tensor(n**2 * form.c1), products, alpha=2, out=into(products))
        above = torch.mul(above, products, out=into(above))
        below = torch.mul(below, torch.addcmul(source.luminance, sums, sums), out=into(below))
        total = total + sum_windows(torch.div(above, below, out=into(above)).sum(-2), width)
    windows = height * width
    return total / windows, total_contrast / windows if contrast else None


def _sums_and_variances(strip: Tensor, form: SsimForm, wide: torch.dtype) -> tuple[Tensor, Tensor]:
    """Sum over every window of weight n, and n times its variance."""
    sums, squares = (window_means(x, form.kernel).to(wide) for x in (strip, strip * strip))
    return sums, torch.addcmul(squares, sums, sums, value=-1 / form.weight, out=into(squares))


def ms_ssim_windows(sources: Tensor, form: SsimForm) -> list[list[SsimWindows]]:
    """Source side of MS-SSIM for ``(N, S, H, W)`` in grey levels: :func:`ssim_windows` of each scale."""
    scales = [list(ssim_windows(sources, form))]
    while len(scales) < len(_MS_WEIGHTS):
        sources = _halve(sources)
        scales.append(list(ssim_windows(sources, form)))
    return scales


def ms_ssim_scores(scales: list[list[SsimWindows]], fused: Tensor, form: SsimForm) -> Tensor:
    """MS-SSIM of ``fused``, ``(N, 1, H, W)`` in grey levels, to each source: ``(N, S)``."""
    score = 1.0
    for scale, (windows, weight) in enumerate(zip(scales, _MS_WEIGHTS, strict=True)):
        if scale:
            fused = _halve(fused)
        full, structure = ssim_scores(windows, fused, form, contrast=True)
        score = score * (full if scale == len(scales) - 1 else structure).clamp_min(0) ** weight
    return score


def _pad(x: Tensor, border: int) -> Tensor:
    if not border:
        return x
    return F.pad(x if x.is_floating_point() else x.double(), (border,) * 4, mode='replicate')


def _halve(x: Tensor) -> Tensor:
    x = x if x.is_floating_point() else x.double()
    return F.avg_pool2d(x, kernel_size=2, padding=[side % 2 for side in x.shape[-2:]])
