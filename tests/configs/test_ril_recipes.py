"""The fusion recipes of RIL run, resume exactly, outlive a judge that is down, and their study runs in miniature."""

import json
import subprocess
import sys
from pathlib import Path

import cv2
import pytest
import torch
from common import REPO

from fusionkd.engine.checkpoint import read_checkpoint
from fusionkd.engine.config import build_runner, load_config
from fusionkd.models.judges import FusionJudge

FOLDER = REPO / 'configs' / 'ril'
SMALL = {
    'train_cfg.max_iters': 2,
    'train_cfg.val_interval': 2,
    'train_dataloader.batch_size': 2,
    'train_dataloader.dataset.pipeline.1.size': 48,
    'train_dataloader.dataset.val_every': 2,
    'val_dataloader.dataset.val_every': 2,
    'visualizer.vis_backends': [],
    'model.student.backbone.width': 1,
}
TOYS = {
    'model.student.init_cfg': None,
    'model.teachers': [dict(type='FuserResponder', fuser=dict(type='ToyFuser', name=name)) for name in ('a', 'b')],
    'model.pretrain': 1,
    'model.pretrain_num': 2,
    'model.num': 2,
    'custom_hooks.0.window': 2,
    'custom_hooks.1.interval': 3,
}


def miniature(name, folder, work_dir, **options):
    config = load_config(FOLDER / f'{name}.py', SMALL | options, str(folder))
    config.work_dir = str(work_dir)
    return config


def ril(folder, work_dir, **options):
    return miniature('ril_fusion_msrs', folder, work_dir, **TOYS, **options)


def test_the_start_and_the_recipe_run_and_are_tested(scene_folder, tmp_path):
    start = build_runner(miniature('ril_fusion_start', scene_folder, tmp_path / 'start'))
    start.train()
    weights = tmp_path / 'start/student_best.pth'
    first = {'model.student.init_cfg.checkpoint': str(weights), 'train_cfg.max_iters': 1, 'train_cfg.val_interval': 1}
    build_runner(miniature('ril_fusion_teacher', scene_folder, tmp_path / 'teacher', **first)).train()
    student = {'model.student.init_cfg.checkpoint': str(weights)}
    taught = tmp_path / 'teacher/student_best.pth'
    cache = dict(type='disk', folder=str(tmp_path / 'cache'))
    teachers = {'model.teachers.1.fuser.backbone.width': 1, 'model.teachers.1.fuser.init_cfg.checkpoint': str(taught)}
    teachers |= {'model.teachers.1.fuser.cache': cache}
    few = {'model.pretrain': 1, 'model.pretrain_num': 2, 'train_cfg.max_iters': 4, 'train_cfg.val_interval': 4}
    config = miniature('ril_fusion_msrs', scene_folder, tmp_path / 'ril', **student, **teachers, **few)
    config.custom_hooks[1].interval = 2
    dumped = tmp_path / 'recipe.py'
    config.dump(dumped)
    reloaded = load_config(dumped)
    assert reloaded.to_dict() == config.to_dict()
    reloaded.work_dir = config.work_dir
    runner = build_runner(reloaded)
    runner.train()
    assert len(list((tmp_path / 'cache').iterdir())) == 1  # one folder a teacher
    sheet = cv2.imread(str(next((tmp_path / 'ril/sheets').glob('*.png'))))
    assert sheet is not None and sheet.shape[1] > 8 * 48
    state = torch.load(tmp_path / 'ril/student_best.pth', weights_only=True)
    before = torch.load(weights, weights_only=True)
    assert state.keys() == before.keys() and any(not torch.equal(state[k], before[k]) for k in state)
    command = [sys.executable, str(REPO / 'tools/test.py'), str(dumped), str(tmp_path / 'ril/student_best.pth')]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr[-2000:]
    assert 'VIF' in run.stdout


def same(a, b):
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return a == b


def resume(folder, work_dir, checkpoint, **options):
    config = ril(folder, work_dir, **options)
    config.resume, config.load_from = True, str(checkpoint)
    runner = build_runner(config)
    runner.train()
    return runner


LONG = {'model.mu': 2, 'train_cfg.max_iters': 8, 'train_cfg.val_interval': 20}
KEEP = {'default_hooks.checkpoint.interval': 1, 'default_hooks.checkpoint.max_keep_ckpts': -1}
EXACT = ('state_dict', 'optimizer', 'random_state', 'collapse')


@pytest.mark.parametrize(
    'stop', [2, 4, 6]
)  # within the updates of the discriminator, of the student, of the next group
def test_a_run_resumed_in_an_inner_loop_equals_one_that_never_stopped(scene_folder, tmp_path, stop):
    runner = build_runner(ril(scene_folder, tmp_path / 'straight', **LONG, **KEEP))
    runner.train()
    middle = tmp_path / f'straight/iter_{stop}.pth'
    assert read_checkpoint(middle)['state_dict']['_extra_state']['group'] is not None
    resume(scene_folder, tmp_path / 'resumed', middle, **LONG, **KEEP)
    a, b = (read_checkpoint(tmp_path / name / 'iter_8.pth') for name in ('straight', 'resumed'))
    for key in EXACT:
        assert same(a[key], b[key]), key


def test_a_run_whose_judge_is_down_is_saved_and_goes_on(scene_folder, tmp_path, monkeypatch):
    judge = FusionJudge.__call__
    calls = []

    def down(self, queries, outputs, references):
        calls.append(1)
        if len(calls) == 2:
            raise ConnectionError('the judge does not answer')
        return judge(self, queries, outputs, references)

    monkeypatch.setattr(FusionJudge, '__call__', down)
    options = LONG | {'model.mu': 1}
    with pytest.raises(ConnectionError):
        build_runner(ril(scene_folder, tmp_path / 'work', **options)).train()
    saved = Path((tmp_path / 'work/last_checkpoint').read_text())
    assert saved.name == 'iter_4.pth'  # pretraining, D, student, D; the second judgement was to be the fifth
    group = read_checkpoint(saved)['state_dict']['_extra_state']['group']
    assert group['phase'] == 'student' and not group['rewards']
    runner = resume(scene_folder, tmp_path / 'work', saved, **options)
    assert runner.iter == 8 and len(calls) == 4


def test_the_study_in_miniature(scene_folder, tmp_path):
    options = {
        **SMALL,
        'train_cfg.max_iters': 3,
        'train_cfg.val_interval': 3,
        'model.pretrain': 1,
        'model.pretrain_num': 2,
    }
    options |= {'study.updates': 1, 'model.teachers.1.fuser.backbone.width': 1}
    lines = [f'{k}={v}' for k, v in options.items() if 'vis_backends' not in k]
    for name in ('start', 'teacher'):
        recipe = tmp_path / f'ril_fusion_{name}.py'
        recipe.write_text(
            f"_base_ = ['{FOLDER}/ril_fusion_{name}.py']\n"
            'model = dict(student=dict(backbone=dict(width=1)))\n'
            'train_cfg = dict(max_iters=1, val_interval=1)\n'
            'train_dataloader = dict(batch_size=2, dataset=dict(val_every=2))\n'
            'val_dataloader = dict(dataset=dict(val_every=2))\n'
            'test_dataloader = test_evaluator = test_cfg = None\n'
        )
    (tmp_path / 'ril_fusion_msrs.py').write_text(f"_base_ = ['{FOLDER}/ril_fusion_msrs.py']\n")
    command = [sys.executable, str(REPO / 'tools/compare.py'), 'ril_fusion_msrs.py', '--data-root', str(scene_folder)]
    command += ['--seeds', '0', '--arms', 'Dr.GRPO,RIL', '--out', 'study', '--cfg-options', *lines]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout[-2000:] + run.stderr[-2000:]
    assert 'training ril_fusion_teacher.py first' in run.stdout and '3 of 3 runs to do' in run.stdout
    table = (tmp_path / 'study/table.md').read_text()
    assert all(f'| {arm} | 1 |' in table for arm in ('start', 'Dr.GRPO', 'RIL')) and '| RIL - Dr.GRPO |' in table
    outcome = json.loads((tmp_path / 'study/runs/RIL/seed0/run.json').read_text())
    scores = outcome['scores']
    assert scores['mean'] == pytest.approx((scores['VIF'] + 1.5 * scores['Qabf'] + scores['SSIM']) / 3)
    assert 'judge/student' in outcome['logs'] and 'accuracy' in outcome['logs']
