"""tools/export.py, run as a user runs it."""

import json
import subprocess
import sys

import numpy as np
import pytest
from common import REPO

from fusionkd.apis import FusionInferencer
from fusionkd.deploy import OnnxFuser
from fusionkd.fileio import read_image


def export(*arguments, cwd, status=0):
    command = [sys.executable, str(REPO / 'tools/export.py'), *map(str, arguments)]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == status, done.stdout[-3000:] + done.stderr[-3000:]
    assert 'Traceback' not in done.stderr
    return done.stdout + done.stderr


@pytest.fixture
def images(scene_folder):
    return [scene_folder / 'test' / kind for kind in ('ir', 'vi')]


def test_a_network_of_the_zoo_and_its_int8_sibling(tmp_path, images):
    out = export('seafusion', '--out', 'nets/sea.onnx', '--int8', *images, cwd=tmp_path)
    assert 'nets/sea.onnx: 166,883 parameters, float32, images of any size' in out and 'on 3 pairs differs' in out
    assert {p.name for p in (tmp_path / 'nets').iterdir()} == {
        f'sea{precision}.{suffix}' for precision in ('', '_int8') for suffix in ('onnx', 'json')
    }
    assert json.loads((tmp_path / 'nets/sea_int8.json').read_text())['fuser'] == dict(type='SeAFusion')
    ir, vis = (read_image(folder / '00000.png') for folder in images)
    expected = FusionInferencer('seafusion', device='cpu')(ir, vis).astype(int)
    assert np.abs(OnnxFuser(tmp_path / 'nets/sea.onnx', 1)(ir, vis) - expected).max() <= 1
    assert np.abs(OnnxFuser(tmp_path / 'nets/sea_int8.onnx', 1)(ir, vis) - expected).mean() < 4


def test_a_recipe_for_one_size(tmp_path):
    recipe = tmp_path / 'recipe.py'
    recipe.write_text('model = dict(student=dict(type="SwiftFuser", width=16, stem=1))')
    out = export(recipe, '--out', 'small.onnx', '--size', 44, 60, cwd=tmp_path)
    assert 'images of 48 x 64' in out and 'without --weights: the network is exported untrained' in out
    card = json.loads((tmp_path / 'small.json').read_text())
    assert card['fuser'] == dict(type='SwiftFuser', width=16, stem=1) and card['size'] == [48, 64]


def test_mistakes_are_explained(tmp_path, images, scene_folder):
    assert 'error: weights not found: nothing.pth' in export('nothing.pth', '--out', 'x.onnx', cwd=tmp_path, status=1)
    assert 'y.onnx is exported already' in export('y.onnx', '--out', 'x.onnx', cwd=tmp_path, status=1)
    out = export('seafusion', '--out', 'x.onnx', '--int8', images[0], tmp_path, cwd=tmp_path, status=1)
    assert 'error: no image' in out
    assert not list(tmp_path.iterdir())
