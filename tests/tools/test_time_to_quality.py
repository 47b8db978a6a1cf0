"""The benchmark of quality over seconds."""

import importlib.util
import json
import sys
import time

import cv2
import pytest
import torch
from common import REPO
from mmengine.hooks import EMAHook


@pytest.fixture(autouse=True)
def _threads():
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope='module')
def benchmark():
    spec = importlib.util.spec_from_file_location('time_to_quality', REPO / 'benchmarks' / 'time_to_quality.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_iterations_come_from_the_pace_of_a_whole_training(benchmark):
    small, large = [3.0 + 0.1 * i for i in range(40)], [7.0 + 0.4 * i for i in range(20)]  # crops grow on the way
    timeline = small + large
    assert benchmark.step_time(timeline) == pytest.approx((14.6 - 6.0) / 29)
    assert benchmark.iterations_for(timeline[-1] / 0.95 + 1e-6, timeline) == 60
    pace = 59 / (timeline[-1] - 3.0)
    assert benchmark.iterations_for(30.0, timeline) == 1 + int(25.5 * pace)
    assert benchmark.iterations_for(1.0, timeline) == benchmark.FEWEST


def test_copies_and_only_they_stop_the_clock(benchmark, monkeypatch):
    class Runner:
        iter = 0
        hooks = ()

    monkeypatch.setattr(benchmark, 'copy_state', lambda runner: time.sleep(0.2) or dict(iteration=runner.iter))
    clock = benchmark.Clock(time.perf_counter(), moments=[0.0, 0.001, 0.1], limit=0.15, fewest=3)
    with pytest.raises(benchmark.Enough):
        for i in range(20):
            Runner.iter = i
            time.sleep(0.05)
            clock.after_train_iter(Runner, i)
    assert [c[0] for c in clock.copies] == [0.001, 0.1]  # one copy where two moments have passed
    assert clock.paused > 0.4 and 0.15 <= clock.timeline[-1] < 0.3
    assert all(at >= moment and state['iteration'] == i - 1 for moment, at, i, state in clock.copies)


def test_a_copy_is_the_average_where_a_recipe_has_one(benchmark, monkeypatch):
    class Average(EMAHook):
        def __init__(self):
            pass

        def before_val_epoch(self, runner):
            runner.weights = 'average'

        def after_val_epoch(self, runner, metrics=None):
            runner.weights = 'trained'

    class Runner:
        iter = 0
        hooks = (Average(),)
        weights = 'trained'

    monkeypatch.setattr(benchmark, 'copy_state', lambda runner: runner.weights)
    clock = benchmark.Clock(time.perf_counter(), moments=[0.0])
    clock.after_train_iter(Runner, 0)
    assert clock.copies[0][3] == 'average' and Runner.weights == 'trained'


def test_what_is_reached_is_the_earliest_mean_over_the_seeds(benchmark):
    students, scores = [], []
    for seed, better in ((0, 0.0), (1, 0.02)):
        for budget, moment, seconds, vif in ((20, 10, 10.5, 1.0), (20, 20, 20.5, 0.9), (60, 60, 61.0, 1.01)):
            students.append(benchmark.Student(budget, seed, moment, seconds, 100, {}))
            scores.append(dict.fromkeys(benchmark.COLUMNS, 0.5) | dict(VIF=vif - better, Qabf=0.7))
    rows = benchmark.summarise(students, scores)
    assert [(r['budget'], r['end'], r['seeds']) for r in rows] == [
        (20, False, [0, 1]),
        (20, True, [0, 1]),
        (60, True, [0, 1]),
    ]
    assert rows[0]['mean']['VIF'] == pytest.approx(0.99) and rows[0]['std']['VIF'] == pytest.approx(0.01)
    assert benchmark.first_to_reach(rows, True, 0.996, 0.678)['budget'] == 60
    assert benchmark.first_to_reach(rows, False, 0.98, 0.678)['end'] is False
    assert benchmark.first_to_reach(rows, False, 0.996, 0.71) is None
    assert 'not reached' in benchmark.reached_lines(dict(MSRS=dict(rows=rows[:2])))[0]
    assert 'No set is called MSRS' in benchmark.reached_lines({})[0]


def test_quick(benchmark, tmp_path, monkeypatch, capsys):
    arguments = ['time_to_quality.py', '--quick', '--threads', '1', '--out', str(tmp_path / 'out')]
    monkeypatch.setattr(sys, 'argv', [*arguments, '--cfg-options', 'model.student.width=16'])
    benchmark.main()
    out = capsys.readouterr().out
    assert 'VIF 0.996 and Qabf 0.678 on MSRS' in out and '100 epochs' in out
    result = json.loads((tmp_path / 'out/time_to_quality.json').read_text())
    header = result['header']
    assert header['threads'] == 1 and header['seeds'] == [0, 1] and header['protocol'] == 'cddfuse-1'
    assert [(t['budget'], t['seed']) for t in result['trainings']] == [(0.5, 0), (1.0, 0), (0.5, 1), (1.0, 1)]
    images = result['sets']['MSRS']
    assert images['pairs'] == 2 and {'maximum', 'SeAFusion'} == set(images['references'])
    ends = [row for row in images['rows'] if row['end']]
    assert sorted(row['budget'] for row in ends) == [0.5, 1.0] and len(images['rows']) > 2
    assert all(row['mean'].keys() == {'VIF', 'Qabf', 'score', 'SCD', 'target', 'Nabf'} for row in images['rows'])
    paper = result['paper']
    assert len(paper['step_seconds']) == 2 and paper['seconds']['100'] == pytest.approx(50 * paper['seconds']['2'])
    text = (tmp_path / 'out/time_to_quality.md').read_text()
    assert 'figures mean nothing' in text and 'published, protocol `hybridfusion`' in text
    assert cv2.imread(str(tmp_path / 'out/time_to_quality.png')).std() > 5


def test_the_rule_is_that_of_the_tables(benchmark, tmp_path, scene_folder):
    from fusionkd.evaluation import ImageSet, evaluate_folders

    student = dict(type='SwiftFuser', width=16, stem=1)
    references = benchmark.score_students([], student, scene_folder / 'test', 0, False)[1]
    folder = scene_folder / 'test'
    sets = ImageSet('test', folder / 'ir', folder / 'vi', dict(vis=folder / 'vi'))
    table = evaluate_folders(sets, metrics=['VIF', 'Qabf', 'SCD', 'Nabf'])
    row = next(r for r in table.rows if r.method == 'maximum')
    for column in benchmark.COLUMNS:
        assert references['maximum'][column] == pytest.approx(row.mean(column), nan_ok=True), column
