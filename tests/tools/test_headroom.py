"""The benchmark of what pixels alone could reach."""

import importlib.util
import sys

import cv2
import pytest
import torch
from common import REPO

from fusionkd.models.losses import QualityLoss


@pytest.fixture
def benchmark():
    threads = torch.get_num_threads()
    spec = importlib.util.spec_from_file_location('headroom', REPO / 'benchmarks' / 'headroom.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    torch.set_num_threads(threads)


def test_pixels_go_down_the_gradient(benchmark, scene_folder):
    ir, vis = (
        torch.from_numpy(cv2.imread(str(scene_folder / 'test' / kind / '00000.png'), 0))[None, None] / 255
        for kind in ('ir', 'vi')
    )
    start, loss = (ir + vis) / 2, QualityLoss()
    image = benchmark.optimise(start, ir, vis, loss, steps=20, lr=0.01)
    assert loss(image, ir, vis) < 0.9 * loss(start, ir, vis)
    assert image.min() >= 0 and image.max() <= 1 and not image.requires_grad


def test_table_has_start_rule_and_every_objective(benchmark, scene_folder, tmp_path, monkeypatch, capsys):
    arguments = ['--set', f'small={scene_folder / "test"}', '--pairs', '2', '--steps', '3', '--start', 'maximum']
    arguments += ['--weights', '', '--weights', 'qabf=9,scd=1', '--threads', '1', '--save', str(tmp_path)]
    monkeypatch.setattr(sys, 'argv', ['headroom.py', *arguments])
    assert benchmark.main() == 0
    lines = capsys.readouterr().out.splitlines()
    assert 'small: 2 pairs, 3 steps from maximum' in lines[1]
    assert [line[:44].strip() for line in lines[3:]] == [
        'maximum',
        'pixels: default weights',
        'pixels: qabf=9,scd=1',
    ]
    assert len({line.split()[-1] for line in lines[3:]}) > 1 and len(list(tmp_path.rglob('*.png'))) == 6
