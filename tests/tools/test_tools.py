"""Tools, run as a user runs them, from another folder."""

import json
import subprocess
import sys

import pytest
from common import REPO

from fusionkd.fileio import read_image

SMALL = ['train_cfg.max_iters=2', 'train_cfg.val_interval=1', 'default_hooks.checkpoint.interval=1']
SMALL += ['train_dataloader.batch_size=2', 'train_dataloader.dataset.pipeline.1.size=48']
SMALL += ['train_dataloader.dataset.val_every=2', 'val_dataloader.dataset.val_every=2']
SMALL += ['custom_hooks.0.probe.dataset.val_every=2', 'custom_hooks.0.probe.num=2', 'custom_hooks.0.interval=1']


def tool(name, *arguments, cwd, status=0):
    command = [sys.executable, str(REPO / 'tools' / name), *map(str, arguments)]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == status, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout + done.stderr


@pytest.fixture(scope='module')
def trained(tmp_path_factory, scene_folder):
    """Folder in which rl_distill_msrs.py was trained for two iterations."""
    cwd = tmp_path_factory.mktemp('user')
    out = tool(
        'train.py', REPO / 'configs/rl_distill_msrs.py', '--data-root', scene_folder, '--cfg-options', *SMALL, cwd=cwd
    )
    return cwd, cwd / 'work_dirs' / 'rl_distill_msrs', out


def test_training_writes_what_was_promised(trained):
    _, work, out = trained
    names = {p.name for p in work.iterdir()}
    assert {
        'student_best.pth',
        'student_best.json',
        'iter_2.pth',
        'last_checkpoint',
        'agent.jsonl',
        'agent.png',
    } <= names
    assert {'results.txt', 'results.md', 'results.csv', 'results.json', 'results_per_image.csv', 'panel.png'} <= names
    assert list(work.glob('best_score_iter_*.pth')) and list(work.glob('*/vis_data/events.out.tfevents.*'))
    assert (work / 'results.txt').read_text().splitlines()[1] in out
    rows = json.loads((work / 'results.json').read_text())['rows']
    assert {'student', 'copy ir', 'copy vis', 'average', 'maximum'} <= {row['method'] for row in rows}


@pytest.mark.parametrize('which', ['student_best.pth', 'best'])
def test_testing_prints_the_same_numbers(trained, scene_folder, which):
    cwd, work, _ = trained
    checkpoint = next(work.glob('best_score_iter_*.pth')) if which == 'best' else work / which
    options = ['--work-dir', 'tested', '--save-images']
    tool('test.py', REPO / 'configs/rl_distill_msrs.py', checkpoint, '--data-root', scene_folder, *options, cwd=cwd)
    assert (cwd / 'tested/results.json').read_text() == (work / 'results.json').read_text()
    assert len(list((cwd / 'tested/images/MSRS').glob('*.png'))) == 3


def test_several_test_sets_are_one_row_each(trained, scene_folder):
    cwd, work, _ = trained
    sets = ['--test-set', f'first={scene_folder}/test', f'second={scene_folder}/train', '--work-dir', 'sets']
    out = tool('test.py', REPO / 'configs/rl_distill_msrs.py', work / 'student_best.pth', *sets, cwd=cwd)
    rows = json.loads((cwd / 'sets/results.json').read_text())['rows']
    assert [(r['set'], r['images']) for r in rows if r['method'] == 'student'] == [('first', 3), ('second', 12)]
    assert 'second' in out
    assert 'NAME=DIR' in tool(
        'test.py', REPO / 'configs/rl_distill_demo.py', 'x', '--test-set', 'dir', cwd=cwd, status=1
    )


def test_resuming_goes_on(trained, scene_folder):
    cwd, work, _ = trained
    options = [*SMALL[1:], 'train_cfg.max_iters=3']
    arguments = ['--data-root', scene_folder, '--resume', '--cfg-options', *options]
    out = tool('train.py', REPO / 'configs/rl_distill_msrs.py', *arguments, '--work-dir', work, cwd=cwd)
    assert 'resumed epoch: 0, iter: 2' in out
    steps = [json.loads(line)['step'] for line in (work / 'agent.jsonl').read_text().splitlines()]
    assert steps == [0, 1, 2, 2, 3]  # the run had ended at 2; prolonged, it decides again there


def test_wrong_weights_and_missing_data_are_explained(trained, tmp_path):
    cwd, _, _ = trained
    out = tool('test.py', REPO / 'configs/rl_distill_demo.py', 'seafusion', cwd=cwd, status=1)
    assert 'no key matches, it is a checkpoint of another network' in out
    out = tool('train.py', REPO / 'configs/rl_distill_msrs.py', '--data-root', tmp_path / 'no', cwd=cwd, status=1)
    assert 'python tools/prepare_data.py msrs' in out


def test_fusing(trained, scene_folder, tmp_path):
    cwd, work, _ = trained
    student = ['--student', work / 'student_best.pth']
    ir, vis = scene_folder / 'test/ir', scene_folder / 'test/vi'
    out = tool('fuse.py', '--ir', ir, '--vis', vis, '--out', tmp_path / 'all', *student, cwd=cwd)
    assert '3 fused images' in out and len(list((tmp_path / 'all').iterdir())) == 3
    tool(
        'fuse.py',
        '--ir',
        ir / '00000.png',
        '--vis',
        vis / '00000.png',
        '--out',
        tmp_path / 'one.png',
        *student,
        cwd=cwd,
    )
    assert (read_image(tmp_path / 'one.png') == read_image(tmp_path / 'all/00000.png')).all()
    out = tool('fuse.py', '--ir', ir, '--vis', tmp_path / 'none', '--out', tmp_path / 'x', cwd=cwd, status=1)
    assert 'error:' in out and 'none' in out and 'Traceback' not in out


def test_preparing_data(tmp_path, scene_folder):
    out = tool('prepare_data.py', 'msrs', '--root', scene_folder, cwd=tmp_path, status=1)
    assert 'has 12 complete pairs, msrs has 1083' in out and 'github.com/Linfeng-Tang/MSRS' in out
    assert 'M3FD_Fusion.zip' in tool('prepare_data.py', 'm3fd', cwd=tmp_path, status=1)


def test_a_student_of_ones_own(tmp_path):
    """The documented example: a student outside the package, trained and tested by the tools."""
    recipe = REPO / 'demo/custom_student/contrast_student_demo.py'
    options = ['train_cfg.max_iters=2', 'train_cfg.val_interval=2', 'train_dataloader.batch_size=2']
    for loader in ('train', 'val', 'test'):
        options += [f'{loader}_dataloader.dataset.num=2', f'{loader}_dataloader.dataset.size=64,96']
    options += ['train_dataloader.dataset.pipeline.0.size=48', 'custom_hooks.0.probe.num=2']
    options += ['custom_hooks.0.probe.dataset.num=2', 'custom_hooks.0.probe.dataset.size=64,96']
    tool('train.py', recipe, '--cfg-options', *options, cwd=tmp_path)
    work = tmp_path / 'work_dirs/contrast_student_demo'
    assert json.loads((work / 'student_best.json').read_text())['fuser'] == dict(type='ContrastStudent', width=8)
    tool('test.py', recipe, work / 'student_best.pth', '--work-dir', 'tested', '--cfg-options', *options, cwd=tmp_path)
    assert (tmp_path / 'tested/results.json').read_text() == (work / 'results.json').read_text()
