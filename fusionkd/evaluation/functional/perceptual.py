"""Measures through a model of the eye's contrast sensitivity: Qcv and Qcb."""

import torch
import torch.nn.functional as F
from torch import Tensor

from fusionkd.ops import sobel

from .levels import to_levels

_REGION = 16  # side of Qcv's local regions
_SALIENCY_POWER = 5
_RADIUS = 15  # of Qcb's Gaussian windows


def qcv(ir: Tensor, vis: Tensor, fused: Tensor, data_range: float) -> Tensor:
    r"""Perceived difference between a fused image and its sources, weighted by regional saliency (Qcv).

    H. Chen and P. K. Varshney, *A human perception inspired quality metric for image fusion based on regional
    information*, Information Fusion 8(2), 2007. The difference :math:`F - S` is filtered with the contrast sensitivity
    :math:`2.6 (0.0192 + 0.144 r) e^{-(0.144 r)^{1.1}}`, r in cycles per degree; its mean square :math:`D_S` in regions of
    16 x 16 is weighted by the regions' saliency :math:`\lambda_S = \sum g_S^5` of Sobel strengths:

    .. math:: Q_{cv} = \frac{\sum_{r} \lambda_A D_A + \lambda_B D_B}{\sum_{r} \lambda_A + \lambda_B}

    Each image is first stretched to 0 to 255 and rounded; regions at the right and lower border are filled with zeros.

    Protocols: the same in all (``vifb`` per channel).

    Args:
        ir: gray, ``(N, 1, H, W)`` in [0, ``data_range``], at least 2 x 2.
        vis: the same shape.
        fused: the same shape.
        data_range: value of white, 1 or 255.

    Returns:
        ``(N,)``, from 0, lower is better, 0 for identical images; nan where an image is constant and not black, or both
        sources are black.

    Raises:
        ValueError: shapes that differ or are too small.
    """
    sources, fused = to_levels(ir, vis, fused, data_range, 'Qcv')
    sources, fused = _stretch(sources), _stretch(fused)
    dx, dy = sobel(sources, padding='zeros')
    saliency = _regions((dx.square() + dy.square()).sqrt() ** _SALIENCY_POWER)
    height, width = fused.shape[-2:]
    r = _radial_frequency(fused, height / 8, width / 8)
    sensitivity = 2.6 * (0.0192 + 0.144 * r) * (-((0.144 * r) ** 1.1)).exp()
    difference = _regions(_filter(sources - fused, sensitivity).square()) / _REGION**2
    return (saliency * difference).sum((1, 2, 3)) / saliency.sum((1, 2, 3))


def qcb(ir: Tensor, vis: Tensor, fused: Tensor, data_range: float) -> Tensor:
    r"""Preservation of perceived local contrast (Qcb).

    Y. Chen and R. S. Blum, *A new automated quality assessment algorithm for image fusion*, Image and Vision Computing
    27(10), 2009. Each image is stretched to 0 to 255, rounded and filtered with a difference of Gaussians as contrast
    sensitivity; local contrast is the ratio of two Gaussian means (sigma 2 and 4) less 1, masked as
    :math:`C' = |C|^3 / (|C|^2 + 10^{-4})`. With the ratio :math:`Q_S` of the weaker to the stronger masked contrast of
    source and fused image,

    .. math:: Q_{cb} = \operatorname{mean} \frac{C_A'^2 Q_A + C_B'^2 Q_B}{C_A'^2 + C_B'^2}

    The Gaussian weights are not normalised and the image is padded with zeros, as in the authors' widely used code.

    Protocols: the same in all (``vifb`` per channel).

    Args:
        ir: gray, ``(N, 1, H, W)`` in [0, ``data_range``], at least 2 x 2.
        vis: the same shape.
        fused: the same shape.
        data_range: value of white, 1 or 255.

    Returns:
        ``(N,)``, 0 to 1, higher is better, 1 for identical images; nan where an image is constant.

    Raises:
        ValueError: shapes that differ or are too small.
    """
    sources, fused = to_levels(ir, vis, fused, data_range, 'Qcb')
    height, width = fused.shape[-2:]
    r = _radial_frequency(fused, height / 30, width / 30)
    sensitivity = (-((r / 15.3870) ** 2)).exp() - 0.7622 * (-((r / 1.3456) ** 2)).exp()
    source, own = (_masked_contrast(_filter(_stretch(x), sensitivity)) for x in (sources, fused))
    preserved = torch.where(source < own, source / own, own / source)
    saliency = source.square()
    return ((saliency * preserved).sum(1) / saliency.sum(1)).mean(dim=(-1, -2))


def _stretch(x: Tensor) -> Tensor:
    """Each image to 0 to 255, rounded half up; a black one stays black, another constant one becomes nan."""
    low, high = x.amin((-1, -2), keepdim=True), x.amax((-1, -2), keepdim=True)
    stretched = ((x - low) / (high - low) * 255 + 0.5).floor()
    return torch.where((low == 0) & (high == 0), x, stretched)


def _radial_frequency(x: Tensor, along_y: float, along_x: float) -> Tensor:
    """Distance from frequency 0 in the layout of ``fft2``, where ``along_y`` and ``along_x`` are the Nyquist rates."""
    height, width = x.shape[-2:]
    options = {'dtype': x.dtype, 'device': x.device}
    v = torch.fft.fftfreq(height, 0.5, **options) * along_y
    u = torch.fft.fftfreq(width, 0.5, **options) * along_x
    return (v.square().unsqueeze(1) + u.square()).sqrt()


def _filter(x: Tensor, response: Tensor) -> Tensor:
    return torch.fft.ifft2(torch.fft.fft2(x) * response).real


def _regions(x: Tensor) -> Tensor:
    """Sums over regions of 16 x 16, the last ones filled with zeros."""
    height, width = x.shape[-2:]
    x = F.pad(x, (0, -width % _REGION, 0, -height % _REGION))
    return F.avg_pool2d(x, _REGION) * _REGION**2


def _masked_contrast(x: Tensor) -> Tensor:
    contrast = (_gaussian_sum(x, 2.0) / _gaussian_sum(x, 4.0) - 1).abs()
    return contrast**3 / (contrast.square() + 1e-4)


def _gaussian_sum(x: Tensor, sigma: float) -> Tensor:
    """Convolution with an unnormalised-by-truncation Gaussian density of 31 x 31, zero padding."""
    position = torch.arange(-_RADIUS, _RADIUS + 1, dtype=x.dtype, device=x.device)
    density = (-position.square() / (2 * sigma**2)).exp() / ((2 * torch.pi) ** 0.5 * sigma)
    n, c, height, width = x.shape
    x = F.pad(x.reshape(n * c, 1, height, width), (_RADIUS,) * 4)
    x = F.conv2d(F.conv2d(x, density.view(1, 1, -1, 1)), density.view(1, 1, 1, -1))
    return x.view(n, c, height, width)
