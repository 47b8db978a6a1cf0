"""What storing and sending an image costs."""

import math
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from fusionkd.registry import HARD_SAMPLES

from .degradation import column, degradation

JPEG_QUALITY = 30  # at strength 1
# Luminance table of ITU-T T.81, annex K, which every common encoder scales by the quality.
_LUMINANCE = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)


@HARD_SAMPLES.register_module()
@degradation('compression')
def jpeg(ir: Tensor, vis: Tensor, strength: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Both images through JPEG of quality 100 - 70 s (published: 70 to 90, sometimes 30 to 70)."""
    quality = 100 - (100 - JPEG_QUALITY) * strength
    return code_jpeg(ir, quality), code_jpeg(vis, quality)


def code_jpeg(image: Tensor, quality: Tensor) -> Tensor:
    """A grey image after JPEG.

    kornia's codec is made for colour: it would code two empty chroma planes, at several times the cost, and its rounding
    is softened for gradients.

    Args:
        image: ``(N, 1, H, W)`` in [0, 1].
        quality: ``(N,)`` in [1, 100], with the scaling of libjpeg; need not be whole.

    Returns:
        ``(N, 1, H, W)`` in [0, 1], of 8 bit.
    """
    n, _, h, w = image.shape
    levels = F.pad((image * 255).round() - 128, (0, -w % 8, 0, -h % 8), mode='replicate')
    rows, columns = levels.shape[-2] // 8, levels.shape[-1] // 8
    blocks = levels.view(n, rows, 8, columns, 8).transpose(2, 3)
    scale = torch.where(quality < 50, 5000 / quality, 200 - 2 * quality) / 100
    table = torch.tensor(_LUMINANCE, dtype=image.dtype, device=image.device)
    steps = (table * column(scale)[..., None] + 0.5).floor().clamp(1, 255)
    dct = _dct(image.dtype, image.device)
    scaled = dct @ blocks @ dct.T / steps
    # encoders round halves away from zero, and of whole grey levels there are many halves
    coefficients = scaled.sign() * (scaled.abs() + 0.5001).floor() * steps
    decoded = (dct.T @ coefficients @ dct).transpose(2, 3).reshape(n, 1, rows * 8, columns * 8)
    return ((decoded[..., :h, :w] + 128).round() / 255).clamp(0, 1)


@lru_cache(maxsize=8)
def _dct(dtype: torch.dtype, device: torch.device) -> Tensor:
    """Orthonormal 8-point DCT-II."""
    k, i = torch.arange(8.0)[:, None], torch.arange(8.0)
    basis = torch.cos(math.pi * (2 * i + 1) * k / 16) / 2
    basis[0] /= math.sqrt(2)
    return basis.to(dtype=dtype, device=device)
