"""Procedural road scenes for an infrared and a visible camera that share one optical axis.

One geometry serves both cameras. The visible image is reflectance times light (sun, sky, lamps, headlights), haze, lens
and sensor; the infrared image is the radiance of every surface from its temperature and emissivity, softened by thermal
optics, with the noise of a microbolometer and its automatic gain. Not from the paper.
"""

import numbers
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from .scene_parts.cameras import thermal_camera, visible_camera
from .scene_parts.canvas import SKY, Canvas
from .scene_parts.layouts import LAYOUTS
from .scene_parts.light import render
from .scene_parts.stage import Stage
from .scene_parts.weather import KINDS, draw_weather

_SAMPLES = 200_000  # pixels drawn, where the size allows
_SMALLEST = 32  # pixels a side
_MIX = (0.22, 0.14, 0.1, 0.24, 0.18, 0.12)  # how often each kind is drawn


@dataclass
class Scene:
    """One rendered pair.

    Attributes:
        ir: ``(H, W)`` uint8, bright is hot.
        vis: ``(H, W, 3)`` uint8, BGR.
        targets: boxes ``(x0, y0, x1, y1)`` in pixels of the visible parts of people and riders, the right and lower
            edge excluded; people too small or too hidden to be seen are left out.
        kind: the lighting, one of ``KINDS``.
    """

    ir: np.ndarray
    vis: np.ndarray
    targets: list[tuple[int, int, int, int]]
    kind: str


def _target_boxes(canvas: Canvas, size: tuple[int, int]) -> list[tuple[int, int, int, int]]:
    """Boxes of the visible pixels of each target, in pixels of the image."""
    fy, fx = size[0] / canvas.ids.shape[0], size[1] / canvas.ids.shape[1]
    boxes = []
    for first, stop in canvas.targets:
        mask = ((canvas.ids >= first) & (canvas.ids < stop)).view(np.uint8)
        x, y, w, h = cv2.boundingRect(mask)
        if w and cv2.countNonZero(mask) * fx * fy >= 12 and cv2.countNonZero(mask) > 0.25 * w * h:
            x0, y0 = int(x * fx), int(y * fy)
            boxes.append((x0, y0, min(int(np.ceil((x + w) * fx)), size[1]), min(int(np.ceil((y + h) * fy)), size[0])))
    return boxes


def _check(index: int, seed: int, size: tuple[int, int], kind: str | None) -> tuple[int, int]:
    """Height and width, if all arguments are in range."""
    if kind is not None and kind not in KINDS:
        raise ValueError(f'unknown kind of scene {kind!r}; known kinds: {", ".join(KINDS)}, or None to draw one')
    for name, value in (('index', index), ('seed', seed)):
        if not isinstance(value, numbers.Integral) or value < 0:
            raise ValueError(f'{name} must be an integer of 0 or more, got {value!r}')
    if not isinstance(size, Sequence) or len(size) != 2:
        raise ValueError(f'size must be a pair (height, width), got {size!r}')
    if any(not isinstance(side, numbers.Integral) or side < _SMALLEST for side in size):
        raise ValueError(f'height and width must be integers of at least {_SMALLEST} pixels, got {size!r}')
    return int(size[0]), int(size[1])


def render_scene(index: int, seed: int = 0, size: tuple[int, int] = (240, 320), kind: str | None = None) -> Scene:
    """Render one aligned infrared and visible pair of a road scene. Not from the paper.

    The result depends on nothing but the arguments. The composition (camera, buildings, people) is drawn from the index
    and the seed, so another size of the same shape shows the same place.

    Args:
        index: number of the scene, 0 or more; every index is another place.
        seed: seed of the whole set, 0 or more.
        size: height and width in pixels, at least 32 each.
        kind: lighting, one of ``KINDS``: 'day' (sun and cast shadows), 'overcast', 'dusk', 'night' (street lamps),
            'headlights' (night, own beam and oncoming glare) or 'shadow' (sun, with people in deep shade). None draws
            one from the index and the seed.

    Returns:
        The pair with the boxes of its hot targets.

    Raises:
        ValueError: an argument is out of range; the message names what is known.

    Example:
        >>> scene = render_scene(3, kind='night')
        >>> scene.ir.shape, scene.vis.shape
        ((240, 320), (240, 320, 3))
    """
    height, width = _check(index, seed, size, kind)
    rng = np.random.default_rng([int(seed), int(index), 0])
    drawn = KINDS[rng.choice(len(KINDS), p=_MIX)]
    kind = kind or drawn
    layouts = [name for name in LAYOUTS if not (name == 'plaza' and kind == 'headlights')]  # no car is that tall
    compose = LAYOUTS[layouts[rng.integers(len(layouts))]]
    fine = np.clip((_SAMPLES / (height * width)) ** 0.5, 1.2, 4.0)  # drawn larger, then averaged against jagged edges
    stage = Stage(rng, draw_weather(kind, rng), (round(height * fine), round(width * fine)))
    compose(stage)
    canvas = stage.finish()
    light, heat = render(canvas, stage.weather, rng)
    *light, heat = (cv2.resize(plane, (width, height), interpolation=cv2.INTER_AREA) for plane in (*light, heat))
    sky = cv2.resize((canvas.ids == SKY).view(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST) > 0
    sensor = np.random.default_rng([int(seed), int(index), 1, height, width, KINDS.index(kind)])
    vis = visible_camera(cv2.merge(light), stage.weather, sensor)
    return Scene(thermal_camera(heat, sky, sensor), vis, _target_boxes(canvas, (height, width)), kind)
