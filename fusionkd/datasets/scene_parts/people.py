"""People and riders: articulated bodies in clothes, warm where the cloth is thin."""

import numpy as np

from .canvas import COLOUR, Canvas, disc, heading_frame, material, pick

POSES = ('walk', 'stand', 'phone', 'pockets', 'run', 'point')
_BODY = 34.0  # degrees Celsius of the skin
_SKIN = ((0.18, 0.27, 0.48), (0.12, 0.19, 0.36), (0.05, 0.08, 0.17))
_HAIR = ((0.015, 0.017, 0.02), (0.02, 0.035, 0.06), (0.08, 0.16, 0.24), (0.25, 0.26, 0.27))
_CLOTHES = ((0.02, 0.02, 0.022), (0.05, 0.05, 0.055), (0.13, 0.06, 0.03), (0.2, 0.11, 0.06), (0.16, 0.17, 0.17),
            (0.55, 0.57, 0.58), (0.04, 0.04, 0.28), (0.05, 0.1, 0.05), (0.1, 0.2, 0.32), (0.3, 0.42, 0.48),
            (0.08, 0.3, 0.5), (0.3, 0.14, 0.08))  # fmt: skip
_TROUSERS = ((0.02, 0.02, 0.022), (0.1, 0.055, 0.03), (0.06, 0.035, 0.022), (0.09, 0.1, 0.11), (0.17, 0.24, 0.3),
             (0.3, 0.32, 0.33))  # fmt: skip
_SHOES = ((0.02, 0.02, 0.02), (0.4, 0.4, 0.42), (0.03, 0.05, 0.1))


class Outfit:
    """What one person wears: materials from hair to shoes. Warmth is 0 for the air and 1 for the skin."""

    def __init__(self, rng: np.random.Generator, air: float):
        def worn(colour, warmth, grain=0.1):
            temp = air + (_BODY - air) * warmth
            return material(np.array(colour) * rng.uniform(0.7, 1.2), temp, 0.96, solar=0.3, grain=grain)

        self.coat = rng.random() < (0.6 if air < 12 else 0.2)
        self.skirt, self.bag = rng.random() < 0.18, rng.random() < 0.3
        loose = rng.uniform(-0.06, 0.06)
        skin = pick(rng, _SKIN)
        self.skin, self.hand = worn(skin, 0.95, 0.03), worn(skin, rng.uniform(0.7, 0.9), 0.03)
        self.hair = worn(pick(rng, _HAIR), 0.66)
        self.hat = worn(pick(rng, _CLOTHES), 0.5) if rng.random() < 0.2 else None
        self.top = worn(pick(rng, _CLOTHES), (0.42 if self.coat else 0.6) + loose)
        self.sleeve = worn(0.0, (0.38 if self.coat else 0.55) + loose)
        self.sleeve[COLOUR] = self.top[COLOUR]
        if not self.coat and rng.random() < 0.3:
            self.sleeve = self.skin
        self.legs = worn(pick(rng, _TROUSERS), 0.52 + loose)
        self.shins = worn(skin, 0.85, 0.03) if self.skirt else self.legs
        self.shoe, self.pack = worn(pick(rng, _SHOES), 0.25), worn(pick(rng, _CLOTHES), 0.14)


def _limbs(rng: np.random.Generator, pose: str) -> tuple[list, list]:
    """Angles of legs and arms, upper and lower part, from hanging down; radians, forward is positive."""
    swing = {'walk': rng.uniform(0.3, 0.5), 'run': rng.uniform(0.65, 0.85)}.get(pose, rng.uniform(0.02, 0.09))
    phase = rng.uniform(0, 2 * np.pi)
    legs, arms = [], []
    for side in (0, np.pi):
        beat = np.sin(phase + side)
        hip, knee = swing * beat + 0.04, 0.06 + swing * 1.3 * max(0.0, np.cos(phase + side))
        legs.append((hip, hip - knee))
        shoulder = -swing * 0.85 * beat
        arms.append((shoulder, shoulder + 0.18 + swing * (1.5 if pose == 'run' else 0.5)))
    if pose in ('phone', 'point'):
        arms[rng.integers(2)] = (0.35, 2.2) if pose == 'phone' else (1.2, 1.45)
    elif pose == 'pockets':
        arms = [(-0.25, 0.35), (-0.25, 0.35)]
    return legs, arms


class _Body:
    """The rods of one body, in fractions of its height around the hip."""

    def __init__(self, canvas: Canvas, frame: np.ndarray, lean: float, wear: Outfit):
        self.forward, self.up, self.right = frame
        self.axis = np.cos(lean) * self.up + np.sin(lean) * self.forward
        self.wear, self.canvas, self.rods = wear, canvas, []

    def add(self, start, end, r0: float, r1: float, mat: np.ndarray, *, nearer: float = 0.0) -> None:
        """Add a rod; each end is ``(along the body, up, forward, right)``, the first of them with the body's lean."""
        ends = [np.asarray(p) if len(p) == 3 else self.at(*p) for p in (start, end)]
        self.rods.append((*ends, r0, r1, mat, nearer))

    def at(self, along: float, up: float = 0.0, forward: float = 0.0, right: float = 0.0) -> np.ndarray:
        """A point of the body relative to the hip."""
        return along * self.axis + up * self.up + forward * self.forward + right * self.right

    def swing(self, angle: float) -> np.ndarray:
        """Direction of a limb that hangs at an angle."""
        return np.sin(angle) * self.forward - np.cos(angle) * self.up

    def add_limbs(self, legs: list, arms: list) -> None:
        """Add legs with shoes, and arms with hands."""
        wear, thick = self.wear, 1.25 if self.wear.coat else 1.0
        for (upper, lower), (lift, bend), sign in zip(legs, arms, (-1, 1), strict=True):
            joint = self.at(0, -0.01, 0, 0.05 * sign)
            knee = joint + self.swing(upper) * 0.245
            ankle = knee + self.swing(lower) * 0.235
            self.add(ankle - self.up * 0.012, ankle + self.forward * 0.085 - self.up * 0.018, 0.03, 0.022, wear.shoe)
            self.add(knee, ankle, 0.04, 0.027, wear.shins)
            self.add(joint, knee, 0.058, 0.042, wear.legs)
            shoulder = self.at(0.3, 0, 0, 0.1 * sign)
            elbow = shoulder + self.swing(lift) * 0.165 + self.right * (0.025 * sign)
            wrist = elbow + self.swing(bend) * 0.14 - self.right * (0.01 * sign)
            self.add(shoulder, elbow, 0.036 * thick, 0.03 * thick, wear.sleeve)
            self.add(elbow, wrist, 0.029 * thick, 0.023 * thick, wear.sleeve)
            self.add(wrist, wrist + self.swing(bend) * 0.045, 0.02, 0.018, wear.hand, nearer=0.01)

    def add_trunk(self) -> None:
        """Add hip, chest, neck, head and what is worn on them."""
        wear = self.wear
        turned = abs(self.right @ self.canvas.camera.right)  # 1 seen from the front or the back, 0 from the side
        wide = np.hypot(0.09 * turned, 0.064 * (1 - turned**2) ** 0.5)
        if wear.coat:
            self.add((-0.1, 0, 0, 0), (0.225, 0, 0, 0), wide * 1.0, wide * 1.1, wear.top)
        else:
            self.add((0.02, 0, 0, 0), (0.225, 0, 0, 0), wide * 0.8, wide, wear.top)
        self.add((0.3, 0, 0, -0.08), (0.3, 0, 0, 0.08), 0.038, 0.038, wear.top)
        self.add((0, 0, 0, -0.035), (0, 0, 0, 0.035), 0.066, 0.066, wear.top if wear.coat else wear.legs)
        if wear.skirt:
            self.add((0, -0.16, 0, 0), (0, 0, 0, 0), 0.095, 0.075, wear.legs, nearer=0.01)
        self.add((0.305, 0, 0, 0), (0.365, 0, 0, 0), 0.033, 0.03, wear.skin)
        self.add((0.405, 0, 0.012, 0), (0.439, 0, 0.012, 0), 0.037, 0.042, wear.skin, nearer=0.03)
        self.add((0.443, 0, -0.004, 0), (0.461, 0, 0.004, 0), 0.046, 0.045, wear.hair, nearer=0.03)
        if wear.hat is not None:
            self.add((0.467, 0, 0.002, 0), (0.48, 0, 0.012, 0), 0.049, 0.043, wear.hat, nearer=0.06)
        if wear.bag:
            self.add((0.08, 0, -0.095, 0), (0.27, 0, -0.09, 0), 0.07, 0.06, wear.pack)

    def draw(self, hip: np.ndarray, size: float) -> None:
        """Draw all rods for a body of ``size`` metres and note it as a target."""
        start, end, r0, r1, mats, nearer = (np.array(column) for column in zip(*self.rods, strict=True))
        ends = hip + start * size, hip + end * size
        faces = self.canvas.rods(*ends, r0 * size, r1 * size, mats, nearer=nearer * size)
        if faces:
            self.canvas.targets.append(faces)


def draw_person(canvas: Canvas, x: float, z: float, heading: float, pose: str) -> None:
    """Draw a pedestrian in one of ``POSES``; size and clothes are drawn at random."""
    rng = canvas.rng
    size = rng.normal(1.7, 0.08) * (0.72 if rng.random() < 0.06 else 1.0)
    legs, arms = _limbs(rng, pose)
    body = _Body(
        canvas, heading_frame(heading), rng.uniform(-0.02, 0.1) + 0.1 * (pose == 'run'), Outfit(rng, canvas.air)
    )
    body.add_limbs(legs, arms)
    body.add_trunk()
    reach = max(np.cos(a) * 0.245 + np.cos(b) * 0.235 for a, b in legs)
    body.draw(np.array([x, size * (reach + 0.05), z]), size)
    canvas.contacts.append((disc(x, z, 0.26), 0.55))


def draw_cyclist(canvas: Canvas, x: float, z: float, heading: float, lamps: bool) -> None:
    """Draw a bicycle and its rider; the frame is metal and cold, the rider is not."""
    rng, frame, base = canvas.rng, heading_frame(heading), np.array([x, 0.0, z])
    forward, up, _ = frame
    paint, tyre = material(pick(rng, _CLOTHES), canvas.air, 0.6, gloss=0.05), material(0.025, canvas.air + 2.0)
    turn = np.linspace(0, 2 * np.pi, 18, endpoint=False)[:, None]
    wheels = [base + forward * s + up * 0.34 for s in (-0.53, 0.53)]
    for hub in wheels:
        canvas.line(hub + 0.33 * (np.cos(turn) * forward + np.sin(turn) * up), tyre, 0.04, closed=True)
    crank, seat = base + up * 0.3 - forward * 0.05, base + up * 0.88 - forward * 0.22
    bar = base + up * 0.98 + forward * 0.38
    for path in ([wheels[0], crank, seat, wheels[0]], [seat - up * 0.08, bar - up * 0.2, crank], [wheels[1], bar]):
        canvas.line(np.array(path), paint, 0.035)
    pedal = rng.uniform(0, 2 * np.pi)
    legs = [(0.95 + 0.3 * np.sin(pedal + s), -0.05 + 0.25 * np.cos(pedal + s)) for s in (0, np.pi)]
    body = _Body(canvas, frame, rng.uniform(0.3, 0.55), Outfit(rng, canvas.air))
    body.add_limbs(legs, [(1.1, 1.35)] * 2)
    body.add_trunk()
    body.draw(seat + up * 0.09, rng.normal(1.7, 0.06))
    canvas.contacts.append((base + frame[[0, 2, 0, 2]] * np.array([[0.85], [0.2], [-0.85], [-0.2]]), 0.5))
    if lamps:
        ahead = max(0.0, float(-forward @ canvas.camera.forward))
        glow = np.array([0.9, 1.0, 1.0]) * 25 * ahead**3 if ahead else np.array([0.02, 0.02, 1.0]) * 3
        spot = bar if ahead else seat - up * 0.2
        canvas.rods(spot, spot, 0.035, 0.035, material(0.3, canvas.air + 4, emission=glow), shadow=False)
