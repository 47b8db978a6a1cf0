"""Compositions: where the camera stands and what is in front of it."""

import numpy as np

from . import furniture
from .canvas import pick
from .stage import Stage


def _span(rng: np.random.Generator, start: tuple, stop: float, step: tuple) -> np.ndarray:
    """Places along the road, evenly spaced from a random start."""
    return np.arange(rng.uniform(*start), stop, rng.uniform(*step))


def _street(stage: Stage) -> None:
    """A street between houses, with parked cars."""
    rng = stage.rng
    half, walk = rng.uniform(3.0, 5.2), rng.uniform(1.8, 3.8)
    stage.aim(stage.side * half * rng.uniform(0.2, 0.6), height=(1.25, 2.3), pitch=(-3.5, 4.5), yaw=0.07)
    crossings = (rng.uniform(7, 22),) if rng.random() < 0.35 else ()
    centre = pick(rng, ('dashed', 'solid', 'none', 'double'))
    stage.pave(half=half, walk=walk, centre=centre, edge=rng.random() < 0.5, crossings=crossings)
    gap = rng.uniform(0, 0.25)
    for side in (-1, 1):
        z = -12.0
        while z < 130:
            length = rng.uniform(8, 24)
            if rng.random() > gap:
                front, height = side * (half + walk + rng.uniform(0, 0.8)), rng.integers(2, 7) * 3.1 + 1
                stage.block(front, side * rng.uniform(8, 14), (z, z + length), height)
            z += length + (rng.uniform(2, 8) if rng.random() < 0.25 else 0)
        if rng.random() < 0.6:
            stage.parked(side * (half - 0.95), (rng.uniform(5, 12), 60), rng.uniform(0.3, 0.9))
        if rng.random() < 0.45:
            for z in _span(rng, (5, 12), 80, (7, 14)):
                stage.tree(side * (half + 0.7), z, rng.uniform(4.5, 7.5))
        stage.lamps(side * (half + 0.4), _span(rng, (6, 20), 90, (20, 30)), -side * 1.4)
        stage.crowd(rng.integers(0, 5), (side * (half + 0.6), side * (half + walk - 0.4)), (6, 45))
    if rng.random() < 0.4:
        stage.crosser(half, rng.uniform(7, 25))
    if rng.random() < 0.35:
        stage.cyclist(rng.choice((-1, 1)) * half * 0.75, rng.uniform(6, 25), rng.choice((0, np.pi)))
    stage.traffic(half, (10, 55), rng.integers(1, 4))
    stage.furnish(half, (5, 40))


def _avenue(stage: Stage) -> None:
    """A narrow road between trees and lawns, as on a campus; it may bend."""
    rng = stage.rng
    half, curve = rng.uniform(2.2, 4.0), rng.normal(0, 0.0015)
    stage.aim(rng.uniform(-0.6, 0.6) * half, height=(1.2, 2.2), pitch=(-4, 5), yaw=0.09)
    stage.pave(
        half=half,
        walk=float(rng.choice((0.0, 1.6))),
        curve=curve,
        base='grass',
        surface=pick(rng, ('asphalt', 'asphalt', 'tiles')),
        centre=pick(rng, ('none', 'none', 'dashed')),
        edge=rng.random() < 0.4,
    )
    step = rng.uniform(5, 10)
    for side in (-1, 1):
        if rng.random() < 0.6:
            z = rng.uniform(8, 30)
            front, depth = side * (half + rng.uniform(9, 16)), side * rng.uniform(10, 16)
            stage.block(front, depth, (z, z + rng.uniform(15, 50)), rng.uniform(6, 16))
        for z in np.arange(rng.uniform(3, 9), 95, step):
            bend = curve * z * z
            stage.tree(side * (half + rng.uniform(1.8, 2.8)) + bend, z + rng.normal(0, 0.4), rng.uniform(6, 12))
            if rng.random() < 0.55:
                stage.tree(side * (half + rng.uniform(5, 14)) + bend, z + rng.uniform(0, 4), rng.uniform(6, 13))
            if rng.random() < 0.5:
                x = side * (half + rng.uniform(2.5, 8)) + bend
                stage.bush(x, z + rng.uniform(0, 3), rng.uniform(1.2, 3.5), rng.uniform(0.8, 2.2))
        edge, screen = side * (half + rng.uniform(0.9, 1.3)), rng.random()
        if screen < 0.4 and abs(curve) < 0.0015:
            stage.hedge(edge, (4, 30), rng.uniform(0.7, 1.3))
        elif screen > 0.65:
            stage.fence(edge, (4, 30))
        for z in _span(rng, (7, 22), 70, (18, 28)):
            stage.lamps(side * (half + 0.8) + curve * z * z, (z,), -side * rng.uniform(0.5, 1.2))
    stage.crowd(rng.integers(1, 6), (-half * 0.9, half * 0.9), (6, 45))
    if rng.random() < 0.4:
        stage.cyclist(rng.uniform(-0.6, 0.6) * half, rng.uniform(7, 30), rng.choice((0, np.pi)))
    stage.traffic(half, (14, 50), rng.integers(stage.weather.kind == 'headlights', 3))
    stage.furnish(half, (5, 40))


def _junction(stage: Stage) -> None:
    """A crossroads with a zebra crossing, signals and cars across."""
    rng = stage.rng
    half, walk, near = rng.uniform(4.0, 6.0), rng.uniform(2.0, 3.5), rng.uniform(13, 21)
    far = near + rng.uniform(7, 10)
    stage.aim(
        stage.side * half * rng.uniform(0.2, 0.6), height=(1.3, 2.4), pitch=(-3.5, 4), yaw=0.09, focal=(0.75, 1.15)
    )
    centre = pick(rng, ('solid', 'double', 'dashed'))
    stage.pave(half=half, walk=walk, centre=centre, crossings=(near - 4.5,), side_street=(near, far))
    corner = half + walk + rng.uniform(0, 1)
    for side in (-1, 1):
        if rng.random() < 0.6:
            stage.block(side * corner, side * rng.uniform(14, 30), (-6.0, near - walk), rng.integers(2, 7) * 3.1 + 1)
        z = far + walk
        stage.block(
            side * corner, side * rng.uniform(14, 30), (z, z + rng.uniform(14, 24)), rng.integers(2, 7) * 3.1 + 1
        )
        stage.block(side * corner, side * 15, (far + 30, far + 90), rng.integers(2, 6) * 3.1)
        stage.crowd(rng.integers(0, 4), (side * (half + 0.5), side * (half + walk)), (6, near + 18), along=False)
        stage.lamps(side * (half + 0.4), (near - 1.5, far + 14), -side * 1.5)
    for _ in range(rng.integers(1, 4)):
        turn = rng.choice((-1, 1))
        lane = near + (far - near) * (0.3 if turn * stage.side > 0 else 0.7)
        stage.car(rng.uniform(-9, 9), lane, turn * np.pi / 2, True)
    for _ in range(rng.integers(1, 5)):
        stage.crosser(half, near - rng.uniform(1.6, 4.2))
    for side, z in ((stage.side, near - 2), (-stage.side, far + 1)):
        if rng.random() < 0.8:
            stage.add(side * (half + 0.6), z, 0.3, furniture.draw_traffic_light, -side * rng.uniform(1.5, 3.5))
    stage.traffic(half, (far + 4, 60), rng.integers(1, 4))
    if rng.random() < 0.4:
        stage.cyclist(rng.uniform(-4, 4), near + 1, rng.choice((-1, 1)) * np.pi / 2)
    stage.furnish(half, (5, near - 2))


def _parking(stage: Stage) -> None:
    """A car park before a row of buildings."""
    rng = stage.rng
    inner, pitch, back = rng.uniform(3.4, 5.0), rng.uniform(2.5, 2.8), rng.uniform(32, 55)
    stage.aim(rng.uniform(-0.5, 0.5) * inner, height=(1.4, 3.2), pitch=(-1, 8), yaw=0.13)
    stage.pave(half=30.0, walk=0.0, base='asphalt', centre='none', edge=False, bays=(inner, inner + 4.8, pitch))
    stage.skyline(back, (1, 6), (0, 4), 0.85)
    for side in (-1, 1):
        fill = rng.uniform(0.35, 0.85)
        for z in np.arange(pitch * 2.5, back - 4, pitch):
            if rng.random() < fill:
                heading, running = rng.choice((-1, 1)) * np.pi / 2, rng.random() < 0.1
                stage.car(side * (inner + 2.5) + rng.normal(0, 0.15), z, heading, running, free=False)
        for z in np.arange(4, back - 2, rng.uniform(5, 9)):
            stage.tree(side * (inner + 6.5), z, rng.uniform(5, 9))
        stage.lamps(side * (inner + 5.3), np.arange(rng.uniform(8, 16), back, 18), -side * 1.2)
    stage.crowd(rng.integers(2, 7), (-inner + 0.4, inner - 0.4), (6, back - 4), along=False)
    if rng.random() < 0.5 or stage.weather.kind == 'headlights':
        stage.car(rng.uniform(-0.4, 0.4) * inner, rng.uniform(14, back - 4), rng.choice((0, np.pi)), True)


def _plaza(stage: Stage) -> None:
    """A paved square seen from above, as by a camera on a mast."""
    rng, back = stage.rng, stage.rng.uniform(26, 45)
    stage.aim(rng.uniform(-2, 2), height=(3.0, 6.5), pitch=(8, 20), yaw=0.25, focal=(0.85, 1.4))
    stage.pave(half=rng.uniform(5, 9), walk=12.0, surface='tiles', centre='none', edge=False)
    stage.skyline(back, (2, 7), (0, 0, 5))
    for _ in range(rng.integers(1, 6)):
        stage.tree(rng.choice((-1, 1)) * rng.uniform(4, 15), rng.uniform(9, back - 3), rng.uniform(4.5, 9))
    for _ in range(rng.integers(0, 4)):
        stage.lamps(rng.uniform(-10, 10), (rng.uniform(10, back - 2),), rng.choice((-0.8, 0.8)))
    for _ in range(rng.integers(1, 4)):
        x, z = rng.choice((-1, 1)) * rng.uniform(3, 12), rng.uniform(10, back - 5)
        stage.car(x, z, rng.uniform(0, 2 * np.pi), rng.random() < 0.3)
    stage.crowd(rng.integers(4, 10), (-8, 8), (7, back - 3), along=False)
    if rng.random() < 0.5:
        stage.cyclist(rng.uniform(-5, 5), rng.uniform(8, 22), rng.uniform(0, 2 * np.pi))
    stage.furnish(rng.uniform(3, 7), (8, back - 4))


def _suburb(stage: Stage) -> None:
    """A road between houses with gardens, hedges and overhead wires."""
    rng = stage.rng
    half, walk = rng.uniform(3.2, 5.0), rng.uniform(1.3, 2.2)
    stage.aim(stage.side * half * rng.uniform(0.2, 0.6), height=(1.25, 2.1), pitch=(-4, 4))
    centre = pick(rng, ('dashed', 'double', 'none'))
    stage.pave(half=half, walk=walk, base='grass', centre=centre, edge=rng.random() < 0.5)
    front, garden = half + walk + rng.uniform(3, 6), half + walk
    for side in (-1, 1):
        z = rng.uniform(2, 10)
        while z < 110:
            (deep, length), x = rng.uniform(7, 12, 2), side * (front + rng.uniform(0, 2))
            stage.block(x, side * deep, (z, z + length), rng.uniform(2.8, 5.8), house=True)
            if rng.random() < 0.35:
                stage.car(side * (front - 1.0), z - 2.5, -side * np.pi / 2, False)
            stage.tree(side * (front - rng.uniform(1, 3)), z + length - 2, rng.uniform(4, 9))
            z += length + rng.uniform(4, 12)
        if rng.random() < 0.5:
            stage.hedge(side * (garden + 0.9), (rng.uniform(4, 10), rng.uniform(16, 40)), rng.uniform(0.7, 1.5))
        for _ in range(4):
            x, z = side * (garden + rng.uniform(1, 3)), rng.uniform(5, 40)
            stage.bush(x, z, rng.uniform(0.9, 2), rng.uniform(0.6, 1.4))
        stage.parked(side * (half - 0.95), (rng.uniform(6, 16), 50), rng.uniform(0, 0.5))
        stage.crowd(rng.integers(0, 4), (side * (half + 0.3), side * garden), (6, 35))
    side = rng.choice((-1, 1))
    stage.wires(side * (half + 0.5))
    stage.lamps(side * (half + 0.65), _span(rng, (6, 20), 110, (22, 30)), -side * 1.3)
    stage.traffic(half, (10, 60), rng.integers(1, 4))
    if rng.random() < 0.4:
        stage.crosser(half, rng.uniform(7, 25))
    stage.furnish(half, (5, 40))


LAYOUTS = {
    'street': _street,
    'avenue': _avenue,
    'junction': _junction,
    'parking': _parking,
    'plaza': _plaza,
    'suburb': _suburb,
}
