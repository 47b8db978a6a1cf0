"""Fixtures that several tools share."""

import importlib.util
import sys

import pytest
import torch
from common import REPO


@pytest.fixture
def call_tool(tmp_path, monkeypatch, capsys):
    """Runs a tool in this process, in a folder of its own; its output."""
    threads = torch.get_num_threads()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('OMP_NUM_THREADS', '1')

    def call(name, *arguments, status=0):
        spec = importlib.util.spec_from_file_location(f'tool_{name}', REPO / 'tools' / f'{name}.py')
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        monkeypatch.setattr(sys, 'argv', [f'{name}.py', *map(str, arguments)])
        result = module.main()
        done = capsys.readouterr()
        assert result == status, done.out + done.err
        return done.out + done.err

    yield call
    torch.set_num_threads(threads)


@pytest.fixture
def agent_recipe(tmp_path):
    """A recipe with an agent, arms and a second agent in one of them, that trains in a moment on the twelve small scenes."""
    path = tmp_path / 'agents.py'
    path.write_text(
        f"""
_base_ = [
    '{REPO}/configs/_base_/datasets/msrs.py',
    '{REPO}/configs/_base_/schedules/swift.py',
    '{REPO}/configs/_base_/default_runtime.py',
]
model = dict(
    type='FusionDistiller',
    student=dict(type='SwiftFuser', width=4, stem=1),
    teachers=[dict(type='SwiftFuser', name='t', width=8, stem=1)],
    terms=[
        dict(name='self', loss=dict(type='FusionLoss', window=11), on='hard'),
        dict(name='guide', loss=dict(type='L1Loss'), weight='agent'),
    ],
    hard_samples=dict(type='HardSampleGenerator', ops=['blur', 'noise'], strength='agent'),
)
train_dataloader = dict(batch_size=2, dataset=dict(val_every=2))
train_dataloader['dataset']['pipeline'] = [
    dict(type='LoadImagePair', cache_mb=64),
    dict(type='RandomCropPair', size=48),
    dict(type='PackFusionInputs'),
]
val_dataloader = dict(dataset=dict(val_every=2))
train_cfg = dict(max_iters=4)
custom_hooks = [
    dict(type='StudentEMAHook'),
    dict(
        type='AgentHook',
        interval=2,
        agent=dict(type='PPOAgent', rollout=4, minibatches=1),
        actions=dict(guide=(0.0, 4.0, 1.0), hard_op=None),
        probe=dict(
            dataset=dict(
                type='PairedFusionDataset',
                data_root='x',
                part='val',
                val_every=2,
                pipeline=[dict(type='LoadImagePair'), dict(type='PackFusionInputs')],
            ),
            num=2,
            size=48,
            degraded=dict(ops=['rain']),
        ),
    ),
]
study = dict(unseen=dict(near=['smoke'], far=['occlusion']), strength=0.5)
arms = {{
    'scratch': {{'model.terms.1.weight': 0.0, 'custom_hooks': [dict(type='StudentEMAHook')]}},
    'ppo': {{}},
    'pretrained': {{'custom_hooks.1.agent.init_from': 'policy.pth'}},
}}
"""
    )
    return path
