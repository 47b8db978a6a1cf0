"""Where the sun does not reach."""

import cv2
import numpy as np

from .canvas import Canvas, clip_near, to_fixed
from .textures import noise_image, sample
from .weather import Weather


def sun_blocked(at: list[np.ndarray], weather: Weather) -> np.ndarray:
    """How much of the sun buildings and crowns take away from points ``[x, y, z]``, 0 to 1."""
    sun = [s if abs(s) > 1e-4 else 1e-4 for s in weather.sun]
    blocked = np.zeros_like(at[0])
    for lo, hi in weather.boxes:
        enter, leave = np.full_like(blocked, 0.03), np.full_like(blocked, 1e9)
        for axis in range(3):
            a, b = (float(lo[axis]) - at[axis]) / sun[axis], (float(hi[axis]) - at[axis]) / sun[axis]
            np.maximum(enter, np.minimum(a, b), out=enter)
            np.minimum(leave, np.maximum(a, b), out=leave)
        np.maximum(blocked, leave > enter + 0.02, out=blocked)
    if weather.crowns:
        u, v = at[0] - at[1] * (sun[0] / sun[1]), at[2] - at[1] * (sun[2] / sun[1])
        holes = 0.4 * sample(noise_image('leaf'), u * 16 + 4096, v * 16 + 4096)
    for *centre, radius in weather.crowns:
        to = [float(c) - p for c, p in zip(centre, at, strict=True)]
        along = to[0] * sun[0] + to[1] * sun[1] + to[2] * sun[2]
        off = to[0] ** 2 + to[1] ** 2 + to[2] ** 2 - along**2
        shade = np.clip((1.05 + holes - off / radius**2) * 1.6, 0, 0.88) * (along > radius * 0.6)
        np.maximum(blocked, shade, out=blocked)
    return blocked


def ground_mask(canvas: Canvas, outlines: list[tuple[np.ndarray, float]], blur: float) -> np.ndarray:
    """Convex outlines on the ground as a soft mask, drawn at half the resolution of the canvas."""
    height, width = canvas.ids.shape
    mask = np.zeros(((height + 1) // 2, (width + 1) // 2), np.float32)
    for points, value in outlines:
        local = clip_near(canvas.camera.to_camera(points))
        if len(local) > 2:
            hull = cv2.convexHull((canvas.camera.to_pixels(local) / 2).astype(np.float32)).reshape(-1, 2)
            cv2.fillConvexPoly(mask, to_fixed(hull), value, cv2.LINE_AA, 4)
    return cv2.resize(cv2.GaussianBlur(mask, (0, 0), blur), (width, height))


def shadow_outlines(canvas: Canvas, sun: tuple[float, float, float]) -> list[tuple[np.ndarray, float]]:
    """Outlines on the ground of the shadows that rods and bodies cast."""
    slide = np.array([sun[0] / sun[1], 1.0, sun[2] / sun[1]])
    across = np.array([-slide[2], 0.0, slide[0]]) / (np.hypot(slide[0], slide[2]) + 1e-9)
    flat = []
    for caster in canvas.casters:
        ground = caster[..., :3] - caster[..., 1:2] * slide
        if caster.ndim == 2:
            flat.append(ground)
        else:  # rods: (rods, ends, x y z radius)
            wide = across * caster[..., 3:4]
            flat += list(np.concatenate([ground + wide, ground[:, ::-1] - wide[:, ::-1]], 1))
    return [(outline, 1.0) for outline in flat]
