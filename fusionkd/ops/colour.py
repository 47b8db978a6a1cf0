"""Full-range BT.601 colour: the field fuses luma and puts the visible image's chroma back."""

import torch
from torch import Tensor

# Rows turn R, G, B in [0, 1] into Y in [0, 1] and Cb, Cr in [-0.5, 0.5].
_KR, _KG, _KB = 0.299, 0.587, 0.114


def luma(rgb: Tensor) -> Tensor:
    """BT.601 luma of an image, in the range of the image.

    Args:
        rgb: ``(..., 3, H, W)``, or ``(..., 1, H, W)``, which is returned as it is.

    Returns:
        ``(..., 1, H, W)``.

    Raises:
        ValueError: the channel dimension is neither 1 nor 3.
    """
    channels = rgb.shape[-3]
    if channels == 1:
        return rgb
    if channels != 3:
        raise ValueError(f'expected 1 (gray) or 3 (RGB) channels, got {channels} in shape {tuple(rgb.shape)}')
    r, g, b = rgb.unbind(-3)
    return (_KR * r + _KG * g + _KB * b).unsqueeze(-3)


def rgb_to_ycbcr(rgb: Tensor) -> Tensor:
    """RGB in [0, 1], ``(..., 3, H, W)``, to Y in [0, 1] and zero-centred Cb, Cr in [-0.5, 0.5]."""
    y = luma(rgb)
    r, b = rgb[..., 0:1, :, :], rgb[..., 2:3, :, :]
    return torch.cat([y, (b - y) / (2 * (1 - _KB)), (r - y) / (2 * (1 - _KR))], dim=-3)


def ycbcr_to_rgb(ycbcr: Tensor) -> Tensor:
    """Exact inverse of :func:`rgb_to_ycbcr`; values may leave [0, 1] where Y was changed."""
    y, cb, cr = (ycbcr[..., i : i + 1, :, :] for i in range(3))
    r = y + 2 * (1 - _KR) * cr
    b = y + 2 * (1 - _KB) * cb
    g = (y - _KR * r - _KB * b) / _KG
    return torch.cat([r, g, b], dim=-3)


def split_ycbcr(vis: Tensor) -> tuple[Tensor, Tensor | None]:
    """Visible image to what a fuser sees and what it must not touch.

    Args:
        vis: gray or RGB in [0, 1], ``(..., 1 or 3, H, W)``.

    Returns:
        Y, ``(..., 1, H, W)``, and CbCr, ``(..., 2, H, W)``, or ``None`` for a gray image.
    """
    if vis.shape[-3] == 1:
        return vis, None
    ycbcr = rgb_to_ycbcr(vis)
    return ycbcr[..., :1, :, :], ycbcr[..., 1:, :, :]


def merge_ycbcr(y: Tensor, cbcr: Tensor | None) -> Tensor:
    """Undo of :func:`split_ycbcr`, clipped to [0, 1]; gray stays one channel."""
    if cbcr is None:
        return y.clamp(0, 1)
    return ycbcr_to_rgb(torch.cat([y, cbcr], dim=-3)).clamp(0, 1)
