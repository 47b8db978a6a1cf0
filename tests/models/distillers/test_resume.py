"""What terms and teachers keep is in the checkpoint: 2 + 2 iterations equal 4."""

import torch
from common import REPO

from fusionkd.engine.checkpoint import read_checkpoint
from fusionkd.engine.config import build_runner, load_config


def train(folder, data, cache, **options):
    folder.mkdir(exist_ok=True)
    path = folder / 'recipe.py'
    path.write_text(
        f"""
_base_ = [
    '{REPO}/configs/_base_/datasets/msrs.py',
    '{REPO}/configs/_base_/schedules/one_cycle.py',
    '{REPO}/configs/_base_/default_runtime.py',
]
taps = dict(target='teacher:toyfuser', tap_s='body', tap_t='body')
model = dict(
    type='FusionDistiller',
    student=dict(type='ToyFuser', dropout=0.3),
    teachers=[
        dict(type='ToyFuser', channels=3, cache=dict(type='{cache}')),
        dict(type='EMATeacher', name='ema', momentum=0.2),
    ],
    terms=[
        dict(name='self', loss=dict(type='FusionLoss', window=11), on='hard', space='rgb'),
        dict(name='guide', loss=dict(type='L1Loss')),
        dict(name='mgd', loss=dict(type='MaskedGenerativeLoss'), **taps),
        dict(name='margin', loss=dict(type='MarginLoss'), **taps),
    ],
    hard_samples=dict(type='HardSampleGenerator'),
)
"""
    )
    base = {
        'train_dataloader.batch_size': 2,
        'train_dataloader.dataset.pipeline.1.size': 48,
        'train_cfg.max_iters': 4,
        'train_cfg.val_interval': 2,
        'val_dataloader.dataset.val_every': 2,
        'default_hooks.checkpoint.interval': 2,
        'default_hooks.checkpoint.max_keep_ckpts': -1,
        'visualizer.vis_backends': [],
    }
    config = load_config(path, base | options, str(data))
    config.work_dir = str(folder / 'work')
    runner = build_runner(config)
    runner.train()
    return read_checkpoint(folder / 'work' / 'iter_4.pth')


def test_two_and_two_iterations_equal_four(tmp_path, scene_folder, monkeypatch):
    monkeypatch.chdir(tmp_path)
    straight = train(tmp_path / 'straight', scene_folder, 'memory')
    train(tmp_path / 'resumed', scene_folder, 'disk')
    (tmp_path / 'resumed' / 'work' / 'iter_4.pth').unlink()
    resumed = train(
        tmp_path / 'resumed',
        scene_folder,
        'memory',  # where an image is kept changes nothing
        resume=True,
        load_from=str(tmp_path / 'resumed' / 'work' / 'iter_2.pth'),
    )
    a, b = straight['state_dict'], resumed['state_dict']
    assert a.keys() == b.keys() and {'averages.ema.updates', 'terms.margin.loss.negative_sum'} <= a.keys()
    assert all(torch.equal(v, b[k]) if isinstance(v, torch.Tensor) else str(v) == str(b[k]) for k, v in a.items())
    assert int(a['averages.ema.updates']) == 4
    student = read_checkpoint(tmp_path / 'straight' / 'work' / 'student_best.pth')
    assert set(student) == {'body.weight', 'body.bias', 'head.weight', 'head.bias'}
