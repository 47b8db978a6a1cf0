"""Weighted means over sliding windows, as products with narrow band matrices.

A separable window is one small banded matrix applied along y and another along x. On a CPU a matrix product reaches the
machine's arithmetic peak, where a one-channel convolution or a chain of shifted additions waits for memory: for a 17 x 17
window in float64 it is about ten times faster than shifted additions, and the same code runs on a GPU and under autograd.

Two habits serve speed on a CPU here and in the other modules. Work is done in strips of rows that stay in a core's cache,
and results are written into arguments that are no longer needed (:func:`into`): memory touched for the first time costs
more than the arithmetic.
"""

from collections.abc import Iterator
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

Kernel = tuple[float, ...]

_STRIP_BYTES = 768 * 1024  # of a strip in float64; a kernel uses six to eight arrays of that size at a time
_ROWS = 8  # windows that one product makes along y: more waste multiplications by 0, fewer waste calls
_MAX_ROWS = 128


def row_strips(x: Tensor, size: int = 1) -> Iterator[slice]:
    """Cut images into strips of rows whose working set stays in cache.

    Args:
        x: ``(N, C, H, W)``.
        size: rows of a window. Neighbouring strips overlap by ``size - 1`` rows, so that every window of that size lies
            in exactly one strip.

    Yields:
        Slices of rows. Each holds at least one window along y.
    """
    n, c, height, width = x.shape
    windows = height - size + 1
    rows = _MAX_ROWS
    if x.device.type == 'cpu':
        rows = _STRIP_BYTES // (8 * max(1, n * c * width)) // _ROWS * _ROWS
        rows = min(max(rows, 2 * _ROWS), _MAX_ROWS)
    for top in range(0, windows, rows):
        yield slice(top, min(top + rows, windows) + size - 1)


def take_rows(x: Tensor, rows: slice, dtype: torch.dtype = torch.float64) -> Tensor:
    """A strip of ``(..., H, W)``, in ``dtype`` if ``x`` holds whole grey levels and else as it is."""
    return to_float(x[..., rows, :], dtype)


def to_float(x: Tensor, dtype: torch.dtype = torch.float64) -> Tensor:
    """Integers to ``dtype``; floating tensors as they are."""
    return x if x.is_floating_point() else x.to(dtype)


def into(x: Tensor) -> Tensor | None:
    """``out=`` for an operation that may overwrite ``x``: ``x`` itself, or ``None`` where autograd still needs it."""
    return None if x.requires_grad else x


def block(dtype: torch.dtype) -> int:
    """Windows that one product makes along x. A multiple of 24 numbers fills the tiles of common libraries in float64."""
    return 24 if dtype == torch.float64 else 16


def sum_pixels(x: Tensor) -> Tensor:
    """Sum of ``(N, S, h, w)`` or ``(N, S, P)`` over the pixels, across rows in float64: ``(N, S)``."""
    rows = x.sum(-1).double()
    return rows if rows.ndim == 2 else rows.sum(-1)


def side_by_side(images: Tensor, size: int, stride: int = 1, dtype: torch.dtype = torch.float64) -> Tensor:
    """Lay the images of a batch side by side, channel by channel, so that one matrix product serves all.

    Args:
        images: ``(N, C, H, W)``.
        size: of the windows that will be taken, up to 17.
        stride: of these windows.
        dtype: what strips of whole grey levels will be converted to; floating images keep theirs.

    Returns:
        ``(H, C, N, pitch)``, the pitch being whole blocks for all windows inside an image and one block more; what the image
        does not fill is zero.
    """
    n, c, height, width = images.shape
    wide = block(images.dtype if images.is_floating_point() else dtype)
    pitch = (-(-((width - size) // stride + 1) // wide) + 1) * wide * stride
    laid = images.new_zeros(height, c, n, pitch)
    laid[..., :width] = images.permute(2, 1, 0, 3)
    return laid


def window_means(strip: Tensor, kernel: Kernel) -> Tensor:
    """Sum over every window inside a strip, weighted by ``kernel`` along both axes.

    The layout is that of the matrix products, which saves a pass over memory; what follows is elementwise and ends in
    :func:`sum_windows`.

    Args:
        strip: rows of :func:`side_by_side`, ``(h, C, N, pitch)``.
        kernel: up to 17 weights, the same along y and x.

    Returns:
        ``(C, N, pitch / b, h', b)`` with ``h' = h - len(kernel) + 1`` and ``b`` of :func:`block`. Windows that cross the
        right border of an image are there but mean nothing.
    """
    return _along_x(_along_y(strip, kernel, 1), kernel, 1)


def sum_windows(values: Tensor, windows: int) -> Tensor:
    """Sum of ``(C, N, blocks, b)`` over the first ``windows`` positions along x: ``(N, C)``."""
    return values.flatten(2)[..., :windows].sum(-1).mT


def filter_valid(images: Tensor, kernel: Kernel, stride: int = 1) -> Tensor:
    """Correlate with ``kernel`` along both axes without padding and keep every ``stride``-th row and column.

    Args:
        images: ``(N, C, H, W)``.
        kernel: up to 17 weights, the same along y and x.
        stride: step between the windows kept, from the first on.

    Returns:
        ``(N, C, (H - n) // stride + 1, (W - n) // stride + 1)`` with ``n = len(kernel)``.
    """
    n, size = len(kernel), 8 * _ROWS * stride
    height, width = ((side - n) // stride + 1 for side in images.shape[-2:])
    laid = side_by_side(images, n, stride)
    strips = []
    for top in range(0, height * stride, size):
        strip = to_float(laid[top : top + size + n - stride])
        means = _along_x(_along_y(strip, kernel, stride), kernel, stride)
        strips.append(means.permute(1, 0, 3, 2, 4).flatten(-2)[..., :width])
    return torch.cat(strips, dim=-2)


def _along_y(x: Tensor, kernel: Kernel, stride: int) -> Tensor:
    """``(h, ...)`` to ``((h - n) // stride + 1, ...)``."""
    rows = x.flatten(1)
    outputs = (len(rows) - len(kernel)) // stride + 1
    blocks, rest = divmod(outputs, _ROWS)
    parts = []
    if blocks:
        band = _band_matrix(kernel, _ROWS, stride, x.dtype, x.device, blocks).mT
        # Overlapping blocks of rows, (blocks, rows, columns), are a view that the product reads in place.
        parts.append(torch.bmm(band, rows.unfold(0, band.shape[2], _ROWS * stride)[:blocks].mT).flatten(0, 1))
    if rest:
        band = _band_matrix(kernel, rest, stride, x.dtype, x.device, 1)[0].mT
        top = blocks * _ROWS * stride
        parts.append(band @ rows[top : top + band.shape[1]])
    return (parts[0] if len(parts) == 1 else torch.cat(parts)).view(outputs, *x.shape[1:])


def _along_x(x: Tensor, kernel: Kernel, stride: int) -> Tensor:
    """``(h, C, N, pitch)`` to blocks of windows, ``(C, N, blocks, h, b)``."""
    height, c, n, pitch = x.shape
    wide = block(x.dtype)
    rows, blocks = x.view(height, -1), pitch // (wide * stride)
    views = rows.unfold(1, (wide - 1) * stride + len(kernel), wide * stride).transpose(0, 1)
    band = _band_matrix(kernel, wide, stride, x.dtype, x.device, len(views))
    # The very last block, which no window inside an image needs, would reach beyond the row: it is zero.
    if x.requires_grad:
        means = F.pad(torch.bmm(views, band), (0, 0, 0, 0, 0, c * n * blocks - len(views)))
    else:
        means = x.new_empty(c * n * blocks, height, wide)
        torch.bmm(views, band, out=means[: len(views)])
        means[len(views) :] = 0  # garbage would turn a gradient of 0 into nan
    return means.view(c, n, blocks, height, wide)


@lru_cache(maxsize=256)
def _band_matrix(
    kernel: Kernel, outputs: int, stride: int, dtype: torch.dtype, device: torch.device, copies: int
) -> Tensor:
    """``(copies, inputs, outputs)``; column ``i`` holds the weights from row ``i * stride`` on."""
    n, inputs = len(kernel), (outputs - 1) * stride + len(kernel)
    with torch.inference_mode(False):  # a cached inference tensor could not take part in a later backward pass
        band = torch.zeros(outputs, inputs, dtype=torch.float64)
        weights = torch.tensor(kernel, dtype=torch.float64).expand(outputs, n)
        band.as_strided((outputs, n), (inputs + stride, 1)).copy_(weights)
        return band.mT.contiguous().to(device=device, dtype=dtype).expand(copies, -1, -1)
