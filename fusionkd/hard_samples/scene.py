"""What stands between the cameras and the scene, and what the scene does itself."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from fusionkd.registry import HARD_SAMPLES

from .degradation import column, degradation, fractal, positions, uniform

# At strength 1; none of these operations is in the papers.
HAZE_DEPTH = 2.5  # optical depth at the horizon
SMOKE_DEPTH = 4.0
RAIN_VEIL = 0.25
BLOB_RADIUS = 0.32  # of the shorter side, the largest of three
CROSSOVER = 1.5  # how gradually a region turns; 0 would be at once


@HARD_SAMPLES.register_module()
@degradation('scene', touches=('vis',))
def haze(ir: Tensor, vis: Tensor, strength: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Atmospheric scattering in the visible image: ``vis t + A (1 - t)``, ``t = exp(-2.5 s d)``; not from the paper.

    The distance ``d`` rises from 0.1 at the lower border to 1 at a horizon drawn in the upper half, with a smooth relief;
    the airlight ``A`` is drawn and brighter in bright scenes. Thermal infrared sees through.
    """
    rows, _ = positions(vis)
    horizon = column(uniform(0.15, 0.5, strength, generator))
    ramp = ((1 - rows) / (1 - horizon)).clamp(0, 1)
    relief = fractal(vis, generator, cells=2, octaves=3)
    distance = (0.1 + 0.9 * ramp**1.5) * (0.65 + 0.35 * relief)
    light = column(uniform(0.5, 0.65, strength, generator)) + 0.4 * vis.mean((-2, -1), keepdim=True)
    return ir, _veil(vis, 1 - torch.exp(-HAZE_DEPTH * column(strength) * distance), light.clamp(max=0.95))


@HARD_SAMPLES.register_module()
@degradation('scene', touches=('vis',))
def smoke(ir: Tensor, vis: Tensor, strength: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """A turbulent plume of smoke in the visible image, optical depth up to 4; not from the paper.

    It rises from a drawn place, drifts and widens; where it comes from, how far it leans and how bright it is are drawn.
    Thermal infrared sees through.
    """
    rows, columns = positions(vis)
    height = 1 - rows
    source = column(uniform(0.25, 0.75, strength, generator))
    lean = column(uniform(-0.3, 0.3, strength, generator))
    bend = 0.25 * (fractal(vis, generator, cells=2, octaves=2) - 0.5)
    width = 0.12 + 0.3 * height
    plume = torch.exp(-(((columns + bend - source - lean * height) / width) ** 2))
    billows = fractal(vis, generator, cells=3, octaves=5)
    density = plume * ((billows - 0.25) / 0.5).clamp(0.05, 1)
    shade = fractal(vis, generator, cells=4, octaves=4)
    light = column(uniform(0.35, 0.7, strength, generator)) + 0.3 * (shade - 0.5)
    return ir, _veil(vis, 1 - torch.exp(-SMOKE_DEPTH * column(strength) * density), light)


@HARD_SAMPLES.register_module()
@degradation('scene', touches=('vis',))
def rain(ir: Tensor, vis: Tensor, strength: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Slanted, half-transparent streaks near and far and a thin veil in the visible image; not from the paper.

    More strength adds streaks to those there are. The slant, up to 17 degrees, is drawn. kornia's ``RandomRain`` draws
    opaque lines of one grey and has no strength.
    """
    slant = uniform(-0.3, 0.3, strength, generator)
    s = column(strength)
    far = _streaks(vis, s, slant, generator, scale=1, length=13, density=0.012)
    near = _streaks(vis, s, slant, generator, scale=2, length=19, density=0.005)
    clear = (1 - 0.5 * far) * (1 - 0.65 * near) * (1 - RAIN_VEIL * s)
    light = column(uniform(0.6, 0.75, strength, generator)) + 0.2 * vis.mean((-2, -1), keepdim=True)
    return ir, _veil(vis, 1 - clear, light)


@HARD_SAMPLES.register_module()
@degradation('scene')
def occlusion(ir: Tensor, vis: Tensor, strength: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Three out-of-focus blobs before one of the two cameras, ir or vis, drawn; not from the paper.

    Their radii grow with the strength, up to 0.32 of the shorter side; places and shades are drawn.
    """
    h, w = vis.shape[-2:]
    short = min(h, w)
    rows, columns = positions(vis)
    each = strength.new_zeros(len(strength), 3)
    y, x = (uniform(0.1, 0.9, each, generator)[:, :, None, None] for _ in range(2))
    size = BLOB_RADIUS * torch.tensor([1.0, 0.7, 0.5], device=vis.device, dtype=vis.dtype).view(1, 3, 1, 1)
    ragged = 0.12 * (fractal(vis, generator, cells=4, octaves=3) - 0.5)
    distance = torch.hypot((rows - y) * h / short, (columns - x) * w / short) + ragged
    mask = ((column(strength) * size - distance) / 0.06).clamp(0, 1).amax(1, keepdim=True)
    in_vis = torch.randint(0, 2, strength.shape, generator=generator, device=vis.device)
    mask_ir, mask_vis = mask * column(1 - in_vis), mask * column(in_vis)
    dark, warm = uniform(0.0, 0.3, strength, generator), uniform(0.1, 0.9, strength, generator)
    return _veil(ir, mask_ir, column(warm)), _veil(vis, mask_vis, column(dark))


@HARD_SAMPLES.register_module()
@degradation('scene', touches=('ir',))
def thermal_inversion(ir: Tensor, vis: Tensor, strength: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Warm and cold change places within the infrared image's own range; not from the paper.

    At strength 1 everywhere; before, contrast fades and turns region by region, as surfaces cool down at different times.
    """
    low, high = ir.amin((-2, -1), keepdim=True), ir.amax((-2, -1), keepdim=True)
    relief = fractal(ir, generator, cells=2, octaves=2)
    turned = ((column(strength) * (1 + CROSSOVER) - relief) / CROSSOVER).clamp(0, 1)
    return ir + turned * (low + high - 2 * ir), vis


def _veil(image: Tensor, opacity: Tensor, light: Tensor) -> Tensor:
    """The image behind something of this opacity and brightness."""
    return image + opacity * (light - image)


def _streaks(
    like: Tensor, strength: Tensor, slant: Tensor, generator: torch.Generator, scale: int, length: int, density: float
) -> Tensor:
    """Opacity in [0, 1] of falling drops; ``scale`` 2 draws them at half size and enlarges them."""
    h, w = (math.ceil(side / scale) for side in like.shape[-2:])
    n = len(like)
    options = dict(generator=generator, device=like.device, dtype=like.dtype)
    drops = torch.rand(n, 1, h + length, w, **options) < density * strength
    opacity = drops * (0.4 + 0.6 * torch.rand(n, 1, h + length, w, **options))
    opacity = F.max_pool2d(opacity, (length, 1), stride=1)[:, :, :h]
    shear = torch.zeros(n, 2, 3, device=like.device, dtype=like.dtype)
    shear[:, 0, 0] = shear[:, 1, 1] = 1
    shear[:, 0, 1] = slant * h / w
    grid = F.affine_grid(shear, list(like.shape), align_corners=False)
    return F.grid_sample(opacity, grid, padding_mode='reflection', align_corners=False)
