"""Light, air and temperatures of a scene."""

from dataclasses import dataclass, field

import numpy as np

KINDS = ('day', 'overcast', 'dusk', 'night', 'headlights', 'shadow')
Colour = tuple[float, float, float]  # linear BGR

# Per kind: light of the sun and of the sky on a white surface; the sky itself overhead and at the horizon.
_LIGHT: dict[str, tuple[Colour, Colour, Colour, Colour]] = {
    'day': ((0.8, 0.94, 1.0), (0.3, 0.26, 0.225), (0.72, 0.42, 0.21), (1.0, 0.95, 0.88)),
    'shadow': ((0.8, 0.94, 1.0), (0.115, 0.094, 0.075), (0.75, 0.42, 0.2), (0.95, 0.9, 0.84)),
    'overcast': ((0.0, 0.0, 0.0), (0.62, 0.61, 0.6), (0.72, 0.7, 0.68), (0.98, 0.97, 0.95)),
    'dusk': ((0.0, 0.0, 0.0), (0.105, 0.08, 0.07), (0.16, 0.085, 0.055), (0.2, 0.25, 0.36)),
    'night': ((0.0, 0.0, 0.0), (0.0050, 0.0046, 0.004), (0.0011, 0.0009, 0.0008), (0.003, 0.0031, 0.0033)),
    'headlights': ((0.0, 0.0, 0.0), (0.0034, 0.0031, 0.0028), (0.0008, 0.0007, 0.0007), (0.0025, 0.0026, 0.0028)),
}


@dataclass
class Weather:
    """Conditions of one scene; colours are linear BGR, 1 being white paper in the sun.

    Attributes:
        kind: one of ``KINDS``.
        ambient: air temperature in degrees Celsius.
        sky_temp: temperature the sky shows overhead.
        solar: kelvin the sun adds to dark asphalt; 0 without sun.
        sun: unit vector towards the sun.
        haze: extinction per metre.
        lamps: whether street lamps and headlights burn.
        lit: share of lit windows.
        beam: whether the camera's own car has its headlights on.
        wet: 0 for a dry road to 1 for a film of water.
        boxes: buildings as lower and upper corners, for shadows.
        crowns: trees as spheres ``(x, y, z, radius)``, for shadows.
    """

    kind: str
    ambient: float
    sky_temp: float
    solar: float
    sun: tuple[float, float, float]
    sun_rgb: Colour
    sky_rgb: Colour
    zenith: Colour
    horizon: Colour
    cloud: float
    haze: float
    lamps: bool
    lit: float
    beam: bool
    wet: float
    boxes: list[tuple[np.ndarray, np.ndarray]] = field(default_factory=list)
    crowns: list[tuple[float, float, float, float]] = field(default_factory=list)

    @property
    def dark(self) -> bool:
        """Whether it is night."""
        return self.kind in ('night', 'headlights')


def draw_weather(kind: str, rng: np.random.Generator) -> Weather:
    """Draw the conditions of a kind of scene."""
    sunny, dark = kind in ('day', 'shadow'), kind in ('night', 'headlights')
    azimuth, height = rng.uniform(0, 2 * np.pi), np.deg2rad(rng.uniform(24, 58))
    if kind == 'shadow':  # from the side and a little behind, so that buildings shade the road ahead
        azimuth, height = rng.choice((-1, 1)) * rng.uniform(1.5, 2.4), np.deg2rad(rng.uniform(28, 46))
    sun = np.sin(azimuth) * np.cos(height), np.sin(height), np.cos(azimuth) * np.cos(height)
    ambient = rng.uniform(2, 17) if dark else rng.uniform(5, 20)
    cloud = {'overcast': 1.0, 'day': rng.uniform(0, 0.6), 'shadow': rng.uniform(0, 0.4)}.get(kind, rng.uniform(0, 0.9))
    foggy = not sunny and rng.random() < 0.15
    haze = np.exp(rng.uniform(*np.log((0.006, 0.02) if foggy else (0.0003, 0.003))))
    level = rng.uniform(0.5, 1.6) if dark else rng.uniform(0.85, 1.15)
    sun_rgb, *sky = (tuple(float(v) * (level if k else 1.0) for v in rgb) for k, rgb in enumerate(_LIGHT[kind]))
    if foggy:
        gray = sum(sky[2]) / 3
        sky[2] = tuple(0.35 * c + 0.65 * gray for c in sky[2])
        sky[1] = tuple(0.3 * a + 0.7 * b for a, b in zip(sky[1], sky[2], strict=True))
    lit = {'day': 0.02, 'shadow': 0.02, 'overcast': 0.08, 'dusk': 0.4}.get(kind, rng.uniform(0.06, 0.35))
    return Weather(
        kind=kind,
        ambient=ambient,
        sky_temp=ambient - 34 + 24 * max(cloud, 0.9 * foggy),
        solar=rng.uniform(3.5, 8.5) if sunny else 0.0,
        sun=tuple(float(v) for v in sun),
        sun_rgb=sun_rgb,
        sky_rgb=sky[0],
        zenith=sky[1],
        horizon=sky[2],
        cloud=cloud,
        haze=float(haze),
        lamps=dark or kind == 'dusk',
        lit=lit,
        beam=kind == 'headlights' or (kind == 'night' and rng.random() < 0.35),
        wet=rng.uniform(0.3, 1.0) if not sunny and rng.random() < 0.3 else 0.0,
    )
