"""Exposure, noise and tone: what the sensors and their electronics do."""

import torch
import torch.nn.functional as F
from kornia.enhance import adjust_gamma
from kornia.filters import gaussian_blur2d
from torch import Tensor

from fusionkd.registry import HARD_SAMPLES

from .degradation import column, degradation, normal, signs, uniform

DISPLAY_GAMMA = 2.2
# At strength 1.
LOW_LIGHT = 1 / 10  # of the light
FULL_WELL, READ_NOISE = 2000, 0.002  # photons of a white pixel before the light is taken away, share of white
OVER_EXPOSURE = 4.0  # times the light
PHOTONS = 25  # of a white pixel
NOISE_SIGMA = 20 / 255
GRAIN_SIGMA = 0.15
STRIPE_SIGMA = 0.1
DEAD_SHARE = 0.02
BRIGHTNESS = 0.5
CONTRAST_IR, CONTRAST_VIS = 0.4, 0.3
GAMMA = 2.0
_SPREAD = 0.41  # standard deviation that a Gaussian blur of sigma 0.7 leaves of white noise


@HARD_SAMPLES.register_module()
@degradation('sensor', touches=('vis',))
def low_light(ir: Tensor, vis: Tensor, strength: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Visible image with a share of its light down to 1/10, and the photon and read noise of the rest; not from the paper.

    The light is taken away in linear intensity (display gamma 2.2).
    """
    s = column(strength)
    light = vis.pow(DISPLAY_GAMMA) * LOW_LIGHT**s
    noise = normal(vis, generator) * (light / FULL_WELL + READ_NOISE**2).sqrt()
    return ir, _display(light + s * noise)


@HARD_SAMPLES.register_module()
@degradation('sensor', touches=('vis',))
def over_exposure(ir: Tensor, vis: Tensor, strength: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Visible image with up to 4 times its light, cut at white, and a glow around what is cut; not from the paper."""
    s = column(strength)
    light = vis.pow(DISPLAY_GAMMA) * OVER_EXPOSURE**s
    excess = F.avg_pool2d((light - 1).clamp_min(0), 4, ceil_mode=True, count_include_pad=False)
    glow = gaussian_blur2d(excess, 13, (4.0, 4.0), border_type='replicate')
    return ir, _display(light + 0.3 * s * F.interpolate(glow, vis.shape[-2:], mode='bilinear'))


@HARD_SAMPLES.register_module()
@degradation('sensor', touches=('vis',))
def poisson_noise(ir: Tensor, vis: Tensor, strength: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Photon noise of the visible image: a white pixel counts 25 / s^2 photons; not from the paper."""
    photons = PHOTONS / column(strength).clamp_min(0.01).square()
    return ir, torch.poisson(vis * photons, generator=generator) / photons


@HARD_SAMPLES.register_module()
@degradation('sensor')
def noise(ir: Tensor, vis: Tensor, strength: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Gaussian noise on both images, sigma up to 20 of 255 grey levels (published: 2 to 20)."""
    sigma = NOISE_SIGMA * column(strength)
    return ir + sigma * normal(ir, generator), vis + sigma * normal(vis, generator)


@HARD_SAMPLES.register_module()
@degradation('sensor', touches=('vis',))
def grain_noise(ir: Tensor, vis: Tensor, strength: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Grain of a visible camera at high gain, sigma up to 0.15, shared by neighbouring pixels; not from the paper."""
    grain = gaussian_blur2d(normal(vis, generator), 5, (0.7, 0.7), border_type='reflect')
    return ir, vis + GRAIN_SIGMA * column(strength) * grain / _SPREAD


@HARD_SAMPLES.register_module()
@degradation('sensor', touches=('ir',))
def stripe_noise(ir: Tensor, vis: Tensor, strength: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Offsets of whole columns, or of rows, drawn, of the infrared image, as uncooled sensors have; not from the paper.

    At strength 1 lines have sigma 0.08 and slow waves, between 8 places of sigma 0.075, come on top.
    """
    fields = []
    for side in ir.shape[-2:]:
        lines = normal(ir.new_empty(len(ir), 1, side), generator)
        waves = normal(ir.new_empty(len(ir), 1, 8), generator)
        fields.append(0.8 * lines + 0.75 * F.interpolate(waves, side, mode='linear', align_corners=True))
    by_row = column(torch.rand(len(ir), generator=generator, device=ir.device) < 0.3)
    stripes = torch.where(by_row, fields[0][..., None], fields[1][..., None, :])
    return ir + STRIPE_SIGMA * column(strength) * stripes, vis


@HARD_SAMPLES.register_module()
@degradation('sensor', touches=('ir',))
def dead_pixels(ir: Tensor, vis: Tensor, strength: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Infrared pixels stuck at black or white, up to 2 % of them, and small clusters; not from the paper.

    More strength adds to those there are.
    """
    s = column(strength)
    single = uniform(0, 1, ir, generator) < DEAD_SHARE * s
    seeds = uniform(0, 1, ir, generator) < DEAD_SHARE / 40 * s
    cluster = F.max_pool2d(seeds.to(ir.dtype), 3, stride=1, padding=1) > 0
    stuck = (uniform(0, 1, ir, generator) < 0.5).to(ir.dtype)
    return torch.where(single | cluster, stuck, ir), vis


@HARD_SAMPLES.register_module()
@degradation('sensor', touches=('vis',))
def brightness(ir: Tensor, vis: Tensor, strength: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Visible image times 1 - 0.5 s or 1 + 0.5 s, drawn (published: 0.5 to 1.5)."""
    return ir, vis * column(1 + BRIGHTNESS * strength * signs(strength, generator))


@HARD_SAMPLES.register_module()
@degradation('sensor')
def contrast(ir: Tensor, vis: Tensor, strength: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Both images pulled towards their means: ir to 1 - 0.4 s of its contrast, vis to 1 - 0.3 s.

    Published: 0.6 to 0.8 and 0.7 to 0.9.
    """
    pair = []
    for image, loss in ((ir, CONTRAST_IR), (vis, CONTRAST_VIS)):
        mean = image.mean((-2, -1), keepdim=True)
        pair.append(mean + (image - mean) * column(1 - loss * strength))
    return pair[0], pair[1]


@HARD_SAMPLES.register_module()
@degradation('sensor')
def gamma(ir: Tensor, vis: Tensor, strength: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Both images to the power of 2^s or of 2^-s, drawn for each; not from the paper."""
    pair = [adjust_gamma(x, GAMMA ** (strength * signs(strength, generator))) for x in (ir, vis)]
    return pair[0], pair[1]


def _display(light: Tensor) -> Tensor:
    """Linear intensity, cut at black and white, as the camera stores it."""
    return light.clamp(0, 1).pow(1 / DISPLAY_GAMMA)
