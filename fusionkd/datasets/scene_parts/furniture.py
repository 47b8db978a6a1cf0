"""Boxes, lamps, signs, signals and railings."""

from collections.abc import Sequence

import numpy as np

from .canvas import COLOUR, UP, Canvas, disc, material, pick
from .textures import WORDS, text_image

_RED, _BLUE, _GREEN, _WHITE, _BLACK = (0.03, 0.03, 0.45), (0.42, 0.12, 0.02), (0.1, 0.25, 0.05), (0.7,) * 3, (0.02,) * 3
_SIGNALS = np.array([(0.05, 0.05, 1.0), (0.05, 0.6, 1.0), (0.75, 1.0, 0.15)])
_BOX_FACES = [[0, 1, 3, 2], [4, 5, 7, 6], [0, 1, 5, 4], [2, 3, 7, 6], [0, 2, 6, 4], [1, 3, 7, 5]]
_BOX_LABELS = {0: (1, 0, 3), 1: (4, 5, 6), 4: (0, 4, 2)}  # corner, then the corners along the width and the height


class SignShader:
    """Lettering on a rectangle: visible only, since paint hardly changes the temperature.

    Args:
        rng: draws the word.
        ink: linear BGR of the strokes.
        frame: corner, width vector and height vector of the rectangle in world metres.
        box: part of the rectangle the word fills, ``(u0, v0, u1, v1)`` with v upwards.
        glow: light the strokes send out.
    """

    def __init__(self, rng: np.random.Generator, ink, frame, box=(0.12, 0.45, 0.88, 0.75), glow: float = 0.0):
        self.row, self.ink, self.glow = int(rng.integers(len(WORDS))), [float(c) for c in ink], glow
        corner, across, up = frame
        self.corner = corner.tolist()
        self.across, self.up = (across / (across @ across)).tolist(), (up / (up @ up)).tolist()
        self.box = box

    def __call__(self, g, idx: np.ndarray) -> None:
        """Write the strokes among the pixels ``idx``."""
        rel = [p[idx] - c for p, c in zip((g.x, g.y, g.z), self.corner, strict=True)]
        u, v = (sum(r * a for r, a in zip(rel, axis, strict=True)) for axis in (self.across, self.up))
        u0, v0, u1, v1 = self.box
        col, row = ((u - u0) / (u1 - u0) * 256).astype(np.int32), ((v1 - v) / (v1 - v0) * 32).astype(np.int32)
        inside = (col >= 0) & (col < 256) & (row >= 0) & (row < 32)
        idx = idx[inside]
        ink = text_image()[row[inside] + 32 * self.row, col[inside]]
        for c in range(3):
            g.colour[c, idx] += ink * (self.ink[c] - g.colour[c, idx])
            g.emission[c, idx] += ink * (self.glow * self.ink[c])


def draw_box(
    canvas: Canvas, lo, hi, mat: np.ndarray, *, frame=None, origin=(0.0, 0.0, 0.0), label: bool = False
) -> dict[int, int]:
    """Draw a box.

    Args:
        canvas: where to draw.
        lo: lower corner in its own axes.
        hi: upper corner.
        mat: its material.
        frame: rows of its axes in the world; None for the world's own.
        origin: where its axes begin.
        label: whether its sides are lettered.

    Returns:
        The visible faces, by their number on the box.
    """
    frame = np.eye(3) if frame is None else frame
    corners = np.array([(x, y, z) for x in (lo[0], hi[0]) for y in (lo[1], hi[1]) for z in (lo[2], hi[2])])
    corners = corners @ frame + origin
    bends = np.tile([*frame[1], 50.0], (6, 1))
    drawn = canvas.mesh(corners, _BOX_FACES, np.tile(mat, (6, 1)), bends, np.zeros(6))
    canvas.casters.append(corners)
    for face, (a, b, c) in _BOX_LABELS.items():
        if label and face in drawn:
            ink = (0.5, 0.15, 0.05) if mat[COLOUR].mean() > 0.3 else _WHITE
            frame = corners[a], corners[b] - corners[a], corners[c] - corners[a]
            canvas.shaders[drawn[face]] = SignShader(canvas.rng, ink, frame)
    return drawn


def draw_lamp(canvas: Canvas, x: float, z: float, arm: float, *, height: float, rgb: Sequence[float] | None) -> None:
    """Draw a street lamp, its arm reaching ``arm`` metres to the right; with a colour it burns and its head is warm."""
    on = rgb is not None
    steel = material(0.12, canvas.air - 0.5, canvas.rng.uniform(0.65, 0.92), gloss=0.04)
    foot, top, head = np.array([x, 0, z]), np.array([x, height - 0.25, z]), np.array([x + arm, height, z])
    canvas.rods([foot, top], [top, head], [0.085, 0.05], [0.06, 0.045], steel)
    shell = material(0.15, canvas.air + (9.0 if on else -1.0), 0.85)
    light = material(0.5, canvas.air + (22.0 if on else -1.0), 0.9, emission=60 * np.array(rgb) if on else 0.0)
    side = np.array([np.sign(arm) * 0.3, 0, 0])
    start, end = [head - side * 0.6, head - side * 0.4 - UP * 0.07], [head + side, head + side * 0.8 - UP * 0.06]
    canvas.rods(start, end, [0.1, 0.07], [0.1, 0.07], np.array([shell, light]), nearer=np.array([0, 1]), shadow=False)
    canvas.contacts.append((disc(x, z, 0.2), 0.5))
    if on:
        canvas.lights.append({'at': head - UP * 0.15, 'aim': -UP, 'focus': 1, 'rgb': tuple(rgb), 'power': 6.5})


def draw_sign(canvas: Canvas, x: float, z: float, shape: str) -> None:
    """Draw a sign on a post: disc, triangle, arrow or lettered board; its colours only the visible camera sees."""
    rng, air, height = canvas.rng, canvas.air - 0.8, canvas.rng.uniform(2.1, 2.6)
    canvas.rods((x, 0, z), (x, height + 0.3, z), 0.035, 0.035, material(0.3, air, 0.5, gloss=0.05))
    centre = np.array([x, height, z])
    if shape == 'board':
        across, up = np.array([rng.uniform(0.5, 1.1), 0, 0]), UP * rng.uniform(0.35, 0.6)
        corner = centre - across / 2 - up / 2 - (0, 0, 0.05)
        back = pick(rng, (_BLUE, _GREEN, _WHITE))
        ink = _BLACK if back == _WHITE else _WHITE
        shader = SignShader(rng, ink, (corner, across, up), (0.08, 0.2, 0.92, 0.8))
        quad = [corner, corner + across, corner + across + up, corner + up]
        canvas.polygon(quad, material(back, air, 0.8, retro=4.0, grain=0.02), shader)
        return
    corners, turn, size = (3, np.pi / 2 * rng.choice((-1, 1)), 0.45) if shape == 'triangle' else (18, 0.0, 0.33)
    rim, inner = (_BLUE, _BLUE) if shape == 'arrow' else (_RED, pick(rng, (_WHITE, _WHITE, _RED)))
    angle = np.linspace(0, 2 * np.pi, corners, endpoint=False) + turn
    ring = np.stack([np.cos(angle), np.sin(angle), np.zeros(corners)], 1)
    for radius, colour, ahead in ((size, rim, 0.05), (size * 0.74, inner, 0.06)):
        mat = material(colour, air, 0.8, gloss=0.03, retro=5.0, grain=0.02)
        canvas.polygon(centre + radius * ring - (0, 0, ahead), mat)
    half = np.array(pick(rng, ((0.22, 0.05, 0), (0.06, 0.2, 0))))
    quad = centre - (0, 0, 0.07) + half * np.array([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]])
    light = inner != _WHITE
    canvas.polygon(quad, material(_WHITE if light else _BLACK, air, 0.8, retro=4.0 * light))


def draw_traffic_light(canvas: Canvas, x: float, z: float, arm: float) -> None:
    """Draw a signal: a pole with an arm, two heads, and one burning lamp in each."""
    steel, case = material(0.2, canvas.air - 0.5, 0.7), material(0.012, canvas.air + 1.5)
    canvas.rods([(x, 0, z), (x, 5.4, z)], [(x, 5.4, z), (x + arm, 5.5, z)], 0.09, 0.07, steel)
    state = canvas.rng.integers(3)
    for cx, cy in ((x, 2.9), (x + arm, 5.2)):
        draw_box(canvas, (cx - 0.17, cy - 0.5, z - 0.3), (cx + 0.17, cy + 0.5, z - 0.1), case)
        for k, colour in enumerate(_SIGNALS):
            on = k == state
            lamp = material(colour * 0.06 + 0.01, canvas.air + (6.0 if on else 1.0), emission=colour * 14.0 * on)
            at = (cx, cy + 0.3 - 0.3 * k, z - 0.32)
            canvas.rods(at, at, 0.11, 0.11, lamp, shadow=False)


def draw_fence(canvas: Canvas, x: float, z: float, length: float) -> None:
    """Draw a railing along z, ``z`` in its middle: posts and rails of cold metal."""
    steel = material(0.25, canvas.air - 0.7, 0.75, gloss=0.03)
    count = max(2, int(length / 1.6) + 1)
    posts = np.stack([np.full(count, x), np.zeros(count), np.linspace(z - length / 2, z + length / 2, count)], 1)
    start, end = ([part + UP * k for k in (0.35, 0.7, 1.0)] for part in (posts[:-1], posts[1:]))
    thick = np.r_[np.full(3 * (count - 1), 0.018), np.full(count, 0.03)]
    canvas.rods(np.concatenate([*start, posts]), np.concatenate([*end, posts + UP]), thick, thick, steel)


def draw_cabinet(canvas: Canvas, x: float, z: float) -> None:
    """Draw a cabinet or bin; the electronics in some keep them warm."""
    rng = canvas.rng
    wide, tall, deep = rng.uniform((0.18, 0.8, 0.15), (0.36, 1.35, 0.25))
    colour = pick(rng, ((0.1, 0.2, 0.06), (0.3, 0.32, 0.32), (0.2, 0.08, 0.04), (0.06, 0.06, 0.07)))
    mat = material(colour, canvas.air + rng.uniform(0.3, 3.5), 0.92)
    draw_box(canvas, (x - wide, 0, z - deep), (x + wide, tall, z + deep), mat)
    canvas.contacts.append((disc(x, z, wide), 0.6))


def draw_pole(canvas: Canvas, x: float, z: float, height: float) -> None:
    """Draw a timber pole with a cross arm for wires."""
    wood = material((0.05, 0.075, 0.1), canvas.air + 1.0, grain=0.3)
    low, top = height - 0.5, (x, height, z)
    canvas.rods([(x, 0, z), (x - 0.9, low, z)], [top, (x + 0.9, low, z)], (0.13, 0.06), (0.1, 0.06), wood)
    canvas.contacts.append((disc(x, z, 0.25), 0.5))
