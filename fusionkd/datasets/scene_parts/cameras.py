"""The visible and the thermal camera: from light and radiance to 8 bits."""

import cv2
import numpy as np

from .weather import Weather

LUMA = np.array([0.0722, 0.7152, 0.2126], np.float32)  # linear B, G, R
KELVIN = 4.6 / 293.15  # what one kelvin adds to a radiance of 1


def _vignette(shape: tuple[int, int], strength: float) -> np.ndarray:
    y, x = np.linspace(-1, 1, shape[0], dtype=np.float32)[:, None], np.linspace(-1, 1, shape[1], dtype=np.float32)
    return 1 - strength * (x * x + y * y) / 2


def _expose(light: np.ndarray, weather: Weather, rng: np.random.Generator) -> np.ndarray:
    """Scale light so that its darker two thirds meet a target; night stays night."""
    luma = np.sort((light[::2, ::2] @ LUMA).ravel())
    metered = luma[: int(0.7 * len(luma))].mean() + 1e-5
    target = {'day': 0.2, 'overcast': 0.2, 'shadow': 0.115, 'dusk': 0.085}.get(weather.kind, 0.02) * rng.uniform(
        0.75, 1.4
    )
    return light * float(np.clip(target / metered, 0.25, 5.0 if weather.dark else 12.0))


def visible_camera(light: np.ndarray, weather: Weather, rng: np.random.Generator) -> np.ndarray:
    """Exposure, lens, sensor noise, white balance and tone curve.

    Args:
        light: ``(H, W, 3)`` linear BGR light.
        weather: conditions of the scene.
        rng: draws the camera's settings and its noise.

    Returns:
        ``(H, W, 3)`` uint8 BGR.
    """
    height, width = light.shape[:2]
    unit = width / 320
    light = np.minimum(_expose(light, weather, rng) * _vignette((height, width), rng.uniform(0.1, 0.4))[..., None], 60)
    if weather.lamps:  # bloom: light scattered in the lens and the air
        half = max(width // 2, 8), max(height // 2, 8)
        small = cv2.resize(np.maximum(light - 1.0, 0), half, interpolation=cv2.INTER_AREA)
        bloom = sum(w * cv2.GaussianBlur(small, (0, 0), s * unit) for w, s in ((0.09, 1.2), (0.05, 4.5), (0.03, 14)))
        light = light + cv2.resize(bloom, (width, height))
    light = cv2.GaussianBlur(light, (0, 0), rng.uniform(0.35, 0.55) * max(1, unit**0.5))
    dim = {'dusk': 0.3}.get(weather.kind, 1.0 if weather.dark else 0.1)
    shot, read = rng.uniform(0.8e-3, 3e-3) * dim, rng.uniform(0.0008, 0.003) * dim
    noise = rng.standard_normal(light.shape, dtype=np.float32)
    if weather.dark:  # demosaicing spreads strong noise over neighbours
        noise = 0.4 * noise + 0.9 * cv2.GaussianBlur(noise, (0, 0), 0.8)
    light = light + noise * np.sqrt(np.maximum(light, 0) * shot + read**2)
    tint = 1 + rng.normal(0, 0.03, 3) + ((0.0, 0.1, 0.0) if weather.dark and rng.random() < 0.4 else (0, 0, 0))
    gray = (light @ LUMA)[..., None]
    light = np.maximum((gray + (light - gray) * rng.uniform(0.95, 1.25)) * tint.astype(np.float32), 0)
    toned = np.clip(light * (1 + light / 6) / (1 + light), 0, 1) ** (1 / 2.2)
    contrast = rng.uniform(0.15, 0.6) * (not weather.dark)
    toned += contrast * toned * (1 - toned) * (2 * toned - 0.85)  # the S of a camera's tone curve
    return np.rint(255 * np.clip(toned * 1.04, 0, 1)).astype(np.uint8)


def thermal_camera(heat: np.ndarray, sky: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Soft optics, noise of a microbolometer and automatic gain.

    Args:
        heat: ``(H, W)`` radiance, 1 at 20 degrees Celsius.
        sky: ``(H, W)`` bool, pixels the exposure meter leaves out.
        rng: draws the camera's settings and its noise.

    Returns:
        ``(H, W)`` uint8, bright is hot.
    """
    height, width = heat.shape
    unit = width / 320
    heat = cv2.GaussianBlur(heat, (0, 0), rng.uniform(0.5, 0.85) * max(1, unit**0.7))
    noise = rng.uniform(0.03, 0.09) * rng.standard_normal(heat.shape, dtype=np.float32)
    noise += rng.uniform(0.01, 0.03) * rng.standard_normal((1, width), dtype=np.float32)
    noise += rng.uniform(0.005, 0.02) * rng.standard_normal((height, 1), dtype=np.float32)
    drift = cv2.resize(rng.standard_normal((4, 5), dtype=np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    heat = heat + KELVIN * (noise + 0.12 * drift)
    meter = np.sort((heat[~sky] if (~sky).mean() > 0.1 else heat).ravel())
    shares = rng.uniform(0.002, 0.02), 0.5, rng.uniform(0.996, 0.9995)
    low, middle, high = (float(meter[int(share * (len(meter) - 1))]) for share in shares)
    low -= rng.exponential(1.5) * KELVIN
    span = max(high - low, 9 * KELVIN, (middle - low) / rng.uniform(0.16, 0.55))  # leaves room for what is hotter
    level = (heat - low) / span
    if rng.random() < 0.5:  # plateau equalisation: grey levels follow the histogram part of the way
        known, level = np.sort(heat.ravel()[::8]), np.maximum(level, 0)
        rank = np.searchsorted(known, heat).astype(np.float32) / len(known)
        level += rng.uniform(0.15, 0.5) * (0.75 * rank - level) * np.clip(5 - 5 * level, 0, 1)
    if rng.random() < 0.6:  # digital detail enhancement: halos around hot things
        level = level + rng.uniform(0.2, 0.8) * (level - cv2.GaussianBlur(level, (0, 0), 2.5 * unit))
    level = np.clip(0.03 + 0.95 * level, 0, 1) ** rng.uniform(0.75, 1.2)
    return np.rint(255 * level).astype(np.uint8)
