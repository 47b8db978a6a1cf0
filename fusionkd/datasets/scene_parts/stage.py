"""The stage: a camera, a road, and what has been placed on it."""

from collections.abc import Callable

import numpy as np

from . import furniture, people, plants
from .buildings import draw_building
from .canvas import GROUND, Camera, Canvas, material, pick
from .ground import Ground
from .shadows import sun_blocked
from .textures import ATLAS, noise_image
from .vehicles import VEHICLES, draw_vehicle
from .weather import Weather

_CARS = ('sedan', 'sedan', 'hatch', 'hatch', 'suv', 'suv', 'van', 'pickup')
_LAMPS = ((0.22, 0.58, 1.0), (0.22, 0.58, 1.0), (0.75, 0.95, 1.0), (1.0, 1.0, 0.9))  # sodium, LED, mercury
_MAX_LAMPS = 7  # burning; each costs time


class Stage:
    """A scene being composed: things are placed in any order and drawn far to near at the end.

    Args:
        rng: draws everything.
        weather: conditions of the scene.
        shape: height and width of the canvas in pixels.
    """

    def __init__(self, rng: np.random.Generator, weather: Weather, shape: tuple[int, int]):
        self.rng, self.weather, self.shape = rng, weather, shape
        self.side = float(rng.choice((-1, 1)))  # the side of the road on which one drives
        self.leaves = [plants.foliage(rng, weather.ambient) for _ in range(3)]
        self.bare = weather.ambient < 9 and rng.random() < 0.5
        self.lamp_rgb = pick(rng, _LAMPS)
        self.burning = self.people = 0
        self.blocks: list[tuple[np.ndarray, np.ndarray, bool]] = []
        self.things: list[tuple[float, Callable[[], object]]] = []
        self.taken: list[tuple[float, float, float]] = []

    def aim(
        self,
        x: float,
        *,
        height: tuple[float, float],
        pitch: tuple[float, float],
        yaw: float = 0.08,
        focal: tuple[float, float] = (0.8, 1.35),
    ) -> None:
        """Set up the camera.

        Args:
            x: its place across the road in metres.
            height: range of its height in metres.
            pitch: range of its tilt downwards in degrees.
            yaw: standard deviation of its turn in radians.
            focal: range of the focal length in image widths.
        """
        rng, (rows, cols) = self.rng, self.shape
        angles = rng.normal(0, yaw), np.deg2rad(rng.uniform(*pitch)), rng.normal(0, 0.008)
        eye = x, rng.uniform(*height), 0.0
        self.camera = Camera(self.shape, max(cols, 0.75 * rows) * rng.uniform(*focal), eye, angles)
        self.canvas = Canvas(self.camera, rng, self.weather.ambient)
        if self.weather.kind == 'shadow':  # a tall building out of sight shades the foreground
            sun, away = self.weather.sun, rng.uniform(11, 14)
            top = (away + rng.uniform(2, 9)) * sun[1] / abs(sun[0])
            near, far = sorted((np.sign(sun[0]) * away, np.sign(sun[0]) * (away + 25)))
            self.weather.boxes.append((np.array([near, 0.0, -60.0]), np.array([far, top, away * 0.75])))

    def pave(self, **options) -> None:
        """Lay the ground; options as for ``Ground``."""
        self.ground = Ground(self.weather, self.rng, **options)

    def add(self, x: float, z: float, radius: float, draw: Callable, *args, free: bool = True, **options) -> bool:
        """Queue ``draw(canvas, x, z, ...)`` unless the place is out of sight, too near, or taken (if ``free``)."""
        right, _, depth = self.camera.to_camera(np.array([[x, 0.0, z]]))[0]
        if depth < 2.2 + radius or abs(right) - radius * 1.5 > depth * self.shape[1] / 2 / self.camera.focal:
            return False
        if free and any((x - a) ** 2 + (z - b) ** 2 < (radius + r) ** 2 for a, b, r in self.taken):
            return False
        if free:
            self.taken.append((x, z, radius))
        self.things.append((depth, lambda: draw(self.canvas, x, z, *args, **options)))
        return True

    def block(self, x: float, depth: float, z: tuple[float, float], height: float, house: bool = False) -> None:
        """Place a building whose front is at ``x``; it reaches ``depth`` metres to the right, or left if negative."""
        lo, hi = np.array([min(x, x + depth), 0.0, z[0]]), np.array([max(x, x + depth), height, z[1]])
        self.blocks.append((lo, hi, house))
        self.weather.boxes.append((lo, hi))

    def skyline(self, z: float, floors: tuple[int, int], gaps: tuple[float, ...], chance: float = 1.0) -> None:
        """Close the view with a row of buildings across it."""
        x = -45.0
        while x < 40:
            width = self.rng.uniform(12, 32)
            if self.rng.random() < chance:
                self.block(x, width, (z, z + 14), self.rng.integers(*floors) * 3.2 + 1)
            x += width + pick(self.rng, gaps)

    def person(self, x: float, z: float, heading: float | None = None, pose: str | None = None) -> bool:
        """Place a pedestrian; what is not given is drawn."""
        rng = self.rng
        pose = pose or rng.choice(people.POSES, p=(0.42, 0.24, 0.1, 0.1, 0.07, 0.07))
        heading = rng.uniform(0, 2 * np.pi) if heading is None else heading
        placed = self.add(x, z, 0.3, people.draw_person, heading, pose)
        self.people += placed
        return placed

    def crowd(self, count: int, xs: tuple[float, float], zs: tuple[float, float], along: bool = True) -> None:
        """Scatter people, often in twos; in the 'shadow' kind most of them where the sun does not reach."""
        rng = self.rng
        for _ in range(count):
            for _ in range(8):
                x, z = rng.uniform(min(xs), max(xs)), np.exp(rng.uniform(*np.log(zs)))
                chest = [np.array([c], np.float32) for c in (x, 1.2, z)]
                if self.weather.kind != 'shadow' or sun_blocked(chest, self.weather)[0] > 0.5:
                    break
            heading = (rng.choice((0, np.pi)) + rng.normal(0, 0.25)) if along else None
            if self.person(x, z, heading) and rng.random() < 0.35:
                self.person(x + rng.choice((-1, 1)) * rng.uniform(0.6, 0.8), z + rng.normal(0, 0.15), heading)

    def crosser(self, half: float, z: float) -> None:
        """Place someone who crosses the road."""
        heading = self.rng.choice((-1, 1)) * np.pi / 2 + self.rng.normal(0, 0.2)
        self.person(self.rng.uniform(-half, half), z, heading, 'walk')

    def cyclist(self, x: float, z: float, heading: float) -> None:
        """Place a cyclist."""
        self.people += self.add(x, z, 0.9, people.draw_cyclist, heading, self.weather.lamps)

    def car(
        self, x: float, z: float, heading: float, running: bool, *, kind: str | None = None, free: bool = True
    ) -> None:
        """Place a vehicle; ``free`` as in ``add``."""
        kind = kind or pick(self.rng, _CARS)
        lit = bool(running and (self.weather.lamps or self.rng.random() < 0.2))
        reach = 3.6 if kind == 'truck' else VEHICLES[kind][0] * 0.52
        self.add(x, z, reach, draw_vehicle, kind, free=free, heading=heading, running=running, lit=lit)

    def traffic(self, half: float, zs: tuple[float, float], count: int) -> None:
        """Place moving vehicles in both lanes; by headlights the first one comes towards the camera."""
        rng = self.rng
        for k in range(count):
            oncoming = rng.random() < 0.55 or (k == 0 and self.weather.kind == 'headlights')
            kind = pick(rng, ('truck', 'bus')) if rng.random() < 0.12 and half > 3.2 else None
            z = np.exp(rng.uniform(*np.log(zs))) + (6 if kind else 0) + (0 if oncoming else 5)
            x = self.side * half * (-0.5 if oncoming else 0.5) + rng.normal(0, 0.15)
            self.car(x, z, np.pi if oncoming else 0.0, True, kind=kind)

    def parked(self, x: float, span: tuple[float, float], density: float) -> None:
        """Place parked cars in a row along the road."""
        rng, z = self.rng, span[0]
        while z < span[1]:
            if rng.random() < density:
                heading = rng.choice((0.0, np.pi)) + rng.normal(0, 0.02)
                self.car(x + rng.normal(0, 0.07), z, heading, rng.random() < 0.08)
            z += rng.uniform(5.2, 6.6)

    def tree(self, x: float, z: float, height: float) -> None:
        """Place a tree."""
        species = 'bare' if self.bare else pick(self.rng, ('broad', 'broad', 'broad', 'tall', 'conifer'))

        def draw(canvas: Canvas, x: float, z: float) -> None:
            crown = plants.draw_tree(canvas, x, z, height, species=species, leaves=pick(self.rng, self.leaves))
            if crown:
                self.weather.crowns.append(crown)

        self.add(x, z, 0.5, draw)

    def bush(self, x: float, z: float, width: float, height: float) -> None:
        """Place a shrub."""
        self.add(x, z, width / 2, plants.draw_bush, width, height, leaves=pick(self.rng, self.leaves), free=False)

    def hedge(self, x: float, span: tuple[float, float], height: float) -> None:
        """Place a hedge along the road, in pieces so that things before and behind it are drawn in order."""
        leaves, step = pick(self.rng, self.leaves), 2.5
        for z in np.arange(*span, step):
            self.add(x, z + step / 2, 1.5, plants.draw_hedge, step, height, leaves=leaves, free=False)

    def fence(self, x: float, span: tuple[float, float]) -> None:
        """Place a railing along the road."""
        for z in np.arange(*span, 6.0):
            self.add(x, z + 3.0, 3.0, furniture.draw_fence, 6.0, free=False)

    def lamps(self, x: float, zs, arm: float) -> None:
        """Place street lamps; the nearest ones burn when it is dark."""
        for z in zs:
            on = self.weather.lamps and self.burning < _MAX_LAMPS
            rgb, height = self.lamp_rgb if on else None, self.rng.uniform(5.5, 7.5)
            self.burning += self.add(x, z, 0.2, furniture.draw_lamp, arm, height=height, rgb=rgb) and on

    def wires(self, x: float) -> None:
        """Place timber poles with sagging wires along the road."""
        rng, wire = self.rng, material(0.015, self.weather.ambient)
        height, zs = rng.uniform(7.5, 9), rng.uniform(4, 14) + rng.uniform(22, 30) * np.arange(5)
        for z in zs:
            self.add(x, z, 0.2, furniture.draw_pole, height)
        sag = np.linspace(0, 1, 9)
        for a, b in zip(zs[:-1], zs[1:], strict=True):  # noqa: RUF007 - itertools.pairwise yields no arrays
            for dx in (-0.8, 0.0, 0.8):
                path = np.stack([np.full(9, x + dx), height - 0.4 - 2.4 * sag * (1 - sag), a + (b - a) * sag], 1)
                self.things.append(((a + b) / 2, lambda path=path: self.canvas.line(path, wire, 0.02)))

    def furnish(self, kerb: float, span: tuple[float, float]) -> None:
        """Place signs, bins and cabinets near the kerbs."""
        rng = self.rng
        for _ in range(rng.integers(1, 5)):
            x, shape = (
                rng.choice((-1, 1)) * (kerb + rng.uniform(0.3, 0.7)),
                pick(rng, ('disc', 'triangle', 'board', 'arrow')),
            )
            self.add(x, rng.uniform(*span), 0.4, furniture.draw_sign, shape)
        for _ in range(rng.integers(0, 3)):
            x = rng.choice((-1, 1)) * (kerb + rng.uniform(0.5, 1.2))
            self.add(x, rng.uniform(*span), 0.6, furniture.draw_cabinet)

    def _draw_backdrop(self, distance: float = 170.0) -> None:
        """Hills and a line of trees that close the view, and a few towers before them."""
        rng, count = self.rng, 140
        wide = 1.1 * max(1.0, self.shape[1] / self.camera.focal)
        smooth, rough = (noise_image(name)[int(rng.integers(ATLAS)), :count] for name in ('cloud', 'leaf'))
        for away, scale, bumps, tone in ((1.5, 0.055, 0.0, 1.1), (1.0, 0.045, 0.016, 0.8)):
            if rng.random() < 0.8:
                ridge = np.clip(1 + 0.6 * smooth, 0.05, 3) * scale * rng.uniform(0.3, 1.3) + bumps * np.abs(rough)
                top = np.stack([np.linspace(-wide, wide, count), ridge, np.ones(count)], 1)
                mat = material(
                    np.array([0.033, 0.082, 0.055]) * tone, self.weather.ambient + rng.uniform(-1, 1.5), 0.97, grain=0.4
                )
                foot = np.array([[wide, -0.01, 1.0], [-wide, -0.01, 1.0]])
                self.canvas.polygon(np.concatenate([top, foot]) * distance * away, mat)
            smooth = smooth[::-1]
        for _ in range(rng.integers(0, 5)):
            width, (x, z) = rng.uniform(10, 28), rng.uniform((-0.7, 0.6), (0.7, 0.95)) * distance
            lo, hi = np.array([x, 0.0, z]), np.array([x + width, rng.uniform(14, 60), z + width])
            draw_building(self.canvas, self.weather, lo, hi)

    def finish(self) -> Canvas:
        """Draw everything; at least one person is tried for."""
        for _ in range(6):
            if self.people == 0:
                self.person(self.rng.uniform(-4, 4), self.rng.uniform(9, 22))
        self._draw_backdrop()
        for lo, hi, house in sorted(self.blocks, key=lambda block: -block[0][2]):
            draw_building(self.canvas, self.weather, lo, hi, house)
        for _, draw in sorted(self.things, key=lambda thing: -thing[0]):
            draw()
        self.canvas.shaders[GROUND] = self.ground
        return self.canvas
