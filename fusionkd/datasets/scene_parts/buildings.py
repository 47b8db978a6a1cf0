"""Houses and blocks: walls with windows, shops, pipes and roofs."""

from dataclasses import dataclass

import numpy as np

from .canvas import UP, Canvas, material, pick
from .furniture import SignShader
from .textures import ATLAS, band, fract, noise_image, sample, stripes
from .weather import Weather

_WALLS = ((0.06, 0.1, 0.24), (0.09, 0.13, 0.2), (0.3, 0.4, 0.46), (0.36, 0.38, 0.39), (0.2, 0.22, 0.23),
          (0.42, 0.5, 0.53), (0.12, 0.22, 0.33), (0.26, 0.29, 0.26), (0.5, 0.53, 0.55), (0.14, 0.14, 0.15))  # fmt: skip
_FRAMES = ((0.55, 0.56, 0.56), (0.05, 0.05, 0.05), (0.1, 0.14, 0.18))
_TILES = ((0.06, 0.09, 0.2), (0.09, 0.09, 0.1), (0.05, 0.06, 0.09))
_SIGNS = ((0.5, 0.5, 0.5), (0.05, 0.05, 0.4), (0.35, 0.1, 0.03), (0.03, 0.03, 0.03), (0.08, 0.4, 0.5))
_GLOWS = np.array([(0.32, 0.66, 1.0), (0.55, 0.85, 1.0), (0.95, 1.0, 0.9), (0.22, 0.5, 1.0)])


class Style:
    """How one building looks: shared by its walls."""

    def __init__(self, rng: np.random.Generator, weather: Weather, house: bool = False):
        self.weather, self.house = weather, house
        self.wall = [float(c) for c in np.array(pick(rng, _WALLS)) * rng.uniform(0.75, 1.15)]
        self.frame, self.pattern = (
            pick(rng, _FRAMES),
            pick(rng, ('brick', 'brick', 'panel', 'plain', 'plain', 'boards')),
        )
        self.floor = rng.uniform(2.8, 3.6)
        self.pitch = rng.uniform(2.6, 4.2) if house else rng.uniform(1.6, 3.6)
        half = rng.uniform(0.17, 0.42)
        self.span, self.rise = (0.5 - half, 0.5 + half), (rng.uniform(0.22, 0.36), rng.uniform(0.74, 0.88))
        self.shop, self.balcony, self.units = ((rng.random() < p) and not house for p in (0.45, 0.25, 0.5))
        self.hash = rng.random((5, 16, 64)).astype(np.float32)
        self.glow = (_GLOWS[rng.integers(len(_GLOWS), size=64)] * rng.uniform(0.25, 1.1, (64, 1))).astype(np.float32)
        self.lit = weather.lit * rng.uniform(0.2, 1.8)
        self.leak = rng.uniform(0.5, 3.0)  # kelvin a heated room adds to its window
        self.store = rng.uniform(0.2, 2.6)  # kelvin the wall is above the air
        self.solar = 0.85 - 0.5 * sum(self.wall) / 3
        self.offset = [float(o) + 4096 for o in rng.integers(0, ATLAS, 2)]


@dataclass
class _Cells:
    """Pixels of a wall: metres along and up, what a pixel covers of each, and the place in the grid of windows."""

    u: np.ndarray
    v: np.ndarray
    fu: np.ndarray
    fv: np.ndarray
    style: Style
    seed: int

    def __post_init__(self):
        pitch, floor = self.style.pitch, self.style.floor
        col, row = np.floor(self.u / pitch), np.floor(self.v / floor)
        self.a, self.b = self.u / pitch - col, self.v / floor - row
        self.fa, self.fb = np.minimum(self.fu / pitch, 1), np.minimum(self.fv / floor, 1)
        self.col, self.row = (col.astype(np.int32) + self.seed) & 63, row.astype(np.int32) & 15

    def draw(self, k: int) -> np.ndarray:
        """A number in [0, 1) that belongs to each window."""
        return self.style.hash[k, self.row, self.col]

    def box(self, a0, a1, b0, b1) -> np.ndarray:
        """1 inside a part of each cell."""
        return band(self.a, a0, a1, self.fa) * band(self.b, b0, b1, self.fb)


class Facade:
    """Shader of a wall: brickwork or panels, windows (some lit), sills, a shop floor, pipes and air conditioners."""

    def __init__(self, rng: np.random.Generator, style: Style, axis: str, span: tuple[float, float], height: float):
        self.style, self.axis, self.start, self.length, self.height = style, axis, span[0], span[1] - span[0], height
        self.pipe = rng.uniform(0.1, 0.9) * self.length if rng.random() < 0.6 else None
        self.door, self.seed = rng.uniform(0.2, 0.8) * self.length, int(rng.integers(0, 64))

    def __call__(self, g, idx: np.ndarray) -> None:
        """Write colour, light, temperature and emissivity of the wall's pixels ``idx``."""
        st, fv = self.style, g.depth[idx] / g.focal
        u = (g.x if self.axis == 'x' else g.z)[idx] - self.start
        at = _Cells(u, g.y[idx], fv / np.maximum(g.facing[idx], 0.08), fv, st, self.seed)
        wall, warm = self._wall(at)
        glass, rim, sill, blind = self._windows(at)
        shine = self._shine(at) * glass * (1 - 0.6 * blind)
        tone = st.glow[(at.col * 7 + at.row * 13) & 63]
        for c in range(3):
            value = wall * st.wall[c]
            value += sill * (0.05 - 0.2 * value) + rim * (st.frame[c] - value)
            g.colour[c, idx] = value + glass * (0.012 + 0.3 * blind - value)
            g.emission[c, idx] = shine * tone[:, c]
        g.gloss[idx] = glass * (0.12 - 0.1 * blind)
        g.grain[idx] *= 1 - glass
        heated = glass * (st.leak * (0.4 + 0.6 * (shine > 0)) - 0.8 * blind)
        g.temp[idx] = st.weather.ambient + (1 - glass) * (st.store + warm) + heated + 0.5 * rim
        g.emissivity[idx] = 0.94 - 0.14 * glass * (1 - blind)
        g.solar[idx] = st.solar * (1 - 0.7 * glass)
        self._add_extras(g, idx, at)

    def _wall(self, at: _Cells) -> tuple[np.ndarray, np.ndarray]:
        """Relative brightness of the wall, and how many kelvin its parts differ."""
        st, v = self.style, at.v
        cloud = sample(noise_image('cloud'), at.u * 12 + st.offset[0], v * 6 + st.offset[1])
        streak = sample(noise_image('blotch'), at.u * 30 + st.offset[1], v * 2 + st.offset[0])
        wall = 1 + 0.06 * cloud + 0.045 * streak - 0.18 * np.exp(-v / 0.5)
        if st.pattern == 'brick':
            along = at.u + 0.24 * fract(0.5 * np.floor(v / 0.08))  # every other course is shifted by half a brick
            tone = sample(noise_image('grain'), along / 0.24 + 512, v / 0.08 + 128)
            mortar = 1 - stripes(v, 0.08, 0.0, 0.86, at.fv) * stripes(along, 0.24, 0.0, 0.94, at.fu)
            wall += np.clip(0.08 / at.fv - 0.4, 0, 1) * (0.13 * tone + 0.45 * mortar) + 0.04 * tone
        elif st.pattern == 'panel':
            wall += 0.12 * (at.draw(4) - 0.5) - 0.4 * (1 - at.box(0.012, 0.988, 0.012, 0.988))
        elif st.pattern == 'boards':
            wall -= 0.3 * stripes(v, 0.2, 0.0, 0.12, at.fv)
        slab = band(at.b, 0.93, 1.0, at.fb)  # floors conduct the heat of the rooms outwards
        if st.balcony:
            wall += 0.25 * slab - 0.4 * band(at.b, 0.85, 0.93, at.fb)
        rim = self.height - 0.38
        wall -= 0.3 * band(v, rim - 0.12, rim, at.fv) + 0.12 * band(v, rim, self.height, at.fv)
        return wall, 0.4 * slab + 0.25 * cloud

    def _windows(self, at: _Cells) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Masks of glass, frame and sill, and how far a blind covers the glass."""
        st = self.style
        (a0, a1), (b0, b1) = st.span, st.rise
        if st.shop:  # wide and tall panes on the ground floor
            low, limits = at.row == 0, ((0.06, a0), (0.94, a1), (0.14, b0), (0.7, b1))
            a0, a1, b0, b1 = (np.where(low, *pair).astype(np.float32) for pair in limits)
        da, db = 0.06 / st.pitch, 0.06 / st.floor
        keep = (at.u > 0.5) & (at.u < self.length - 0.5) & (at.v < self.height - 0.75)
        keep &= at.draw(3) > (0.25 if st.house else 0.04)
        whole = at.box(a0, a1, b0, b1) * keep
        glass = at.box(a0 + da, a1 - da, b0 + db, b1 - db) * keep
        glass *= 1 - 0.9 * band(at.a, 0.5 - da * 0.4, 0.5 + da * 0.4, at.fa)
        sill = at.box(a0 - da, a1 + da, b0 - 2 * db, b0) * keep
        hang = b1 - (b1 - b0) * (0.8 * at.draw(2))
        blind = np.float32(0.9) * ((at.b > hang) & (at.draw(1) < 0.55))
        reveal = 1 - 0.6 * band(at.b, b1 - 2.5 * db, b1, at.fb)
        return glass, whole - glass, sill, blind * reveal

    def _shine(self, at: _Cells) -> np.ndarray:
        """Brightness of the rooms behind the windows; 0 where nobody is in."""
        st, chance = self.style, at.draw(0)
        lit = (chance < st.lit) * (0.5 + 0.5 * at.draw(1))
        if st.shop and st.weather.lamps:
            lit = np.where(at.row == 0, (chance < 0.55) * np.float32(1.0), lit)
        room = 0.75 + 0.2 * sample(noise_image('blotch'), at.u * 40 + 1024, at.v * 40) + 0.5 * (at.b - 0.4)
        return lit * np.clip(room, 0.15, 2)

    def _add_extras(self, g, idx: np.ndarray, at: _Cells) -> None:
        """A door, a drain pipe, and the outdoor units of air conditioners: small, but warm."""
        st, marks = self.style, []
        if not st.shop:
            door = band(at.u, self.door - 0.55, self.door + 0.55, at.fu) * band(at.v, -1.0, 2.15, at.fv)
            marks.append((door, 0.06, 1.2))
        if self.pipe is not None:
            pipe = band(at.u, self.pipe - 0.06, self.pipe + 0.06, at.fu) * (at.v < self.height - 0.3)
            marks.append((pipe, 0.16, 2.5))
        if st.units:
            a, b = at.a * st.pitch, at.b * st.floor
            unit = ((at.col * 5 + at.row * 11) % 17 == 0) & (at.v > st.floor) & (at.v < self.height - 1)
            marks.append((unit * band(a, 0.15, 0.95, at.fu) * band(b, 0.06, 0.56, at.fv), 0.5, 2.0 + st.leak))
            marks.append((unit * ((a - 0.42) ** 2 + (b - 0.31) ** 2 < 0.04), 0.1, 4.0))
        for mask, gray, kelvin in marks:
            where = np.flatnonzero(mask > 0)
            here, share = idx[where], mask[where]
            g.colour[:, here] += share * (gray - g.colour[:, here])
            g.emission[:, here] *= 1 - share
            g.temp[here] += share * kelvin


def draw_building(canvas: Canvas, weather: Weather, lo: np.ndarray, hi: np.ndarray, house: bool = False) -> None:
    """Draw the walls of a box between two world corners that face the camera, and its roof; a house's is pitched."""
    rng, eye, style = canvas.rng, canvas.camera.eye, Style(canvas.rng, weather, house)
    (x0, _, z0), (x1, top, z1) = lo.tolist(), hi.tolist()
    mat = material(style.wall, canvas.air + style.store, 0.94, grain=0.1)
    if house:
        _draw_pitched_roof(canvas, weather, lo, hi, mat)
    elif eye[1] > top:
        flat = material(0.2, canvas.air - 1, grain=0.2)
        canvas.polygon([(x0, top, z0), (x1, top, z0), (x1, top, z1), (x0, top, z1)], flat)
    walls = []
    if not z0 <= eye[2] <= z1:
        z = z0 if eye[2] < z0 else z1
        walls.append(([(x0, 0, z), (x1, 0, z), (x1, top, z), (x0, top, z)], 'x', (x0, x1)))
    if not x0 <= eye[0] <= x1:
        x = x0 if eye[0] < x0 else x1
        walls.append(([(x, 0, z0), (x, 0, z1), (x, top, z1), (x, top, z0)], 'z', (z0, z1)))
    for quad, axis, span in walls:
        canvas.polygon(quad, mat, Facade(rng, style, axis, span, top))
        if style.shop and rng.random() < 0.8:
            _draw_shop_signs(canvas, np.array(quad[:2], float), style)


def _draw_pitched_roof(canvas: Canvas, weather: Weather, lo: np.ndarray, hi: np.ndarray, wall: np.ndarray) -> None:
    """A roof whose ridge runs along x or z, with gables at its ends."""
    rng, over = canvas.rng, 0.4
    mat = material(pick(rng, _TILES), canvas.air + (1.0 if weather.solar else -2.0), 0.92, solar=1.1, grain=0.35)
    along, across = (0, 2) if rng.random() < 0.5 else (2, 0)
    rise, eave = rng.uniform(0.28, 0.5), hi[1]
    ridge = (lo[across] + hi[across]) / 2, eave + rise * (hi[across] - lo[across]) / 2

    def point(run: float, side: float, height: float) -> np.ndarray:
        out = np.empty(3)
        out[[along, across, 1]] = run, side, height
        return out

    runs, low = (lo[along] - over, hi[along] + over), eave - over * rise
    slopes = [[point(runs[0], side, low), point(runs[1], side, low), point(runs[1], *ridge), point(runs[0], *ridge)]
              for side in (lo[across] - over, hi[across] + over)]  # fmt: skip
    gables = [
        [point(run, lo[across], eave), point(run, hi[across], eave), point(run, *ridge)]
        for run in (lo[along], hi[along])
    ]
    slopes.sort(key=lambda quad: -np.linalg.norm(np.mean(quad, 0) - canvas.camera.eye))
    gables.sort(key=lambda tri: -np.linalg.norm(np.mean(tri, 0) - canvas.camera.eye))
    canvas.polygon(slopes[0], mat)
    for gable in gables:
        canvas.polygon(gable, wall)
    canvas.polygon(slopes[1], mat)


def _draw_shop_signs(canvas: Canvas, ends: np.ndarray, style: Style) -> None:
    """Lettered boards above a shop front; at dusk and night some are lit from inside."""
    rng = canvas.rng
    (ax, az), (bx, bz) = (ends - canvas.camera.eye)[:, [0, 2]]
    start, end = ends[::-1] if ax * bz > bx * az else ends  # letters read from left to right
    length = np.linalg.norm(end - start)
    along, up = (end - start) / length, UP * style.floor * 0.22
    at = rng.uniform(0.3, 2.0)
    while at < length - 3:
        width = min(rng.uniform(2.5, 6), length - at - 0.3)
        corner, across = start + along * at + UP * style.floor * 0.73, along * width
        back = np.array(pick(rng, _SIGNS))
        ink = (0.03, 0.03, 0.05) if back.mean() > 0.3 else (0.7, 0.72, 0.72)
        lit = bool(style.weather.lamps and rng.random() < 0.5)
        mat = material(back, canvas.air + (5.0 if lit else 0.5), 0.9, emission=back * 0.9 * lit, grain=0.03)
        shader = SignShader(rng, ink, (corner, across, up), (0.08, 0.18, 0.92, 0.82), glow=0.8 * lit)
        canvas.polygon([corner, corner + across, corner + across + up, corner + up], mat, shader)
        at += width + rng.uniform(0.2, 3)
