"""The benchmark of training steps."""

import importlib.util
import json
import math
import sys

import pytest
import torch
from common import REPO


@pytest.fixture(autouse=True)
def _threads():
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope='module')
def benchmark():
    spec = importlib.util.spec_from_file_location('train_step', REPO / 'benchmarks' / 'train_step.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def arguments(benchmark, monkeypatch, *options):
    monkeypatch.setattr(sys, 'argv', ['train_step.py', '--quick', '--threads', '1', *map(str, options)])
    args = benchmark.parse_args()
    args.cache = 'cache'
    return args


def test_arms_differ_in_what_they_say(benchmark, monkeypatch, tmp_path):
    args = arguments(benchmark, monkeypatch, '--guide', 'L1Loss')

    def config(arm):
        return benchmark.make_config(args, arm, 'L1Loss', tmp_path)

    def names(config):
        return {term.name for term in config.model.terms}

    recipe = config('RL')
    taught = {term.name for term in recipe.model.terms if benchmark.is_taught(term)}
    assert taught and not names(config('plain')) & taught and not config('plain').model.teachers
    assert names(config('fixed')) == names(recipe) and names(config('plain, a pass for each view')) >= {'pass'}
    agents = {arm: any(h.type == 'AgentHook' for h in config(arm).custom_hooks) for arm in benchmark.ARMS}
    assert agents == {arm: arm.startswith('RL') for arm in benchmark.ARMS}
    caches = {arm: any(t.cache for t in config(arm).model.teachers) for arm in benchmark.ARMS}
    assert caches == {arm: 'cached' in arm for arm in benchmark.ARMS}
    assert not any(term.weight == 'agent' for term in config('fixed').model.terms)
    assert len({term.get('on', 'clean') for term in config('RL, cached, one view').model.terms}) == 1
    assert config('plain, clean samples only').model.hard_samples is None
    interval = next(h.interval for h in recipe.custom_hooks if h.type == 'AgentHook')
    assert recipe.timed % interval == 0 and recipe.train_cfg.max_iters == recipe.warm_up + recipe.timed + 1


def test_ratios_are_of_the_same_round(benchmark):
    times = dict(
        plain=[dict(wall=1.0, cpu=2.0), dict(wall=2.0, cpu=2.0), dict(wall=1.0, cpu=2.0)],
        other=[dict(wall=1.5, cpu=2.2), dict(wall=3.2, cpu=2.6), dict(wall=1.4, cpu=2.0)],
    )
    row = benchmark.summarise(times)[1]
    assert row['wall'] == dict(milliseconds=1500, ratio=1.5, smallest=1.4, largest=1.6)
    assert row['cpu']['ratio'] == pytest.approx(1.1)


def test_it_runs_and_writes_tables(benchmark, monkeypatch, tmp_path):
    out = tmp_path / 'out'
    arguments(benchmark, monkeypatch, '--guide', 'L1Loss', '--arms', 'RL, cached', '--out', out)
    benchmark.main()
    result = json.loads((out / 'train_step.json').read_text())
    (rows,) = result['tables'].values()
    assert [row['arm'] for row in rows] == ['plain', 'RL, cached']
    assert all(
        math.isfinite(row[clock]['milliseconds']) and row[clock]['ratio'] > 0
        for row in rows
        for clock in ('wall', 'cpu')
    )
    text = (out / 'train_step.md').read_text()
    assert '## Guidance: L1Loss' in text and 'a cache pays from visit' in text and 'the figures mean nothing' in text
