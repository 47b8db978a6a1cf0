"""What all degradations share: their contract, and random numbers drawn where the images are.

A degradation is a function

    (ir, vis, strength, generator) -> (ir, vis)

on float batches ``(N, 1, H, W)`` in [0, 1], ``strength`` ``(N,)`` in [0, 1]: 0 changes nothing, more is worse. Register your
own with ``@HARD_SAMPLES.register_module()`` above ``@degradation(...)``. Paper A (arXiv 2509.02424) names Gaussian blur and
brightness and publishes no range; ranges said to be published are those of a related teacher-student fusion work.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache, wraps

import torch
import torch.nn.functional as F
from torch import Tensor

STAGES = ('scene', 'optics', 'sensor', 'compression')
MODALITIES = ('ir', 'vis')

Degradation = Callable[[Tensor, Tensor, Tensor, torch.Generator], tuple[Tensor, Tensor]]


def degradation(stage: str, touches: Sequence[str] = MODALITIES) -> Callable[[Degradation], Degradation]:
    """Declare where a degradation happens and what it may change, and take from it what is the same for all.

    The function gets a generator on the images' device, seeded by one draw from the caller's, so that what a generator
    draws next does not depend on strengths; its images are clipped to [0, 1]; a sample of strength 0 is returned bit for
    bit; it runs in the images' own precision, also under autocast.

    Args:
        stage: one of ``STAGES``; composed operations are applied in this order.
        touches: images it may change, of ``'ir'`` and ``'vis'``. Default both.

    Raises:
        ValueError: another stage or image.
    """
    if stage not in STAGES:
        raise ValueError(f'unknown stage {stage!r}; known: {", ".join(STAGES)}')
    if not touches or not set(touches) <= set(MODALITIES):
        raise ValueError(f"touches must name 'ir', 'vis' or both, got {touches!r}")

    def declare(op: Degradation) -> Degradation:
        @wraps(op)
        def degrade(ir: Tensor, vis: Tensor, strength: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
            with torch.autocast(ir.device.type, enabled=False):
                pair = op(ir, vis, strength, fork(generator, ir.device))
                changed = column(strength > 0)
                hard = [
                    old if new is old else torch.where(changed, new.clamp(0, 1), old)
                    for new, old in zip(pair, (ir, vis), strict=True)
                ]
            return hard[0], hard[1]

        degrade.stage = stage
        degrade.touches = tuple(touches)
        return degrade

    return declare


def fork(generator: torch.Generator, device: torch.device) -> torch.Generator:
    """A generator on ``device``, seeded by one draw from ``generator``."""
    seed = int(torch.randint(0, 2**31, (1,), generator=generator))
    return torch.Generator(device).manual_seed(seed)


def column(x: Tensor) -> Tensor:
    """``(N,)`` to ``(N, 1, 1, 1)``."""
    return x.view(-1, 1, 1, 1)


def uniform(low: float, high: float, like: Tensor, generator: torch.Generator) -> Tensor:
    """Numbers in [low, high) of the shape, type and device of ``like``."""
    return low + (high - low) * torch.rand(like.shape, generator=generator, device=like.device, dtype=like.dtype)


def signs(like: Tensor, generator: torch.Generator) -> Tensor:
    """-1 or 1, of the shape, type and device of ``like``."""
    return torch.randint(0, 2, like.shape, generator=generator, device=like.device).to(like.dtype) * 2 - 1


def normal(like: Tensor, generator: torch.Generator) -> Tensor:
    """Standard normal numbers of the shape, type and device of ``like``."""
    return torch.randn(like.shape, generator=generator, device=like.device, dtype=like.dtype)


def fractal(like: Tensor, generator: torch.Generator, cells: int, octaves: int) -> Tensor:
    """Smooth random relief in [0, 1], each sample from 0 to 1.

    Args:
        like: ``(N, 1, H, W)``, whose shape, type and device it gets.
        generator: on that device.
        cells: bumps of the coarsest octave along the shorter side.
        octaves: each has twice the cells and half the height of the one before.
    """
    n, _, h, w = like.shape
    short = min(h, w)
    relief = torch.zeros_like(like)
    for octave in range(octaves):
        count = cells * 2**octave
        sides = [max(2, round(count * side / short) + 1) for side in (h, w)]
        grid = torch.rand(n, 1, *sides, generator=generator, device=like.device, dtype=like.dtype)
        rows, columns = (_cubic(a, b, like.dtype, like.device) for a, b in zip(sides, (h, w), strict=True))
        relief += 0.5**octave * (rows @ grid @ columns.T)
    low, high = relief.amin((-2, -1), keepdim=True), relief.amax((-2, -1), keepdim=True)
    return (relief - low) / (high - low).clamp_min(1e-6)


@lru_cache(maxsize=64)
def _cubic(few: int, many: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """``(many, few)`` matrix of cubic interpolation; as a product it is several times faster than ``interpolate``."""
    each = torch.eye(few, dtype=torch.float64)[None, None]
    return F.interpolate(each, (many, few), mode='bicubic', align_corners=True)[0, 0].to(device, dtype)


def positions(like: Tensor) -> tuple[Tensor, Tensor]:
    """Rows ``(H, 1)`` and columns ``(W,)`` of pixel centres in [0, 1]."""
    h, w = like.shape[-2:]
    rows = (torch.arange(h, device=like.device, dtype=like.dtype) + 0.5) / h
    columns = (torch.arange(w, device=like.device, dtype=like.dtype) + 0.5) / w
    return rows[:, None], columns
