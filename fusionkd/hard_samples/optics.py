"""Blur, misalignment and resolution: what happens between the scene and the sensor."""

import math

import torch
from kornia.filters import filter2d, get_gaussian_erf_kernel1d
from kornia.geometry.transform import remap
from torch import Tensor

from fusionkd.registry import HARD_SAMPLES

from .degradation import column, degradation, fractal, uniform

# At strength 1. OpenCV's sigma of a 13-tap kernel, the widest of the published range 7..13, is 2.3 pixels.
BLUR_TAPS, BLUR_SIGMA = 13, 2.3
MOTION_TAPS, MOTION_LENGTH = 15, 13.0
SHIFT, ROTATION, SCALING, BENDING = 0.03, 2.0, 0.02, 0.01  # of the longer side, degrees, share, of the longer side
REDUCTION = 4.0


@HARD_SAMPLES.register_module()
@degradation('optics', touches=('ir',))
def misregistration(ir: Tensor, vis: Tensor, strength: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Infrared image moved against the visible one; not from the paper.

    At strength 1 a shift of 1.5 to 3 % of the longer side, a rotation up to 2 degrees, a scale up to 2 % and a smooth bend
    up to 0.5 %, all drawn; every pixel moves in proportion to the strength.
    """
    h, w = ir.shape[-2:]
    long = max(h, w)
    options = dict(device=ir.device, dtype=ir.dtype)
    rows, columns = torch.arange(h, **options)[:, None], torch.arange(w, **options)
    y, x = rows - (h - 1) / 2, columns - (w - 1) / 2

    def each(low: float, high: float) -> Tensor:
        return uniform(low, high, strength, generator).view(-1, 1, 1)

    heading, shift = each(0, 2 * math.pi), each(SHIFT / 2, SHIFT) * long
    turn, scale = each(-ROTATION, ROTATION) * math.pi / 180, each(-SCALING, SCALING)
    bend_x, bend_y = (BENDING * long * (fractal(ir, generator, cells=3, octaves=1)[:, 0] - 0.5) for _ in range(2))
    s = strength.view(-1, 1, 1)
    map_x = columns + s * (shift * heading.cos() + scale * x - turn * y + bend_x)
    map_y = rows + s * (shift * heading.sin() + scale * y + turn * x + bend_y)
    return remap(ir, map_x, map_y, padding_mode='reflection', align_corners=True), vis


@HARD_SAMPLES.register_module()
@degradation('optics')
def blur(ir: Tensor, vis: Tensor, strength: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Gaussian blur of ir, of vis or of both, drawn; sigma up to 2.3 pixels (published: kernels of 7 to 13 taps)."""
    kernel = get_gaussian_erf_kernel1d(BLUR_TAPS, (BLUR_SIGMA * strength).clamp_min(1e-3)[:, None])
    return _filter_drawn(ir, vis, kernel[:, :, None] * kernel[:, None], generator)


@HARD_SAMPLES.register_module()
@degradation('optics')
def anisotropic_blur(ir: Tensor, vis: Tensor, strength: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Elongated Gaussian blur of ir, of vis or of both, drawn; sigma up to 2.3 pixels (published: half of the blurs).

    The direction and the shorter sigma, 0.25 to 0.6 of the longer one, are drawn; not from the paper.
    """
    angle, ratio = uniform(0, math.pi, strength, generator), uniform(0.25, 0.6, strength, generator)
    steps = torch.linspace(-2.6, 2.6, 21, device=ir.device, dtype=ir.dtype)
    along, across = torch.cartesian_prod(steps, steps[1::3]).T
    mass = torch.exp(-(along.square() + across.square()) / 2)
    sigma = (BLUR_SIGMA * strength)[:, None]
    kernel = _splat(sigma * along, sigma * ratio[:, None] * across, mass.expand(len(ir), -1), angle, BLUR_TAPS)
    return _filter_drawn(ir, vis, kernel, generator)


@HARD_SAMPLES.register_module()
@degradation('optics')
def motion_blur(ir: Tensor, vis: Tensor, strength: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Straight motion up to 13 pixels in a drawn direction, of ir, of vis or of both, drawn; not from the paper.

    kornia's ``motion_blur`` knows one odd number of pixels per batch only.
    """
    angle = uniform(0, math.pi, strength, generator)
    steps = torch.linspace(-0.5, 0.5, 2 * MOTION_TAPS + 1, device=ir.device, dtype=ir.dtype)
    path = MOTION_LENGTH * strength[:, None] * steps
    kernel = _splat(path, torch.zeros_like(path), torch.ones_like(path), angle, MOTION_TAPS)
    return _filter_drawn(ir, vis, kernel, generator)


@HARD_SAMPLES.register_module()
@degradation('optics')
def low_resolution(ir: Tensor, vis: Tensor, strength: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Pixels up to 4 times as large, enlarged bilinearly, of ir, of vis or of both, drawn; not from the paper.

    The factor, 1 + 3 s, need not be whole and differs from sample to sample, for which kornia's ``rescale`` has no way.
    """
    factor = 1 + (REDUCTION - 1) * strength
    rows, columns = (_coarsen(side, factor)[:, None] for side in ir.shape[-2:])
    return _choose(ir, vis, *(rows @ x @ columns.mT for x in (ir, vis)), generator)


def _coarsen(side: int, factor: Tensor) -> Tensor:
    """``(N, side, side)`` matrices that average over large pixels and interpolate between their centres."""
    i = torch.arange(side, device=factor.device, dtype=factor.dtype)
    f = factor.view(-1, 1, 1)
    large = f * i[:, None]
    overlap = (torch.minimum(i + 1, large + f) - torch.maximum(i, large)).clamp_min(0)
    inside = overlap.sum(-1, keepdim=True)
    average = overlap / inside.clamp_min(1e-6)
    weight = (1 - (i + 0.5 - large - f / 2).abs() / f).clamp_min(0) * (inside > 0)
    return (weight / weight.sum(1, keepdim=True)).mT @ average


def _splat(along: Tensor, across: Tensor, mass: Tensor, angle: Tensor, taps: int) -> Tensor:
    """Kernels ``(N, taps, taps)`` of sum 1 from points ``(N, M)``, turned by ``angle`` ``(N,)``.

    Each point is shared bilinearly by the four taps around it, so a kernel grows from a single tap without a step.
    """
    cos, sin = angle.cos()[:, None], angle.sin()[:, None]
    t = torch.arange(taps, device=mass.device, dtype=mass.dtype)[:, None] - taps // 2
    x, y = ((1 - (t - p[:, None]).abs()).clamp_min(0) for p in (along * cos - across * sin, along * sin + across * cos))
    kernel = (y * mass[:, None]) @ x.mT
    return kernel / kernel.sum((-2, -1), keepdim=True)


def _filter_drawn(ir: Tensor, vis: Tensor, kernel: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Filter ir, vis or both of each sample with its own kernel, ``(N, k, k)``."""
    return _choose(ir, vis, filter2d(ir, kernel), filter2d(vis, kernel), generator)


def _choose(
    ir: Tensor, vis: Tensor, hard_ir: Tensor, hard_vis: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Take the hard version of ir, of vis or of both, drawn for each sample."""
    which = column(torch.randint(0, 3, (len(ir),), generator=generator, device=ir.device))
    return torch.where(which != 1, hard_ir, ir), torch.where(which != 0, hard_vis, vis)
