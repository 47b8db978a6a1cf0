"""The procedural scenes: reproducible, aligned, and each camera sees what the other does not."""

import hashlib
import subprocess
import sys

import cv2
import numpy as np
import pytest

from fusionkd.datasets.scenes import KINDS, Scene, render_scene


def _gray(scene: Scene) -> np.ndarray:
    return cv2.cvtColor(scene.vis, cv2.COLOR_BGR2GRAY)


def _edges(image: np.ndarray) -> np.ndarray:
    """Gradient magnitude, 1 for the strongest few percent."""
    image = image.astype(np.float32)
    size = np.hypot(cv2.Sobel(image, cv2.CV_32F, 1, 0), cv2.Sobel(image, cv2.CV_32F, 0, 1))
    return np.minimum(size / np.percentile(size, 97), 1)


def _contrast(image: np.ndarray, box: tuple[int, int, int, int]) -> float:
    """Mean of a box minus the median of a frame around it, in grey levels."""
    x0, y0, x1, y1 = box
    wide, tall = max(3, (x1 - x0) // 2), max(3, (y1 - y0) // 4)
    frame = image[max(0, y0 - tall) : y1 + tall, max(0, x0 - wide) : x1 + wide].astype(float)
    around = np.ones(frame.shape, bool)
    top, left = min(y0, tall), min(x0, wide)
    around[top : top + y1 - y0, left : left + x1 - x0] = False
    return float(image[y0:y1, x0:x1].mean() - np.median(frame[around]))


def _digest(scene: Scene) -> str:
    return hashlib.sha256(scene.ir.tobytes() + scene.vis.tobytes() + repr(scene.targets).encode()).hexdigest()


@pytest.fixture(scope='module')
def mixed() -> list[Scene]:
    return [render_scene(index) for index in range(20)]


@pytest.fixture(scope='module')
def by_kind() -> dict[str, list[Scene]]:
    return {kind: [render_scene(index, kind=kind) for index in range(100, 106)] for kind in KINDS}


def test_same_arguments_give_the_same_scene():
    np.random.seed(0)
    before = np.random.get_state()[1].copy()
    first = render_scene(4, seed=7, size=(64, 96), kind='night')
    assert np.array_equal(np.random.get_state()[1], before)
    np.random.seed(1)
    second = render_scene(4, seed=7, size=(64, 96), kind='night')
    assert _digest(first) == _digest(second)


def test_same_scene_in_another_process():
    code = (
        'from fusionkd.datasets.scenes import render_scene; import hashlib;'
        's = render_scene(11, seed=3, size=(72, 96));'
        'print(hashlib.sha256(s.ir.tobytes() + s.vis.tobytes() + repr(s.targets).encode()).hexdigest())'
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().splitlines()[-1] == _digest(render_scene(11, seed=3, size=(72, 96)))


def test_index_and_seed_make_other_scenes():
    scenes = [render_scene(index, size=(96, 128), kind='overcast') for index in range(6)]
    scenes.append(render_scene(0, seed=1, size=(96, 128), kind='overcast'))
    for channel in ('ir', 'vis'):
        small = [cv2.resize(getattr(s, channel), (32, 24), interpolation=cv2.INTER_AREA).astype(float) for s in scenes]
        closest = min(np.abs(a - b).mean() for k, a in enumerate(small) for b in small[:k])
        assert closest > 8, f'two scenes of {channel} differ by {closest:.1f} grey levels only'


def test_size_keeps_the_place():
    small, large = render_scene(2, size=(120, 160)), render_scene(2, size=(240, 320))
    for channel in ('ir', 'vis'):
        shrunk = cv2.resize(getattr(large, channel), (160, 120), interpolation=cv2.INTER_AREA)
        assert np.corrcoef(shrunk.ravel(), getattr(small, channel).ravel())[0, 1] > 0.85


@pytest.mark.parametrize('size', [(32, 32), (64, 64), (65, 97), (97, 64), (240, 320), (300, 517)])
def test_any_size(size):
    scene = render_scene(1, size=size)
    assert scene.ir.shape == size
    assert scene.vis.shape == (*size, 3)
    assert scene.ir.dtype == scene.vis.dtype == np.uint8
    assert scene.ir.std() > 5
    assert scene.vis.std() > 5
    assert scene.kind in KINDS


@pytest.mark.slow
def test_full_hd():
    scene = render_scene(1, size=(1080, 1920))
    assert scene.vis.shape == (1080, 1920, 3)


def test_kinds_are_mixed_and_can_be_asked_for(mixed):
    drawn = {scene.kind for scene in mixed}
    assert len(drawn) >= 4
    assert drawn <= set(KINDS)
    assert _digest(render_scene(5, kind=mixed[5].kind)) == _digest(mixed[5])


def test_night_is_darker_than_day(by_kind):
    bright = {kind: np.median([_gray(scene).mean() for scene in scenes]) for kind, scenes in by_kind.items()}
    for dark in ('night', 'headlights'):
        assert bright[dark] < 0.5 * min(bright['day'], bright['overcast'])
    assert bright['night'] < bright['dusk'] < bright['day']


def test_targets_lie_inside_and_are_hot(mixed):
    contrast = []
    for scene in mixed:
        for box in scene.targets:
            x0, y0, x1, y1 = box
            assert 0 <= x0 < x1 <= scene.ir.shape[1]
            assert 0 <= y0 < y1 <= scene.ir.shape[0]
            contrast.append(_contrast(scene.ir, box))
    assert np.mean([bool(scene.targets) for scene in mixed]) > 0.7
    assert len(contrast) > 30
    assert np.median(contrast) > 25
    assert np.mean(np.array(contrast) > 0) > 0.9


def test_people_in_the_dark_are_seen_by_the_thermal_camera_only(by_kind):
    pairs = [
        (_contrast(scene.ir, box), abs(_contrast(_gray(scene), box)))
        for scene in by_kind['night']
        for box in scene.targets
    ]
    ir, vis = np.median(np.array(pairs), 0)
    assert len(pairs) > 8
    assert vis < 15
    assert ir > 3 * vis


@pytest.mark.parametrize('kind', ['day', 'overcast', 'dusk', 'shadow'])
def test_edges_of_both_cameras_coincide(by_kind, kind):
    for scene in by_kind[kind]:
        ir, vis = _edges(scene.ir), _edges(_gray(scene))
        shifts = [(dy, dx) for dy in range(-2, 3) for dx in range(-2, 3)]
        scores = [(np.roll(ir, shift, (0, 1)) * vis).mean() for shift in shifts]
        assert shifts[int(np.argmax(scores))] == (0, 0)


def test_each_camera_sees_what_the_other_does_not(by_kind):
    for kind, scenes in by_kind.items():
        vis_only, ir_only = [], []
        for scene in scenes:
            ir, vis = _edges(scene.ir), _edges(_gray(scene))
            vis_only.append(np.mean((vis > 0.5) & (ir < 0.15)))
            ir_only.append(np.mean((ir > 0.5) & (vis < 0.15)))
        assert np.median(vis_only) > 0.005, kind
        assert np.median(ir_only) > 0.004, kind


def test_visible_is_in_colour_and_sky_is_cold(by_kind):
    day = by_kind['day']
    assert np.median([np.ptp(scene.vis.astype(int), axis=2).mean() for scene in day]) > 8
    above = [(scene.ir[:12].mean(), scene.ir[-60:].mean()) for scene in day if _gray(scene)[:12].mean() > 200]
    assert above, 'no day scene shows the sky at its upper edge'
    assert all(sky < ground for sky, ground in above)


@pytest.mark.parametrize(
    ('options', 'words'),
    [
        ({'index': -1}, 'index must be an integer of 0 or more, got -1'),
        ({'index': 1.5}, 'index'),
        ({'index': 0, 'seed': -3}, 'seed'),
        ({'index': 0, 'size': (16, 320)}, 'at least 32 pixels'),
        ({'index': 0, 'size': (240.5, 320)}, 'integers'),
        ({'index': 0, 'size': 240}, r'\(height, width\)'),
        ({'index': 0, 'size': (240, 320, 3)}, r'\(height, width\)'),
        ({'index': 0, 'kind': 'fog'}, 'known kinds: day, overcast, dusk, night, headlights, shadow'),
    ],
)
def test_bad_arguments_say_what_is_known(options, words):
    with pytest.raises(ValueError, match=words):
        render_scene(**options)
