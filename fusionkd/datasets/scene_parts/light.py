"""From face numbers to light and heat: the shading of both cameras."""

import cv2
import numpy as np

from .canvas import BEND_AT, FAR, GROUND, OFFSET, SKY, Canvas
from .shadows import ground_mask, shadow_outlines, sun_blocked
from .textures import ATLAS, noise_image, sample
from .weather import Weather

_STRIP = 40_000  # pixels shaded at a time: small enough for the caches


class Pixels:
    """Properties of some pixels, flat; the shaders of faces write into it."""

    def __init__(self, canvas: Canvas, table: np.ndarray, ids: np.ndarray, ray: np.ndarray):
        camera = canvas.camera
        self.focal, self.eye, self.warmth = camera.focal, [float(e) for e in camera.eye], canvas.warmth
        self.ids, self.ray, self.table = ids, ray, table
        plane = [self._take(12 + k) for k in range(3)]
        slant = plane[0] * ray[0] + plane[1] * ray[1] + plane[2] * ray[2]
        slant[np.abs(slant) < 1e-6] = 1e-6
        self.depth = np.clip(self._take(OFFSET) / slant, 0.1, FAR)
        self.length = np.sqrt(ray[0] ** 2 + ray[1] ** 2 + ray[2] ** 2)
        self.facing = np.abs(slant) / self.length
        self.offset = [self.depth * ray[k] for k in range(3)]
        self.x, self.y, self.z = (self.offset[k] + self.eye[k] for k in range(3))

    def _take(self, column: int) -> np.ndarray:
        return self.table[column].take(self.ids)

    def reflect(self) -> None:
        """Note how far up the mirrored view ray points."""
        ray, normal = self.ray, self.normal
        tilt = 2 * (ray[0] * normal[0] + ray[1] * normal[1] + ray[2] * normal[2])
        self.mirror_up = (ray[1] - tilt * normal[1]) / self.length

    def load_surface(self) -> None:
        """Look up normals and materials."""
        bend = [self._take(19 + k) for k in range(3)]
        turn = bend[0] * self.offset[0] + bend[1] * self.offset[1] + bend[2] * self.offset[2] - self._take(BEND_AT)
        np.clip(turn, -0.97, 0.97, out=turn)
        flat = np.sqrt(1 - turn * turn)
        lean = turn / np.maximum(np.sqrt(bend[0] ** 2 + bend[1] ** 2 + bend[2] ** 2), 1e-6)
        self.normal = [flat * self._take(16 + k) + lean * bend[k] for k in range(3)]
        self.colour = np.stack([self._take(k) for k in range(3)])
        self.emission = np.stack([self._take(3 + k) for k in range(3)])
        self.temp, self.emissivity, self.gloss, self.retro, self.solar, self.grain = (
            self._take(6 + k) for k in range(6)
        )


def _power(x: np.ndarray, doublings: int) -> np.ndarray:
    """``x`` to the power ``2 ** doublings``, much faster than a general power."""
    for _ in range(doublings):
        x = x * x
    return x


def _sky(ray: np.ndarray, weather: Weather, phase: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Light ``(3, n)`` and temperature ``(n,)`` of the sky along unit rays."""
    up = np.clip(ray[1], 0.0, 1)
    over = 60 / (up + 0.12)
    u, v = ray[0] * over + phase[0], ray[2] * over + phase[1]
    clouds = noise_image('cloud')
    cover = sample(clouds, u + 4096, v + 4096) * 0.75 + 0.14 * sample(clouds, u * 4 + 4096, v * 4 + 4096)
    cover = np.clip(0.5 + 0.9 * cover + 2.2 * (weather.cloud - 0.6), 0, 1)
    sun = np.clip(sum(ray[k] * weather.sun[k] for k in range(3)), 0, 1)
    glow = 0.35 * _power(sun, 3) + 1.5 * _power(sun, 7) if weather.solar else 0.0
    rise = np.clip(np.sqrt(up) * 1.5, 0, 1)
    light = np.empty_like(ray)
    for c in range(3):
        clear = weather.horizon[c] + (weather.zenith[c] - weather.horizon[c]) * rise
        white = weather.horizon[c] * (1.1 if weather.solar else 0.9) * (0.75 + 0.25 * cover)
        light[c] = clear + 0.9 * cover * (white - clear) + glow * weather.sun_rgb[c]
    low = weather.ambient - 4 - weather.sky_temp
    return light, weather.sky_temp + low * np.exp(-up * 9) + 7 * cover * (1 - weather.cloud * 0.7)


def _lamp_light(g: Pixels, canvas: Canvas, weather: Weather) -> np.ndarray:
    """Irradiance ``(3, n)`` from street lamps, other cars and one's own headlights."""
    total = np.zeros_like(g.colour)
    for rgb in dict.fromkeys(
        lamp['rgb'] for lamp in canvas.lights
    ):  # lamps of one colour add up before they are tinted
        flux = np.zeros_like(g.x)
        for lamp in canvas.lights:
            if lamp['rgb'] == rgb:
                to = [float(at) - p for at, p in zip(lamp['at'], (g.x, g.y, g.z), strict=True)]
                inverse = 1 / (to[0] * to[0] + to[1] * to[1] + to[2] * to[2] + 0.05)
                aim = [-float(a) for a in lamp['aim'] / np.linalg.norm(lamp['aim'])]
                cosine = np.clip(to[0] * g.normal[0] + to[1] * g.normal[1] + to[2] * g.normal[2], 0, None)
                cone = np.clip(to[0] * aim[0] + to[1] * aim[1] + to[2] * aim[2], 0, None) * np.sqrt(inverse)
                flux += lamp['power'] * cosine * _power(cone, lamp['focus']) * inverse * np.sqrt(inverse)
        for c in range(3):
            total[c] += flux * rgb[c]
    if weather.beam:
        ahead = np.maximum(g.z, 0.5)
        side, rise = (g.x - g.eye[0]) / ahead, (g.y - 0.7) / np.maximum(ahead, 1)
        pattern = np.exp(-((side / 0.42) ** 2)) * (0.06 + np.clip(0.6 - rise * 22, 0.0, 1))
        facing = np.clip(0.1 * g.normal[1] - 0.97 * g.normal[2], 0, 1) + 0.35 * np.clip(g.normal[1], 0, 1) * np.exp(
            -ahead / 22
        )
        flux = 38 * pattern * (facing + 3.0 * g.retro) / (ahead**2 + 12)
        for c in range(3):
            total[c] += flux * (1.0, 0.98, 0.92)[c]
    return total


def _streaks(g: Pixels, canvas: Canvas, idx: np.ndarray) -> np.ndarray:
    """Light ``(3, n)`` of lamps mirrored by a wet road: narrow in azimuth, long towards the camera."""
    total = np.zeros((3, len(idx)), np.float32)
    broken = np.clip(0.8 + 0.5 * sample(noise_image('blotch'), g.x[idx] * 20 + 4096, g.z[idx] * 9 + 4096), 0, 2)
    ray = [g.ray[k][idx] for k in range(3)]
    azimuth, slope = ray[0] / np.maximum(ray[2], 0.05), ray[1] / np.maximum(ray[2], 0.05)
    for lamp in canvas.lights:
        x, y, z = (float(a) - e for a, e in zip(lamp['at'], g.eye, strict=True))
        if z < 3:
            continue
        towards = -(lamp['aim'] @ (x, y, z)) / np.linalg.norm((x, y, z)) / np.linalg.norm(lamp['aim'])
        power = 0.022 * lamp['power'] * (max(0.1, 0.5 + 0.5 * towards) ** 2)
        depth = z / 12
        miss = (azimuth - x / z) * 45 * max(depth, 1) ** 0.5, (slope + (y + 2 * g.eye[1]) / z) * 4.5
        lobe = power * np.exp(-(miss[0] ** 2) - miss[1] ** 2)
        for c in range(3):
            total[c] += lobe * lamp['rgb'][c]
    return total * broken


def _visible(g: Pixels, canvas: Canvas, weather: Weather, texture: np.ndarray) -> np.ndarray:
    """Light ``(3, n)`` that reaches the visible camera."""
    up, ground = g.normal[1], g.ids == GROUND
    contact = np.where(ground, g.open_sky, 1 - 0.4 * np.exp(-np.clip(g.y, 0, None) / 0.35))
    from_sky, from_ground = (0.5 + 0.5 * up) * contact, (0.5 - 0.5 * up) * contact
    ray = [r / g.length for r in g.ray]
    view = np.abs(ray[0] * g.normal[0] + ray[1] * up + ray[2] * g.normal[2])
    graze = _power(1 - view, 2) * (1 - view)
    fresnel = np.clip(g.gloss + (1 - g.gloss) * graze * np.minimum(g.gloss * 8, 0.8), 0, 1)
    mirror = np.clip((g.mirror_up - 0.05) * 1.8, 0, 1)  # houses and trees hide the lower sky
    air = 1 - np.exp(-weather.haze * g.depth)
    lamps = _lamp_light(g, canvas, weather) if weather.lamps or weather.beam else None
    if weather.solar:
        glint = sum((ray[k] + 2 * view * g.normal[k]) * weather.sun[k] for k in range(3))
        glint = 12 * _power(np.clip(glint, 0, 1), 6) * g.sunlit
        lambert = g.sunlit * np.clip(sum(g.normal[k] * weather.sun[k] for k in range(3)), 0, 1)
    light = np.empty_like(g.colour)
    texture = texture * (1 - fresnel)
    for c in range(3):
        bounce = 0.16 * (weather.sun_rgb[c] * weather.sun[1] * 0.6 + weather.sky_rgb[c])
        fall = weather.sky_rgb[c] * from_sky + bounce * from_ground
        dim, bright = 0.25 * weather.sky_rgb[c], weather.zenith[c] * 0.4 + weather.horizon[c] * 0.6
        seen = dim + mirror * (bright - dim)
        if weather.solar:
            fall += weather.sun_rgb[c] * lambert
            seen += weather.sun_rgb[c] * glint
        if lamps is not None:
            fall += lamps[c] * (0.5 + 0.5 * contact)
        value = g.colour[c] * texture * fall + fresnel * seen + g.emission[c]
        light[c] = value + air * (weather.horizon[c] * 0.8 - value)
    if weather.wet and weather.lamps:
        wet = np.flatnonzero(ground)
        light[:, wet] += weather.wet * _streaks(g, canvas, wet) * contact[wet]
    return light


def _thermal(g: Pixels, weather: Weather, fine: np.ndarray, slow: np.ndarray) -> np.ndarray:
    """Radiance ``(n,)`` that reaches the thermal camera."""
    temp = g.temp + 0.13 * slow + 0.04 * fine
    if weather.solar:
        lambert = np.clip(sum(g.normal[k] * weather.sun[k] for k in range(3)), 0, 1)
        temp += weather.solar * g.solar * g.sunlit * (0.2 + 0.8 * lambert)
    else:  # what faces a clear sky cools
        temp -= 1.2 * (1 - weather.cloud) * np.clip(g.normal[1], 0, 1) * (g.ids != GROUND)
    sky = np.clip(g.mirror_up * 3 + 0.3, 0, 1) * (weather.sky_temp + 6 - weather.ambient)
    own = g.emissivity * _radiance(temp) + (1 - g.emissivity) * _radiance(weather.ambient + sky)
    return own + (1 - np.exp(g.depth * (-1 / 900))) * (float(_radiance(weather.ambient)) - own)


def _radiance(celsius):
    """Black-body radiance of the thermal band, 1 at 20 degrees: near the power 4.6 of the absolute temperature."""
    ratio = (celsius + 273.15) * (1 / 293.15)
    square = ratio * ratio
    return square * square * (0.4 + 0.6 * ratio)


def _shade(g: Pixels, canvas: Canvas, weather: Weather) -> tuple[np.ndarray, np.ndarray]:
    """Light ``(3, n)`` and radiance ``(n,)`` of pixels that show a surface."""
    g.load_surface()
    counts = np.bincount(g.ids, minlength=g.table.shape[1])
    for face, shader in canvas.shaders.items():
        if counts[face] > 3:
            shader(g, np.flatnonzero(g.ids == face))
    g.reflect()
    across, along = g.x + g.z, g.y + 0.61 * g.z - 0.37 * g.x  # two coordinates that vary on floors and walls alike
    fine = sample(noise_image('grain'), across * 70 + 65536, along * 70 + 65536)
    slow = sample(noise_image('blotch'), across * 16 + 65536, along * 16 + 65536)
    texture = 1 + g.grain * (fine * np.clip(0.03 * g.focal / g.depth, 0.1, 0.8) + 0.6 * slow)
    return _visible(g, canvas, weather, texture), _thermal(g, weather, fine, slow)


def _sun_map(canvas: Canvas, weather: Weather, table: np.ndarray) -> np.ndarray:
    """Share of the sun that reaches each pixel, computed at half the resolution."""
    height, width = canvas.ids.shape
    if not weather.solar:
        return np.ones((height, width), np.float32)
    ray = canvas.camera.rays(slice(0, height))[:, ::2, ::2].reshape(3, -1)
    g = Pixels(canvas, table, canvas.ids[::2, ::2].ravel(), ray)
    blocked = sun_blocked([g.x, g.y, g.z], weather).reshape((height + 1) // 2, -1)
    cast = ground_mask(canvas, shadow_outlines(canvas, weather.sun), max(0.6, width / 900))
    return 1 - np.maximum(cv2.resize(blocked, (width, height)), cast * (canvas.ids == GROUND))


def render(canvas: Canvas, weather: Weather, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Light ``(3, H, W)`` and radiance ``(H, W)`` at the resolution of the canvas, computed in strips of rows."""
    table, (height, width) = canvas.table(), canvas.ids.shape
    open_sky = 1 - ground_mask(canvas, canvas.contacts, max(1.0, width / 350))
    sunlit = _sun_map(canvas, weather, table)
    phase = [float(p) for p in rng.integers(0, ATLAS, 2)]
    light, heat = np.empty((3, height * width), np.float32), np.empty(height * width, np.float32)
    step = max(4, _STRIP // width)
    for top in range(0, height, step):
        rows = slice(top, min(top + step, height))
        ids, ray = canvas.ids[rows].ravel(), canvas.camera.rays(rows).reshape(3, -1)
        shine, warm = (a[..., top * width : rows.stop * width] for a in (light, heat))
        sky, solid = np.flatnonzero(ids == SKY), np.flatnonzero(ids != SKY)
        if len(sky):
            unit = ray[:, sky]
            shine[:, sky], temp = _sky(unit / np.sqrt((unit * unit).sum(0)), weather, phase)
            warm[sky] = _radiance(temp)
        if len(solid):
            some = solid if len(sky) else slice(None)
            g = Pixels(canvas, table, ids[some], ray[:, some])
            g.sunlit, g.open_sky = sunlit[rows].ravel()[some], open_sky[rows].ravel()[some]
            shine[:, some], warm[some] = _shade(g, canvas, weather)
    return light.reshape(3, height, width), heat.reshape(height, width)
