"""Road, markings, pavements and what lies beyond them."""

from dataclasses import KW_ONLY, dataclass

import numpy as np

from .textures import ATLAS, band, noise_image, sample, stripes
from .weather import Weather

_BASES = {'grass': (0.036, 0.115, 0.08), 'concrete': (0.2, 0.22, 0.235), 'asphalt': (0.11, 0.113, 0.116)}
_WHITE, _YELLOW = (0.6, 0.62, 0.62), (0.1, 0.41, 0.57)
_STORED = {'grass': -1.5, 'concrete': 0.8, 'asphalt': 1.8}  # kelvin above the air after the day


class _Spots:
    """Pixels of the ground: where they are, what they cover, and noise that belongs to the place."""

    def __init__(self, g, idx: np.ndarray, curve: float, offset: list[float]):
        self.x, self.z = g.x[idx], g.z[idx]
        self.s = self.x - curve * self.z * self.z if curve else self.x  # metres to the right of the road's centre
        self.fx = g.depth[idx] / g.focal  # metres a pixel covers across the road, and along it
        self.fz = np.maximum(self.fx * g.depth[idx] / g.eye[1], 1e-3)
        self.blotch = sample(noise_image('blotch'), self.x * 14 + offset[0], self.z * 14 + offset[1])
        self.cloud = sample(noise_image('cloud'), self.x * 5 + offset[2], self.z * 2.5 + offset[3])
        self.crack = sample(noise_image('cloud'), self.s * 9 + offset[1], self.z * 9 + offset[0])

    def across(self, low: float, high: float) -> np.ndarray:
        """1 between two distances from the road's centre, to the right."""
        return band(self.s, low, high, self.fx)

    def beside(self, low: float, high: float) -> np.ndarray:
        """1 between two distances from the road's centre, on both sides."""
        return band(np.abs(self.s), low, high, self.fx)

    def along(self, low: float, high: float) -> np.ndarray:
        """1 between two places along the road."""
        return band(self.z, low, high, self.fz)

    def round(self, s: float, z: float, radius: float) -> np.ndarray:
        """1 inside a circle."""
        return band((self.s - s) ** 2 + (self.z - z) ** 2, -1, radius**2, self.fz * 2 * radius)


@dataclass
class Ground:
    """What the ground is made of, as a function of x and z; a shader of the ground's face. Lengths in metres.

    Attributes:
        weather: conditions of the scene.
        rng: draws colours, wear, patches and covers.
        half: half width of the road.
        walk: width of each pavement, 0 for none.
        curve: the road's centre is at x = curve * z^2.
        base: beyond the pavement: concrete, grass or asphalt.
        surface: of the road: asphalt or tiles.
        centre: line in the middle: dashed, solid, double or none.
        edge: whether the road has edge lines.
        crossings: where zebra crossings begin along z.
        side_street: range of z of a street across.
        bays: parking bays: inner and outer x, and pitch along z.
    """

    weather: Weather
    rng: np.random.Generator
    _: KW_ONLY
    half: float = 4.0
    walk: float = 2.5
    curve: float = 0.0
    base: str = 'concrete'
    surface: str = 'asphalt'
    centre: str = 'dashed'
    edge: bool = True
    crossings: tuple[float, ...] = ()
    side_street: tuple[float, float] | None = None
    bays: tuple[float, float, float] | None = None

    def __post_init__(self):
        rng, half = self.rng, self.half
        gray = rng.uniform(0.6, 1.25)
        self.tint = [c * gray * rng.uniform(0.97, 1.03) for c in (0.135, 0.137, 0.138)]
        gray = rng.uniform(0.65, 1.15)
        self.paving = [c * gray * rng.uniform(0.95, 1.05) for c in (0.25, 0.275, 0.29)]
        self.line = _YELLOW if rng.random() < 0.3 else _WHITE
        self.wear, self.tile = rng.uniform(0.1, 0.5), rng.uniform(0.3, 0.65)
        self.tactile = self.walk > 0 and rng.random() < 0.25
        self.covers = [
            (rng.uniform(-0.7, 0.7) * half, rng.uniform(4, 30), rng.uniform(-0.8, 2.5))
            for _ in range(rng.integers(0, 3))
        ]
        self.patches = [
            (rng.uniform(-1, 1) * half, rng.uniform(3, 40), *rng.uniform((0.5, 1, 0.7), (1.6, 7, 1.25)).tolist())
            for _ in range(rng.integers(0, 6))
        ]
        self.lanes = half < 8
        self.arrow = rng.uniform(6, 20) if rng.random() < 0.3 and self.centre != 'none' else None
        self.offset = [float(v) + 8192 for v in rng.integers(0, ATLAS, 4)]

    def __call__(self, g, idx: np.ndarray) -> None:
        """Write colour and temperature of the ground pixels ``idx``."""
        at, half, lush = _Spots(g, idx, self.curve, self.offset), self.half, self.base == 'grass'
        aside = at.along(*self.side_street) if self.side_street else np.zeros_like(at.s)
        road = np.maximum(at.across(-half, half), aside)
        walk = at.beside(half, half + self.walk) * (1 - road)
        kerb = at.beside(half, half + 0.16) * (1 - road) * (self.walk > 0)
        rest = 1 - road - walk
        lane = np.abs(np.abs(at.s) - half / 2)
        track = np.exp(-(((lane - 0.75) / 0.35) ** 2)) * self.lanes  # polished, and warmed by tyres
        slabs = self._slabs(at)
        main, ink = (
            (slabs, self.paving) if self.surface == 'tiles' else (self._asphalt(at, lane) + 0.07 * track, self.tint)
        )
        main *= 1 - 0.35 * at.beside(half - 0.12, half) * (1 - aside) * (self.walk > 0)
        paint = self._paint(at) * road * np.clip(1.05 - self.wear + 0.35 * at.blotch, 0.1, 1)
        rough = 1 + (0.22 if lush else 0.1) * at.cloud + (0.25 if lush else 0.06) * at.blotch
        for c in range(3):
            value = road * main * ink[c] + walk * slabs * self.paving[c] + rest * rough * _BASES[self.base][c]
            value += kerb * (0.3 - value) + paint * (self.line[c] - value)
            if self.tactile:
                value += at.beside(half + 0.75, half + 1.05) * walk * 0.8 * (_YELLOW[c] - value)
            g.colour[c, idx] = value * (1 - 0.45 * self.weather.wet)
        g.retro[idx] = paint * 0.5
        g.gloss[idx] = 0.05 * self.weather.wet * np.clip(1 + 0.5 * at.cloud, 0, 2)
        g.solar[idx] = road + walk * 0.8 + rest * (0.5 if lush else 0.8) - 0.25 * paint
        temp = road * (2.0 + 0.5 * track) + walk * 1.2 + rest * _STORED[self.base] + 0.5 * kerb
        temp -= paint * (0.7 if self.weather.solar else 0.25)
        g.temp[idx] = self.weather.ambient + temp + self._warm_spots(at, g.warmth)

    def _asphalt(self, at: _Spots, lane: np.ndarray) -> np.ndarray:
        """Relative brightness of the asphalt: oil between the wheels, patches, cracks and covers."""
        gray = 1 + 0.08 * at.cloud + 0.06 * at.blotch - 0.1 * np.exp(-((lane / 0.4) ** 2)) * self.lanes
        for s, z, wide, length, shade in self.patches:
            gray *= 1 + (shade - 1) * at.across(s - wide, s + wide) * at.along(z, z + length)
        gray *= 1 - 0.3 * np.clip(1 - np.abs(at.crack) / 0.035, 0, 1) * np.clip(0.06 / at.fz, 0, 1)
        for s, z, _ in self.covers:
            ribs = 0.6 + 0.4 * np.sin(at.s * 60) * np.clip(0.02 / at.fx, 0, 1)
            gray *= 1 - 0.45 * at.round(s, z, 0.33) * ribs
        return gray

    def _paint(self, at: _Spots) -> np.ndarray:
        """Coverage of road paint."""
        half, z = self.half, at.z
        paint = at.beside(half - 0.42, half - 0.28) * self.edge
        if self.centre != 'none':
            middle = at.beside(0.08, 0.2) if self.centre == 'double' else at.across(-0.07, 0.07)
            dash = stripes(z, 9.0, 0.0, 0.45, at.fz) if self.centre == 'dashed' else 1.0
            paint = np.maximum(paint, middle * dash)
        if self.side_street:
            paint *= 1 - at.along(self.side_street[0] - 6, self.side_street[1] + 6)
        for start in self.crossings:
            paint *= 1 - at.along(start - 2.4, start + 4.5)
            zebra = (
                stripes(at.s, 1.0, 0.0, 0.5, at.fx) * at.along(start, start + 3.2) * at.across(0.2 - half, half - 0.2)
            )
            stop = at.along(start - 2.0, start - 1.6) * at.across(0.1, half - 0.2)
            paint = np.maximum(paint, np.maximum(zebra, stop))
        if self.arrow:
            ahead = z - self.arrow
            wide = np.where(ahead > 3.0, np.clip((4.4 - ahead) * 0.35, 0, 0.5), np.float32(0.09) * (ahead > 0))
            paint = np.maximum(paint, np.clip((wide - np.abs(at.s - half / 2)) / at.fx + 0.5, 0, 1) * (wide > 0))
        if self.bays:
            inner, outer, pitch = self.bays
            paint = np.maximum(paint, stripes(z, pitch, 0.0, 0.04, at.fz) * at.beside(inner, outer))
        return paint

    def _slabs(self, at: _Spots) -> np.ndarray:
        """Relative brightness of paving slabs and their joints, fading where a pixel covers a slab."""
        side = self.tile
        sharp = np.clip(side / at.fz - 0.6, 0, 1)
        joint = 1 - stripes(at.x, side, 0.02, 0.98, at.fx) * stripes(at.z, side, 0.02, 0.98, at.fz)
        tone = sample(noise_image('grain'), at.x / side + 512, at.z / side + 512)
        return 1 + 0.09 * at.cloud + 0.06 * at.blotch + sharp * (0.07 * tone - 0.35 * joint)

    def _warm_spots(self, at: _Spots, warmth: list) -> np.ndarray:
        """Kelvin that patches, covers and the engines above the ground add."""
        temp = 0.14 * at.blotch + 0.45 * at.cloud
        for s, z, wide, length, shade in self.patches:
            temp -= 2.0 * (shade - 1) * at.across(s - wide, s + wide) * at.along(z, z + length)
        for s, z, kelvin in self.covers:
            temp += kelvin * at.round(s, z, 0.33)
        for x, z, rx, rz, kelvin in warmth:
            temp += kelvin * np.exp(-(((at.x - x) / rx) ** 2) - ((at.z - z) / rz) ** 2)
        return temp
