"""Degradations of a source pair, each with one strength in [0, 1]: 0 changes nothing, more is worse.

Paper A blurs, darkens or brightens; its other operations and all its ranges are unpublished, so the ranges at strength 1
are ours, after public teacher-student fusion work. A degradation is a function

    (ir, vis, strength, generator) -> (ir, vis)

on float batches ``(N, 1, H, W)`` in [0, 1] with ``strength`` of shape ``(N,)``; ``generator`` draws on the CPU. Register
your own with ``@HARD_SAMPLES.register_module()``.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from fusionkd.registry import HARD_SAMPLES

# At strength 1. A 13-tap blur has a sigma of about 2.3 pixels.
BLUR_SIGMA = 2.3
BRIGHTNESS = 0.5
CONTRAST_IR, CONTRAST_VIS = 0.4, 0.3
NOISE_SIGMA = 20 / 255


@HARD_SAMPLES.register_module()
def blur(ir: Tensor, vis: Tensor, strength: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Gaussian blur, sigma up to 2.3 pixels, of ir, of vis or of both, drawn per sample."""
    which = torch.randint(0, 3, strength.shape, generator=generator).to(strength.device)
    return (
        _gaussian_blur(ir, BLUR_SIGMA * strength * (which != 1)),
        _gaussian_blur(vis, BLUR_SIGMA * strength * (which != 0)),
    )


@HARD_SAMPLES.register_module()
def brightness(ir: Tensor, vis: Tensor, strength: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Visible image times 1 - 0.5 s or 1 + 0.5 s, drawn per sample: under- or over-exposed."""
    sign = torch.randint(0, 2, strength.shape, generator=generator).to(strength) * 2 - 1
    return ir, (vis * _column(1 + BRIGHTNESS * strength * sign)).clamp(0, 1)


@HARD_SAMPLES.register_module()
def contrast(ir: Tensor, vis: Tensor, strength: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Both images pulled towards their means: ir to 1 - 0.4 s of its contrast, vis to 1 - 0.3 s."""
    pair = []
    for image, loss in ((ir, CONTRAST_IR), (vis, CONTRAST_VIS)):
        mean = image.mean(dim=(-2, -1), keepdim=True)
        pair.append(mean + (image - mean) * _column(1 - loss * strength))
    return pair[0], pair[1]


@HARD_SAMPLES.register_module()
def noise(ir: Tensor, vis: Tensor, strength: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Gaussian noise on both images, sigma up to 20 of 255 grey levels."""
    seed = int(torch.randint(0, 2**31, (1,), generator=generator))
    field = torch.randn(
        (2, *ir.shape), generator=torch.Generator(ir.device).manual_seed(seed), device=ir.device, dtype=ir.dtype
    )
    sigma = _column(NOISE_SIGMA * strength)
    return (ir + sigma * field[0]).clamp(0, 1), (vis + sigma * field[1]).clamp(0, 1)


def _column(x: Tensor) -> Tensor:
    return x.view(-1, 1, 1, 1)


def _gaussian_blur(x: Tensor, sigma: Tensor) -> Tensor:
    """Blur each sample of ``(N, 1, H, W)`` with its own sigma; a sigma of 0 returns the sample bit for bit."""
    radius = min(int(3 * float(sigma.max())) + 1, min(x.shape[-2:]) - 1)
    if not bool((sigma > 0).any()):
        return x
    taps = torch.arange(-radius, radius + 1, device=x.device, dtype=x.dtype)
    kernel = torch.exp(-taps.square() / (2 * sigma.clamp_min(1e-3).square()[:, None]))
    kernel = kernel / kernel.sum(dim=1, keepdim=True)
    n = x.shape[0]
    y = F.pad(x.transpose(0, 1), (radius,) * 4, mode='reflect')
    y = F.conv2d(y, kernel.view(n, 1, -1, 1), groups=n)
    y = F.conv2d(y, kernel.view(n, 1, 1, -1), groups=n)
    return torch.where(_column(sigma > 0), y.transpose(0, 1), x)
