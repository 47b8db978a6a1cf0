"""The sweep: its points, its trainer, and the tool as a user runs it."""

import importlib.util
import json
import math
import multiprocessing
import subprocess
import sys
from collections import Counter

import cv2
import pytest
import torch
from common import REPO

from fusionkd.engine import pool, sweep
from fusionkd.engine.config import build_runner, load_config
from fusionkd.engine.sweep import Plan, Trainer, ValidationPairs, grid, parse_axes, point_options, preset_axes
from fusionkd.evaluation.parallel_coordinates import plot_parallel_coordinates

FRAGILE = """
import os

from fusionkd.models.fusers import SwiftFuser
from fusionkd.registry import MODELS


@MODELS.register_module()
class FragileFuser(SwiftFuser):
    def __init__(self, width, init_cfg=None):
        if width == 6:
            raise ValueError('a width that cannot be')
        if width == 10:
            os._exit(9)
        super().__init__(width, stem=1, init_cfg=init_cfg)
"""


@pytest.fixture(autouse=True)
def _threads():
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def recipe(tmp_path):
    """A recipe that trains in a moment on the twelve small scenes, two terms of it a FusionLoss."""
    (tmp_path / 'fragile_fuser.py').write_text(FRAGILE)
    path = tmp_path / 'small.py'
    path.write_text(
        f"""
_base_ = [
    '{REPO}/configs/_base_/datasets/msrs.py',
    '{REPO}/configs/_base_/schedules/one_cycle.py',
    '{REPO}/configs/_base_/default_runtime.py',
]
custom_imports = dict(imports=['fragile_fuser'])
model = dict(
    type='FusionDistiller',
    student=dict(type='FragileFuser', width=4),
    terms=[
        dict(name='pixels', loss=dict(type='L1Loss'), target='vis', weight=0.1),
        dict(name='self', loss=dict(type='FusionLoss', window=11), space='rgb'),
        dict(name='again', loss=dict(type='FusionLoss', window=7)),
    ],
)
train_dataloader = dict(batch_size=2, num_workers=1, dataset=dict(val_every=2))
val_dataloader = dict(dataset=dict(val_every=2))
train_cfg = dict(max_iters=3)
train_dataloader['dataset']['pipeline'] = [
    dict(type='LoadImagePair', cache_mb=64),
    dict(type='RandomCropPair', size=48),
    dict(type='PackFusionInputs'),
]
"""
    )
    return path


def plan(recipe, scene_folder, **changes):
    return Plan(str(recipe), **dict(data_root=str(scene_folder), val_pairs=0, val_crop=0) | changes)


def test_a_grid_is_read_like_cfg_options():
    axes = parse_axes(['a.b.lr=1e-3,0.1', 'c.lr=x', 'size=[4,5],(1,2)', 'flag=True,False'])
    assert [a.values for a in axes] == [(0.001, 0.1), ('x',), ([4, 5], (1, 2)), (True, False)]
    assert [a.name for a in axes] == ['b.lr', 'c.lr', 'size', 'flag']
    assert [a.name for a in parse_axes(['model.terms.0.loss.ssim=1', 'model.terms.0.loss.maximum=1'])] == [
        'ssim',
        'maximum',
    ]
    assert len(grid(axes)) == 8
    for bad in (['a'], ['a='], ['a=1,1'], ['a=1', 'a=2']):
        with pytest.raises(ValueError, match=r'KEY=v1|may stand once'):
            parse_axes(bad)


def test_the_preset_is_the_grid_of_the_paper_wherever_the_loss_stands(recipe):
    axes = preset_axes('hybridfusion', load_config(recipe))
    points = grid(axes)
    assert len(points) == len({tuple(p.values()) for p in points}) == 240
    assert points == grid(axes) and points[:2] != sorted(points, key=lambda p: tuple(p.values()))[:2]
    for axis in axes:  # a tenth of the sweep has met every value about as often as any other
        met = Counter(p[axis.name] for p in points[:24])
        assert set(met) == set(axis.values) and max(met.values()) - min(met.values()) <= 1
    config = load_config(recipe, point_options(points[0], axes))
    for term in config.model.terms[1:]:
        assert {name: term.loss[name] for name in points[0]} == points[0]
    with pytest.raises(ValueError, match='does not have'):
        preset_axes('hybridfusion', load_config(recipe, {'model.terms': [dict(name='a', loss=dict(type='L1Loss'))]}))


def test_a_point_is_the_training_and_the_validation_of_the_recipe(recipe, scene_folder, tmp_path):
    options = {'model.terms.1.loss.maximum': 30, 'optim_wrapper.optimizer.lr': 1e-2}
    outcome = Trainer(plan(recipe, scene_folder)).run(options, seed=5)
    options |= {'randomness.seed': 5, 'train_dataloader.num_workers': 0, 'visualizer.vis_backends': []}
    config = load_config(recipe, options, str(scene_folder))
    config.work_dir = str(tmp_path / 'work')
    runner = build_runner(config)
    runner.train()
    expected = runner.val_loop.run()
    metrics = outcome['metrics']
    assert metrics['balanced'] == pytest.approx(expected['score'], abs=1e-9)
    for name in ('VIF', 'Qabf', 'SSIM', 'SCD', 'Nabf', 'target'):
        assert metrics[name] == pytest.approx(expected[name], abs=1e-9, nan_ok=True), name
    assert metrics['hybridfusion'] == pytest.approx((metrics['VIF'] + 1.5 * metrics['Qabf'] + metrics['SSIM']) / 3)
    seconds = outcome['seconds']
    assert seconds['total'] == pytest.approx(sum(seconds[k] for k in ('training', 'validation', 'overhead')), abs=1e-3)


def test_points_do_not_know_of_each_other_and_share_the_images(recipe, scene_folder, monkeypatch):
    trainer = Trainer(plan(recipe, scene_folder))
    first = trainer.run({}, seed=0)
    trainer.run({'model.terms.1.loss.ssim': 20}, seed=1)
    reads = []
    monkeypatch.setattr('fusionkd.datasets.origin.read_image', reads.append)
    assert trainer.run({}, seed=0)['metrics'] == first['metrics']
    assert not reads
    assert 'ValueError: a width that cannot be' in trainer.run({'model.student.width': 6}, seed=0)['error']
    assert trainer.run({}, seed=0)['metrics'] == first['metrics']


def test_nothing_is_left_behind(recipe, scene_folder, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    assert 'metrics' in Trainer(plan(recipe, scene_folder)).run({}, seed=0)
    assert [p for p in sorted(tmp_path.iterdir()) if p.name != '__pycache__'] == before
    assert capfd.readouterr().out == ''


def test_validation_pairs_are_spread_and_cut(recipe, scene_folder):
    config = plan(recipe, scene_folder).load()
    pairs = ValidationPairs(config, num=3, crop=48)
    assert pairs.names == ['00005', '00007', '00009']
    sizes = []

    class Spy(torch.nn.Module):
        def predict(self, ir, vis):
            sizes.append((tuple(ir.shape), tuple(vis.shape)))
            return vis

    metrics = pairs.measure(Spy())
    assert sizes == [((1, 48, 48), (3, 48, 48))] * 3
    assert metrics['VIF'] > 0.9 and math.isnan(metrics['SCD'])  # of a copied source


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'val_dataloader.dataset.data_prefix': dict(ir='test/ir', vis='test/vi')}, 'also test pairs'),
        ({'train_dataloader.dataset.part': 'all'}, 'also train pairs'),
        ({'val_dataloader': None, 'val_cfg': None, 'val_evaluator': None}, 'no val_dataloader'),
    ],
)
def test_students_are_measured_on_pairs_of_their_own(recipe, scene_folder, options, message):
    if 'data_prefix' in str(options):
        options = {**options, 'val_dataloader.dataset.part': 'all'}
    with pytest.raises(ValueError, match=message):
        plan(recipe, scene_folder, options=options).describe()


@pytest.fixture
def tool(tmp_path, monkeypatch, capsys):
    """The tool in this process."""
    spec = importlib.util.spec_from_file_location('sweep_tool', REPO / 'tools' / 'sweep.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('OMP_NUM_THREADS', '1')

    def run(*arguments, status=0):
        monkeypatch.setattr(sys, 'argv', ['sweep.py', *map(str, arguments)])
        assert module.main() == status
        done = capsys.readouterr()
        return done.out + done.err

    return run


def test_the_tool(recipe, scene_folder, tmp_path, tool):
    """A training that fails and one whose process dies are recorded, and the sweep goes on; then it is resumed."""
    common = [recipe, '--data-root', scene_folder, '--iters', 2, '--val-crop', 0, '--out', 'out', '--threads', 1]
    common += ['--cfg-options', 'model.terms.2.weight=0.5']
    widths = ['--grid', 'model.student.width=4,6,8,10']
    ssim = ['--grid', 'model.terms.1.loss.ssim=1,10']
    command = [sys.executable, REPO / 'tools' / 'sweep.py', *common, *widths]
    done = subprocess.run(list(map(str, command)), cwd=tmp_path, capture_output=True, text=True, check=False)
    out = done.stdout + done.stderr
    assert done.returncode == 1 and 'Traceback' not in out and 'Warning' not in out, out
    folder = tmp_path / 'out'
    assert 'FAILED: ValueError: a width that cannot be' in out and 'the worker died (exit code 9)' in out
    records = [json.loads(line) for line in (folder / 'points.jsonl').read_text().splitlines()]
    assert {r['point']['width']: 'metrics' in r for r in records} == {4: True, 6: False, 8: True, 10: False}
    names = {p.name for p in folder.iterdir()}
    assert names == {
        *('points.jsonl', 'run.json', 'sweep.md', 'sweep.csv', 'sweep.json', 'winner.py', 'parallel_coordinates.png')
    }
    text = (folder / 'sweep.md').read_text()
    assert '2 of 4 points' in text and '- width 6, seed 0: ValueError' in text and '5 validation pairs' in text
    points = json.loads((folder / 'sweep.json').read_text())['points']
    assert points[0]['mean']['balanced'] >= points[1]['mean']['balanced'] and points[3]['errors']
    assert (folder / 'sweep.csv').read_text().count('\n') == 5

    winner, best = load_config(folder / 'winner.py'), points[0]['point']['width']
    expected = load_config(recipe, {'model.student.width': best, 'model.terms.2.weight': 0.5})
    assert winner.to_dict() == expected.to_dict() and winner.train_cfg.max_iters == 3
    assert f'--cfg-options model.terms.2.weight=0.5 model.student.width={best}' in text

    assert 'give --resume' in tool(*common, *widths, status=1)
    assert 'differs in recipe_hash, iterations' in tool(*common[:4], 3, *common[5:-2], *widths, '--resume', status=1)
    with (folder / 'points.jsonl').open('a') as file:
        file.write('{"task": "cut o')
    out = tool(*common, *widths[:1], 'model.student.width=4,8', '--seeds', '0,1', '--resume')
    assert '2 of 4 trainings were done before' in out and 'a broken line is left out' in out
    assert len((folder / 'points.jsonl').read_text().splitlines()) == 4
    assert ' ± ' in (folder / 'sweep.md').read_text()

    out = tool(*common[:-2], *ssim, '--cfg-options', 'model.terms.1.loss.ssim=3', status=1)
    assert 'has a value already' in out
    out = tool(*common, '--grid', 'optim_wrapper.optimiser.lr=1,2', status=1)
    assert "the recipe has no 'optimiser' there" in out
    assert 'measured on the same pairs' in tool(*common, '--grid', 'val_evaluator.trivial=1', status=1)


def test_the_picture(tmp_path):
    settings = dict(weight=(1, 2, 3), kind=('a', 'b'))
    points = [dict(weight=w, kind=k) for w in settings['weight'] for k in settings['kind']]
    path = tmp_path / 'picture.png'
    plot_parallel_coordinates(settings, points, dict(VIF=[1.0] * 6, score=[0.1, 0.5, 0.2, 0.3, 0.4, 0.0]), path)
    assert cv2.imread(str(path)).std() > 5
    plot_parallel_coordinates(settings, points[:1], dict(score=[0.5]), path)
    with pytest.raises(ValueError, match='nothing to draw'):
        plot_parallel_coordinates(settings, [], dict(score=[]), path)


def test_an_interrupted_sweep_ends_its_workers(recipe, scene_folder):
    tasks = [sweep.Task(dict(i=i), {}, i) for i in range(50)]
    running = pool.run_tasks(tasks, plan(recipe, scene_folder), workers=2)
    task, outcome = next(running)
    assert task in tasks and 'metrics' in outcome
    running.close()
    for process in multiprocessing.active_children():
        process.join(10)
    assert not multiprocessing.active_children()
