"""From what users have, arrays and tensors of several kinds, to batches of grey levels as a protocol defines them."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

_HINT = 'pass (N, C, H, W), (C, H, W) or (H, W) with 1 or 3 channels, or a numpy image (H, W, 3)'


def as_batch(name: str, image: Any, data_range: float | None) -> Tensor:
    """Check one image or batch and bring it to grey levels.

    Args:
        name: what to call it in error messages.
        image: tensor or numpy array: ``(N, C, H, W)``, ``(C, H, W)``, ``(H, W)``, or a numpy image ``(H, W, 3)``; 1 or 3
            channels. uint8, or floating in [0, ``data_range``].
        data_range: value of white of floating images, 1 or 255. Never guessed.

    Returns:
        ``(N, C, H, W)`` in [0, 255]: uint8 as it came, floating in its own precision.

    Raises:
        TypeError: neither tensor nor array, or a type that is neither uint8 nor floating.
        ValueError: an ambiguous or wrong shape, a missing or wrong range, values outside it or not finite.
    """
    if isinstance(image, np.ndarray):
        image = torch.from_numpy(np.ascontiguousarray(_channels_first(name, image)))
    if not isinstance(image, Tensor):
        raise TypeError(f'{name}: expected a torch.Tensor or numpy.ndarray, got {type(image).__name__}')
    shape = tuple(image.shape)
    if image.ndim == 2:
        image = image.unsqueeze(0)
    if image.ndim == 3:
        image = image.unsqueeze(0)
    if image.ndim != 4 or image.shape[1] not in (1, 3):
        raise ValueError(f'{name}: cannot read shape {shape} as images; {_HINT}')
    if image.numel() == 0:
        raise ValueError(f'{name}: empty, shape {shape}')
    if image.dtype == torch.uint8:
        return image
    if not image.is_floating_point():
        raise TypeError(f'{name}: expected uint8 or a floating type, got {image.dtype}; convert it to one of them')
    return _check_range(name, image.detach(), data_range)


def quantise(images: Tensor) -> Tensor:
    """Grey levels rounded to uint8, halves to even."""
    return images if images.dtype == torch.uint8 else images.round().to(torch.uint8)


def to_gray(images: Tensor, method: str) -> Tensor:
    """Luma of ``(N, C, H, W)`` in grey levels: ``(N, 1, H, W)``; one channel is returned as it is.

    All methods weigh R, G and B by about 0.299, 0.587 and 0.114. They differ in the last digits and so in single pixels.

    Args:
        images: grey levels, uint8 or, for ``'truncate'`` only, floating.
        method: ``'exact'`` rounds the weighted mean, halves up. ``'opencv'`` rounds to even after single-precision fused
            multiply-adds, as OpenCV does for a floating BGR image. ``'pillow'`` has weights in 16-bit fixed point.
            ``'matlab'`` has the weights of ``rgb2gray``, rounded. ``'truncate'`` has the weights 0.2989, 0.587, 0.114 and
            drops the fraction; a floating image is weighed in its own precision.

    Returns:
        uint8, or a floating gray image in float64.
    """
    if images.shape[1] == 1:
        return images.double() if images.is_floating_point() else images
    return GRAY_METHODS[method](*images.unbind(1)).to(torch.uint8).unsqueeze(1)


def _exact(r: Tensor, g: Tensor, b: Tensor) -> Tensor:
    thousandths = torch.add(torch.add(r.double() * 299, g, alpha=587), b, alpha=114)
    return thousandths.add_(500).div_(1000).floor_()


def _opencv(r: Tensor, g: Tensor, b: Tensor) -> Tensor:
    # A product of two single-precision numbers is exact in float64: rounding each sum is a fused multiply-add.
    y = g.double().mul_(float(np.float32(0.587))).float().double()
    y = y.add_(b, alpha=float(np.float32(0.114))).float().double()
    return y.add_(r, alpha=float(np.float32(0.299))).float().round_()


def _pillow(r: Tensor, g: Tensor, b: Tensor) -> Tensor:
    y = r.to(torch.int32, copy=True).mul_(19595).add_(g.int(), alpha=38470).add_(b.int(), alpha=7471)
    return y.add_(1 << 15).bitwise_right_shift_(16)


def _matlab(r: Tensor, g: Tensor, b: Tensor) -> Tensor:
    # First row of the inverse of the NTSC matrix [[1, .956, .621], [1, -.272, -.647], [1, -1.106, 1.703]].
    y = r.double().mul_(0.2989360212937755).add_(g, alpha=0.5870430744511212).add_(b, alpha=0.11402090425510336)
    return y.add_(0.5).floor_()


def _truncate(r: Tensor, g: Tensor, b: Tensor) -> Tensor:
    if r.is_floating_point():
        return (0.2989 * r + 0.5870 * g + 0.1140 * b).floor()
    # numpy's matrix product adds with fused multiply-adds: whether a whole number comes out as itself or just below
    # depends on it.
    y = r.double() * 0.2989
    return _fused_multiply_add(b.double(), 0.1140, _fused_multiply_add(g.double(), 0.5870, y)).floor_()


def _fused_multiply_add(x: Tensor, factor: float, y: Tensor) -> Tensor:
    """``x * factor + y`` rounded once, for 8-bit ``x``."""
    high = float(np.float32(factor))
    product = x * factor
    error = (x * high - product) + x * (factor - high)  # of the product; each step exact
    total = product + y
    part = total - product
    rest = (product - (total - part)) + (y - part)  # of the sum
    return total + (rest + error)


GRAY_METHODS = {'exact': _exact, 'opencv': _opencv, 'pillow': _pillow, 'matlab': _matlab, 'truncate': _truncate}


def _channels_first(name: str, image: np.ndarray) -> np.ndarray:
    """Move the channels of a numpy image to the front where the shape leaves no doubt."""
    if image.ndim != 3:
        return image
    first, last = image.shape[0] in (1, 3), image.shape[-1] == 3
    if first and last:
        raise ValueError(f'{name}: shape {image.shape} can be read as (C, H, W) and as (H, W, 3); pass (1, C, H, W)')
    return image.transpose(2, 0, 1) if last else image


def _check_range(name: str, image: Tensor, data_range: float | None) -> Tensor:
    if data_range is None:
        raise ValueError(
            f'{name}: floating images need data_range=1 or data_range=255, the value of white; it is not guessed'
        )
    if data_range not in (1, 255):
        raise ValueError(f'{name}: data_range must be 1 or 255, got {data_range}')
    low, high = (float(x) for x in image.aminmax())
    if not (np.isfinite(low) and np.isfinite(high)):
        raise ValueError(f'{name}: has values that are not finite (nan or inf)')
    if low < 0 or high > data_range:
        raise ValueError(
            f'{name}: values from {low:g} to {high:g} do not fit data_range={data_range}; clamp them or state the range'
        )
    if data_range == 255 and 0 < high <= 1 and bool((image != image.round()).any()):
        raise ValueError(f'{name}: values from {low:g} to {high:g} look like a range of 1, but data_range is 255')
    return image if data_range == 255 else image * 255
