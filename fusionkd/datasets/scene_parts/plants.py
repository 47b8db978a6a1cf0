"""Trees, shrubs and hedges."""

import functools

import numpy as np

from .canvas import COLOUR, Canvas, disc, material, pick
from .furniture import draw_box
from .textures import noise_image, sample

_LEAVES = ((0.022, 0.085, 0.04), (0.02, 0.07, 0.045), (0.03, 0.1, 0.07), (0.035, 0.12, 0.13), (0.02, 0.055, 0.03))
_CLUMPS = {'broad': 34, 'tall': 30, 'conifer': 40, 'bush': 14}
_VARIANTS = 6


@functools.cache
def crown_field(species: str, variant: int) -> np.ndarray:
    """Density and shade ``(64, 64, 2)`` of a crown made of overlapping clumps, each lit from above."""
    rng = np.random.default_rng([517, variant, *species.encode()])
    y, x = np.mgrid[-1:1:64j, -1:1:64j]
    count = _CLUMPS[species]
    cy = np.sort(rng.uniform(-0.85, 0.85, count))
    spread = {
        'broad': 0.8 * np.sqrt(1 - (cy * 0.95) ** 2),
        'tall': 0.72 * np.sqrt(1 - (cy * 0.95) ** 2),
        'conifer': 0.42 * (cy + 0.9),
        'bush': 0.75 * np.sqrt(1 - (cy * 0.6) ** 2),
    }[species]
    cx, size = rng.uniform(-1, 1, count) * spread, rng.uniform(0.16, 0.34, count) * (0.7 if species == 'conifer' else 1)
    if species == 'bush':
        cy, size = cy * 0.6 + 0.3, size * 1.4
    inside = 1 - ((x[..., None] - cx) ** 2 + (y[..., None] - cy) ** 2) / size**2
    best = inside.argmax(-1)
    rise = np.clip((cy[best] - y) / size[best], -1, 1)
    shade = 0.42 + 0.26 * rise - 0.2 * y + rng.uniform(-0.12, 0.12, count)[best]
    return np.stack([np.maximum(inside.max(-1), -0.6), np.clip(shade, 0.04, 0.98)], -1).astype(np.float32)


def _crown(rng: np.random.Generator, species: str) -> np.ndarray:
    return crown_field(species, int(rng.integers(_VARIANTS)))


def foliage(rng: np.random.Generator, air: float, levels: int = 7) -> np.ndarray:
    """Materials ``(levels, 12)`` of a crown from its deep shade to its lit leaves."""
    colour = np.array(pick(rng, _LEAVES)) * rng.uniform(0.75, 1.25)
    ramp, warm = np.linspace(0, 1, levels), rng.uniform(-0.3, 0.3)
    rows = np.stack([material(colour * (0.25 + 1.45 * r), air + warm + 0.6 * r, 0.97, solar=0.25) for r in ramp])
    rows[:, COLOUR] *= np.stack([1 - 0.12 * ramp, np.ones(levels), 1 + 0.15 * ramp], 1)
    return rows


def draw_tree(canvas: Canvas, x: float, z: float, height: float, *, species: str, leaves: np.ndarray) -> tuple | None:
    """Draw a tree: broad, tall, conifer or bare.

    Returns:
        Its crown as a sphere ``(x, y, z, radius)`` for shadows, or None for a bare one.
    """
    rng = canvas.rng
    bark = material(
        np.array([0.045, 0.06, 0.08]) * rng.uniform(0.6, 1.3), canvas.air + rng.uniform(0.5, 1.8), grain=0.35
    )
    girth = height * rng.uniform(0.016, 0.026)
    canvas.contacts.append((disc(x, z, girth * 2.2), 0.6))
    base = np.array([x, -0.05, z])
    if species == 'bare':
        _draw_branches(canvas, base, height, girth, bark)
        return None
    fork = height * {'broad': 0.38, 'tall': 0.3, 'conifer': 0.12}[species]
    half = height * (rng.uniform(0.3, 0.4) if species == 'broad' else 0.2)
    crotch, top = np.array([x, fork, z]), np.array([x + rng.normal(0, 0.02) * height, height * 0.8, z])
    rods = [(base, crotch, girth * 1.25, girth), (crotch, top, girth, girth * 0.3)]
    for _ in range(0 if species == 'conifer' else 4):
        tip = crotch + np.array([rng.uniform(-0.75, 0.75) * half, height * rng.uniform(0.15, 0.35), 0])
        rods.append((crotch * (1, rng.uniform(0.9, 1.0), 1), tip, girth * 0.55, girth * 0.2))
    canvas.rods(*(np.array(column) for column in zip(*rods, strict=True)), bark)
    low = fork * 0.8
    centre = np.array([x, (low + height) / 2, z])
    canvas.stamp(centre, (half, (height - low) / 2), _crown(rng, species), leaves, 0.1)
    return (*centre, (half + (height - low) / 2) / 2)


def _draw_branches(canvas: Canvas, base: np.ndarray, height: float, girth: float, bark: np.ndarray) -> None:
    """A leafless tree: five or six generations of forks, drawn as one set of rods."""
    rng = canvas.rng
    tips, rods = [(base, np.array([0.0, 1.0, 0.0]), height * 0.36, girth)], []
    for level in range(6 if base[2] < 30 else 5):
        grown = []
        for at, aim, length, thick in tips:
            end = at + aim * length
            rods.append((at, end, thick, thick * 0.7))
            for _ in range(3 if level in (0, 3) else 2):
                turn = aim + rng.normal(0, 0.5, 3) * (1, 0.6, 0.5)
                turn[1] += 0.08
                grown.append((end, turn / np.linalg.norm(turn), length * rng.uniform(0.6, 0.8), thick * 0.62))
        tips = grown
    canvas.rods(*(np.array(column) for column in zip(*rods, strict=True)), bark)


def draw_bush(canvas: Canvas, x: float, z: float, width: float, height: float, *, leaves: np.ndarray) -> None:
    """Draw a shrub."""
    canvas.stamp((x, height * 0.46, z), (width / 2, height * 0.58), _crown(canvas.rng, 'bush'), leaves, 0.05)
    canvas.contacts.append((disc(x, z, width * 0.5), 0.7))


class _Hedge:
    """Shader of clipped foliage: leaves at two sizes, darker inside and below."""

    def __init__(self, leaves: np.ndarray, height: float):
        self.dark, self.light, self.height = leaves[0, COLOUR].tolist(), leaves[-1, COLOUR].tolist(), height

    def __call__(self, g, idx: np.ndarray) -> None:
        x, y, z = g.x[idx] + 512, g.y[idx], g.z[idx]
        leaf = sample(noise_image('leaf'), (x + z) * 30, y * 30 + x * 18 + 64)
        clump = sample(noise_image('blotch'), (x + z) * 14, y * 14 + x * 9 + 64)
        top = g.normal[1][idx] > 0.5
        level = np.clip(0.12 + 0.35 * y / self.height + 0.17 * leaf + 0.12 * clump + 0.25 * top, 0, 1)
        for c in range(3):
            g.colour[c, idx] = self.dark[c] + (self.light[c] - self.dark[c]) * level
        g.temp[idx] += 0.3 * clump + 0.3 * level


def draw_hedge(canvas: Canvas, x: float, z: float, length: float, height: float, *, leaves: np.ndarray) -> None:
    """Draw a stretch of clipped hedge along z: a box of leaves with a ragged rim."""
    rng = canvas.rng
    height *= rng.uniform(0.97, 1.03)
    z0, z1, shader = z - length / 2, z + length / 2, _Hedge(leaves, height)
    for face in draw_box(canvas, (x - 0.45, 0.0, z0), (x + 0.45, height, z1), leaves[3]).values():
        canvas.shaders[face] = shader
    for at in np.linspace(z1, z0, 7) if z < 30 else ():
        rim = x + rng.choice((-0.35, 0.0, 0.35))
        canvas.stamp((rim, height - 0.05, at), (0.4, 0.14), _crown(rng, 'bush'), leaves[2:], 0.05)
    corners = [(x - 0.45, 0, z0), (x + 0.45, 0, z0), (x + 0.45, 0, z1), (x - 0.45, 0, z1)]
    canvas.contacts.append((np.array(corners), 0.6))
