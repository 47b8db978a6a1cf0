"""Cars, vans, trucks and buses: meshes made from an outline, hot where the engine runs."""

import functools
from collections.abc import Sequence

import numpy as np

from .canvas import TEMP, UP, Canvas, heading_frame, material, pick
from .furniture import draw_box

# Length, width, height, then the outline from the rear bumper over the roof to the front bumper: position along the
# car (-0.5 rear to 0.5), height and half width as fractions. The ten points have the same role in every type.
# fmt: off
VEHICLES = {
    'sedan': (4.6, 1.8, 1.45, (
        (-0.485, 0.17, 0.88), (-0.5, 0.4, 0.9), (-0.475, 0.66, 0.9), (-0.36, 0.7, 0.88), (-0.19, 0.97, 0.66),
        (0.06, 1.0, 0.68), (0.22, 0.69, 0.88), (0.44, 0.58, 0.9), (0.495, 0.42, 0.86), (0.485, 0.17, 0.86),
    )),
    'hatch': (4.0, 1.75, 1.52, (
        (-0.48, 0.18, 0.88), (-0.5, 0.4, 0.92), (-0.485, 0.6, 0.92), (-0.475, 0.64, 0.9), (-0.38, 0.97, 0.7),
        (0.08, 1.0, 0.7), (0.27, 0.66, 0.88), (0.44, 0.57, 0.9), (0.495, 0.4, 0.86), (0.485, 0.17, 0.86),
    )),
    'suv': (4.7, 1.9, 1.75, (
        (-0.48, 0.22, 0.9), (-0.5, 0.42, 0.94), (-0.49, 0.6, 0.94), (-0.485, 0.63, 0.92), (-0.42, 0.97, 0.74),
        (0.08, 1.0, 0.74), (0.22, 0.66, 0.9), (0.44, 0.59, 0.92), (0.495, 0.42, 0.88), (0.485, 0.2, 0.88),
    )),
    'van': (4.9, 1.9, 2.0, (
        (-0.49, 0.16, 0.92), (-0.5, 0.3, 0.95), (-0.498, 0.52, 0.95), (-0.495, 0.55, 0.94), (-0.47, 0.98, 0.86),
        (0.22, 1.0, 0.84), (0.38, 0.6, 0.92), (0.46, 0.48, 0.92), (0.495, 0.34, 0.9), (0.485, 0.15, 0.9),
    )),
    'pickup': (5.2, 1.9, 1.8, (
        (-0.49, 0.26, 0.9), (-0.5, 0.4, 0.94), (-0.495, 0.58, 0.94), (-0.13, 0.6, 0.92), (-0.09, 0.97, 0.74),
        (0.1, 1.0, 0.74), (0.21, 0.64, 0.9), (0.44, 0.6, 0.92), (0.495, 0.44, 0.88), (0.485, 0.22, 0.88),
    )),
    'truck': (2.2, 2.1, 2.3, (
        (-0.5, 0.2, 0.9), (-0.5, 0.3, 0.95), (-0.5, 0.5, 0.95), (-0.5, 0.52, 0.94), (-0.48, 0.98, 0.9),
        (0.3, 1.0, 0.88), (0.42, 0.55, 0.94), (0.47, 0.45, 0.94), (0.5, 0.3, 0.92), (0.49, 0.14, 0.92),
    )),
    'bus': (10.5, 2.5, 3.05, (
        (-0.498, 0.11, 0.95), (-0.5, 0.25, 0.97), (-0.5, 0.42, 0.97), (-0.5, 0.45, 0.97), (-0.495, 0.97, 0.95),
        (0.48, 1.0, 0.95), (0.497, 0.38, 0.97), (0.5, 0.34, 0.97), (0.5, 0.25, 0.96), (0.498, 0.1, 0.95),
    )),
}
_STRIPS = ('skirt', 'rear', 'deck', 'glass', 'roof', 'glass', 'hood', 'nose', 'skirt')
_PAINTS = (
    (0.68, 0.7, 0.7), (0.62, 0.63, 0.63), (0.32, 0.32, 0.31), (0.13, 0.13, 0.13), (0.02, 0.02, 0.022),
    (0.012, 0.012, 0.014), (0.03, 0.03, 0.3), (0.28, 0.09, 0.03), (0.12, 0.045, 0.02), (0.1, 0.16, 0.2),
    (0.09, 0.14, 0.06), (0.45, 0.55, 0.62),
)
# What lies on the strips of the outline: strip, range across, range along, role.
_PATCHES = (
    (1, -0.24, 0.24, 0.25, 0.62, 'plate'), (0, -0.9, 0.9, 0.0, 0.35, 'arch'), (0, 0.5, 0.66, 0.1, 0.5, 'pipe'),
    (7, -0.48, 0.48, 0.3, 1.0, 'grille'), (8, -0.5, 0.5, 0.35, 0.8, 'grille'), (8, -0.24, 0.24, 0.05, 0.35, 'plate'),
    (3, -0.85, 0.85, 0.1, 0.9, 'glass'), (5, -0.88, 0.88, 0.08, 0.94, 'glass'),
    (1, -0.98, -0.6, 0.35, 0.92, 'tail'), (1, 0.6, 0.98, 0.35, 0.92, 'tail'),
    (7, -0.97, -0.55, 0.1, 0.75, 'head'), (7, 0.55, 0.97, 0.1, 0.75, 'head'),
    (8, -0.85, -0.62, 0.3, 0.5, 'arch'), (8, 0.62, 0.85, 0.3, 0.5, 'arch'),
)
_RINGS = ((1.2, 'arch', 0.35), (1.0, 'tyre', 0.0), (0.62, 'hub', 0.0), (0.2, 'arch', 0.0))  # size, role, cut
# fmt: on


class _Body:
    """The mesh of one vehicle type in its own axes: right, up, forward."""

    def __init__(self, kind: str):
        self.kind = kind
        self.length, self.width, self.height, outline = VEHICLES[kind]
        self.line = np.array(outline) * (self.length, self.height, self.width / 2)
        self.faces: list[list[int]] = []
        self.roles: list[str] = []
        self._points: list[Sequence] = []
        self._layers: list[int] = []
        self._bends: list[Sequence] = []
        for a, b, role in zip(self.line[:-1], self.line[1:], _STRIPS, strict=True):
            quad = [(s * w, y, x) for (x, y, w), s in ((a, 1), (a, -1), (b, -1), (b, 1))]
            self._add(quad, role, 0, (1, 0, 0, self.width * 0.9))
        for side in (-1, 1):
            low, cabin = self.line[[0, 1, 2, 3, 6, 7, 8, 9]], self.line[[3, 4, 5, 6]]
            self._add([(side * w, y, x) for x, y, w in low], 'side', 0, (0, 1, 0, self.height * 0.55))
            self._add([(side * w, y, x) for x, y, w in cabin], 'pillar', 0, (0, 1, 0, 2.0))
            self._add_windows(side)
            self._add_seams(side)
            self._add_wheels(side)
        self._add_patches()
        self.points, self.layers, self.bends = (np.array(v) for v in (self._points, self._layers, self._bends))

    def _add(self, points: Sequence, role: str, layer: int, bend: Sequence = (1, 0, 0, 50.0)) -> None:
        self.faces.append(list(range(len(self._points), len(self._points) + len(points))))
        self._points += points
        self.roles.append(role)
        self._layers.append(layer)
        self._bends.append(bend)

    def _add_windows(self, side: int) -> None:
        (x0, y0, w0), (x1, y1, w1), (x2, _, w2), (x3, y3, w3) = self.line[[3, 4, 5, 6]]
        count = {'bus': 7, 'sedan': 2, 'hatch': 2, 'suv': 3}.get(self.kind, 1)
        if self.kind == 'van':  # only the cab has side windows
            x0 = x1 = x1 + 0.62 * (x2 - x1)
        for k in range(count):
            a, b = (k + 0.07) / count, (k + 0.93) / count
            quad = []
            for t, level in ((a, 0.08), (b, 0.08), (b, 0.88), (a, 0.88)):
                bottom, top = x0 + t * (x3 - x0), x1 + t * (x2 - x1)
                width = (w0 + t * (w3 - w0)) * (1 - level) + (w1 + t * (w2 - w1)) * level
                base = y0 + t * (y3 - y0)
                quad.append((side * width, base + level * (y1 - base), bottom + level * (top - bottom)))
            self._add(quad, 'glass', 1)

    def _add_seams(self, side: int) -> None:
        """Door gaps, a sill and a waist line: what keeps a flank from looking flat."""
        line, wide = self.line, side * self.width * 0.45
        low, high, rear, front = self.height * 0.2, line[3, 1], line[2, 0] * 0.97, line[6, 0]
        boxes = [
            (low, high, at, at + 0.015)
            for at in (line[3, 0] * 0.75, 0.58 * line[5, 0] + 0.42 * line[4, 0], front * 0.95)
        ]
        boxes += [(line[0, 1], line[0, 1] + 0.09, rear, front), (high - 0.05, high - 0.03, rear, front)]
        for y0, y1, z0, z1 in boxes:
            self._add([(wide, y0, z0), (wide, y0, z1), (wide, y1, z1), (wide, y1, z0)], 'seam', 1)

    def _add_wheels(self, side: int) -> None:
        radius = 0.46 if self.kind in ('bus', 'truck') else 0.3 if self.height < 1.6 else 0.35
        turn = np.linspace(0, 2 * np.pi, 16, endpoint=False)
        outer, inner = side * self.width * 0.455, side * self.width * 0.33
        for x in (0.1,) if self.kind == 'truck' else (-0.3 * self.length, 0.31 * self.length):
            for layer, (size, role, low) in enumerate(_RINGS, 1):
                ring = np.stack([np.cos(turn), np.sin(turn)], 1) * size * radius
                self._add([(outer, max(radius + v, low * radius), x + u) for u, v in ring], role, layer)
            for z in (x - radius / 2, x + radius / 2):  # the tread, seen from the front or the back
                self._add([(outer, 0.04, z), (inner, 0.04, z), (inner, 0.4, z), (outer, 0.4, z)], 'tyre', -1)

    def _add_patches(self) -> None:
        for strip, a0, a1, b0, b1, role in _PATCHES:
            corners = []
            for a, b in ((a0, b0), (a1, b0), (a1, b1), (a0, b1)):
                x, y, w = self.line[strip] + b * (self.line[strip + 1] - self.line[strip])
                corners.append((a * w, y, x))
            self._add(corners, role, 1)


@functools.cache
def _body(kind: str) -> _Body:
    return _Body(kind)


def _materials(rng: np.random.Generator, air: float, running: bool, frontness: float | None) -> dict[str, np.ndarray]:
    """Materials by role; ``frontness`` is the cosine between the nose and the camera of a car with its lamps on."""
    paint = np.array(pick(rng, _PAINTS)) * rng.uniform(0.8, 1.1)
    parked, heat = air + rng.uniform(-1.5, 0.5), rng.uniform(0.7, 1.3) * running
    brake = running and rng.random() < 0.4
    glow = 0.0 if frontness is None else np.array([1.0, 1.0, 0.92]) * (45.0 * max(frontness, 0.0) ** 4 + 1.0)
    red = np.array([0.03, 0.04, 1.0]) * (6.0 if brake else 0.0 if frontness is None else 2.2)
    body = material(paint, parked + 2 * heat, 0.88, gloss=0.06, solar=1.0 - 0.6 * float(paint.mean()), grain=0.015)

    def warmer(kelvin: float) -> np.ndarray:
        row = body.copy()
        row[TEMP] += kelvin
        return row

    def part(colour, kelvin: float, emissivity: float = 0.95, **options) -> np.ndarray:
        return material(
            colour, parked + kelvin * heat, emissivity, **{'grain': 0.02, 'gloss': 0.04, 'solar': 0.5, **options}
        )

    return {
        **dict.fromkeys(('side', 'pillar', 'rear', 'deck'), body),
        'hood': warmer(9 * heat),
        'nose': warmer(8 * heat),
        'skirt': warmer(5 * heat),
        'roof': warmer(-1.0),
        'seam': part(paint * 0.3, 2),
        'glass': part(0.01, 2.5, 0.72, gloss=0.05, solar=0.35),
        'arch': part(0.008, 8, gloss=0.0),
        'tyre': part(0.02, 13, gloss=0.0),
        'hub': part(0.33, 9, 0.6, gloss=0.2),
        'grille': part(0.015, 17),
        'pipe': part(0.03, 45),
        'plate': part(0.55, 1, retro=2.0, gloss=0.0),
        'head': part(0.35, 7, 0.85, gloss=0.2, emission=glow),
        'tail': part((0.02, 0.02, 0.25), 3, gloss=0.03, emission=red, retro=0.4),
    }


def draw_vehicle(canvas: Canvas, x: float, z: float, kind: str, *, heading: float, running: bool, lit: bool) -> None:
    """Draw a vehicle.

    Args:
        canvas: where to draw.
        x: place of its middle in metres.
        z: likewise.
        kind: a key of ``VEHICLES``.
        heading: where its nose points, in radians to the right of the z axis.
        running: whether engine, tyres and exhaust are hot.
        lit: whether its lamps are on.
    """
    rng, body, at = canvas.rng, _body(kind), np.array([x, 0.0, z])
    frame = heading_frame(heading)[[2, 1, 0]]  # right, up, forward
    towards = (canvas.camera.eye - at) * (1, 0, 1)
    distance = np.linalg.norm(towards)
    mats = _materials(rng, canvas.air, running, float(frame[2] @ towards / distance) if lit else None)
    from_behind = frame[2] @ towards < 0
    if kind == 'truck' and not from_behind:
        _draw_load(canvas, at, frame, running)
    bends = np.concatenate([body.bends[:, :3] @ frame, body.bends[:, 3:]], 1)
    canvas.mesh(body.points @ frame + at, body.faces, np.array([mats[r] for r in body.roles]), bends, body.layers)
    if kind == 'truck' and from_behind:
        _draw_load(canvas, at, frame, running)
    _darken_ground(canvas, body, at, frame)
    if running:
        canvas.warmth.append((x + frame[2, 0] * 1.2, z + frame[2, 2] * 1.2, 1.3, 1.6, 6.0))
    if lit and distance < 70:
        lamp, tail = at + UP * 0.65 + frame[2] * body.length * 0.5, at + UP * 0.8 - frame[2] * (body.length * 0.5 + 0.3)
        beam = {'at': lamp, 'aim': frame[2] - UP * 0.06, 'focus': 4, 'rgb': (0.9, 1.0, 1.0), 'power': 14.0}
        canvas.lights += [beam, {'at': tail, 'aim': -frame[2], 'focus': 0, 'rgb': (0.02, 0.03, 1.0), 'power': 0.25}]


def _draw_load(canvas: Canvas, at: np.ndarray, frame: np.ndarray, running: bool) -> None:
    """The load box, chassis and rear wheels behind a truck's cab."""
    rng = canvas.rng
    colour = pick(rng, ((0.6, 0.62, 0.62), (0.35, 0.4, 0.42), (0.45, 0.2, 0.1), (0.1, 0.3, 0.5)))
    wall = material(colour, canvas.air + rng.uniform(-1, 0.5), 0.9, gloss=0.03, grain=0.04)
    top = rng.uniform(2.7, 3.2)
    draw_box(canvas, (-1.1, 0.75, -6.2), (1.1, top, -0.95), wall, frame=frame, origin=at, label=rng.random() < 0.7)
    dark, tyre = (material(0.02, canvas.air + kelvin * running) for kelvin in (9.0, 14.0))
    draw_box(canvas, (-0.9, 0.45, -6.1), (0.9, 0.75, -0.9), dark, frame=frame, origin=at)
    hubs = np.array([(side * 0.9, 0.46, along) for along in (-4.9, -3.9) for side in (-1, 1)]) @ frame + at
    canvas.rods(hubs, hubs, 0.45, 0.45, tyre, shadow=False)


def _darken_ground(canvas: Canvas, body: _Body, at: np.ndarray, frame: np.ndarray) -> None:
    """The dark ground under a vehicle and the body that throws its shadow."""
    half = np.array([[-0.46, -0.48], [0.46, -0.48], [0.46, 0.48], [-0.46, 0.48]]) * (body.width, body.length)
    base = np.stack([half[:, 0], np.zeros(4), half[:, 1]], 1) @ frame + at
    canvas.contacts.append((base, 0.93))
    roof = base * 0.75 + base.mean(0) * 0.25 + UP * body.height
    canvas.casters.append(np.concatenate([base + UP * 0.2, base + UP * (body.height * 0.62), roof]))
