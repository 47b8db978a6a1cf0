"""The Runner's side, with the smallest possible run."""

import json

import numpy as np
import pytest
import torch
from common import REPO
from mmengine.hooks import Hook

from fusionkd.engine.checkpoint import read_checkpoint, save_weights
from fusionkd.engine.config import build_runner, enable_amp, load_config
from fusionkd.engine.hooks import CropSizeHook
from fusionkd.registry import HOOKS, MODELS


def config(tmp_path, folder, iters=4, agent=True, **options):
    """A distillation of a toy by a toy on twelve small scenes."""
    path = tmp_path / 'toy.py'
    path.write_text(
        f"""
_base_ = [
    '{REPO}/configs/_base_/datasets/msrs.py',
    '{REPO}/configs/_base_/schedules/one_cycle.py',
    '{REPO}/configs/_base_/default_runtime.py',
]
model = dict(
    type='FusionDistiller',
    student=dict(type='ToyFuser', dropout=0.3),
    teachers=[dict(type='ToyFuser', channels=3)],
    terms=[
        dict(name='self', loss=dict(type='FusionLoss', window=11), on='hard', space='rgb'),
        dict(name='guide', loss=dict(type='L1Loss'), target='teacher', weight='agent'),
    ],
    hard_samples=dict(type='HardSampleGenerator', strength='agent'),
)
train_dataloader = dict(batch_size=2)
if {agent}:
    custom_hooks = [dict(type='AgentHook', interval=1, agent=dict(type='PPOAgent', rollout=2, minibatches=1), probe=dict(
        dataset=dict(type='PairedFusionDataset', data_root='x', part='val', val_every=2, name='probe',
            pipeline=[dict(type='LoadImagePair'), dict(type='PackFusionInputs')]), num=2, size=48))]
"""
    )
    base = {
        'train_dataloader.dataset.pipeline.1.size': 48,
        'train_dataloader.dataset.val_every': 2,
        'val_dataloader.dataset.val_every': 2,
        'train_cfg.max_iters': iters,
        'train_cfg.val_interval': 2,
        'default_hooks.checkpoint.interval': 2,
        'default_hooks.checkpoint.max_keep_ckpts': -1,
        'visualizer.vis_backends': [],
    }
    cfg = load_config(path, base | options, str(folder))
    cfg.work_dir = str(tmp_path / 'work')
    return cfg


@pytest.fixture
def run(scene_folder):
    def start(tmp_path, **options):
        tmp_path.mkdir(exist_ok=True)
        cfg = config(tmp_path, scene_folder, **options)
        runner = build_runner(cfg)
        runner.train()
        return runner

    return start


def checkpoint(runner, iteration):
    return read_checkpoint(f'{runner.work_dir}/iter_{iteration}.pth')


def same(a, b):
    if isinstance(a, torch.Tensor | np.ndarray):
        return np.array_equal(np.asarray(a), np.asarray(b))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return a == b or (isinstance(a, float) and np.isnan(a) and np.isnan(b))


@pytest.mark.parametrize('agent', ['PPOAgent', 'LinUCBAgent'])
def test_two_and_two_iterations_equal_four(run, tmp_path, agent):
    """Student, optimiser, agent, its buffer and every generator go on as if nothing had happened."""
    options = {'custom_hooks.0.agent': dict(type=agent, _delete_=True)}
    straight = run(tmp_path / 'straight', **options)
    first = run(tmp_path / 'resumed', **options)  # the same, then forget the second half
    for name in ('iter_4.pth', 'agent.jsonl'):
        (tmp_path / 'resumed/work' / name).unlink()
    resumed = run(tmp_path / 'resumed', **options, resume=True, load_from=f'{first.work_dir}/iter_2.pth')
    a, b = checkpoint(straight, 4), checkpoint(resumed, 4)
    for key in ('state_dict', 'optimizer', 'param_schedulers', 'agent', 'random_state', 'student_best_score'):
        assert same(a[key], b[key]), key
    logs = [(tmp_path / name / 'work/agent.jsonl').read_text() for name in ('straight', 'resumed')]
    assert logs[0] == logs[1] and len(logs[0].splitlines()) == 5


@HOOKS.register_module()
class CropSides(Hook):
    seen = []

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.seen.append((runner.iter, *data_batch['inputs']['ir'][0].shape[-2:]))


@pytest.mark.parametrize('workers', [0, 1])
def test_crops_grow_with_the_training_and_a_resumed_one_goes_on(run, tmp_path, workers, monkeypatch):
    monkeypatch.setattr(CropSides, 'seen', [])
    options = {
        'agent': False,
        'train_dataloader.num_workers': workers,
        'train_dataloader.persistent_workers': bool(workers),
        'custom_hooks': [
            dict(type='CropSizeHook', sizes=[(0, 24), (0.5, (32, 40)), (0.75, 48)]),
            dict(type='CropSides'),
        ],
    }
    straight = run(tmp_path / 'straight', **options)
    expected = [(0, 24, 24), (1, 24, 24), (2, 32, 40), (3, 48, 48)]
    assert CropSides.seen == expected
    assert straight.train_dataloader.dataset.pipeline.transforms[1].size == (48, 48)  # as in the recipe
    first = run(tmp_path / 'resumed', **options)
    (tmp_path / 'resumed/work/iter_4.pth').unlink()
    CropSides.seen.clear()
    run(tmp_path / 'resumed', **options, resume=True, load_from=f'{first.work_dir}/iter_2.pth')
    assert CropSides.seen == expected[2:]
    if not workers:
        a, b = (read_checkpoint(tmp_path / name / 'work/iter_4.pth') for name in ('straight', 'resumed'))
        assert same(a['state_dict'], b['state_dict'])


@pytest.mark.parametrize('sizes', [[], [(0.1, 24)], [(0, 24), (0, 48)], [(0, 24), (1, 48)]])
def test_crop_sizes_that_make_no_sense_are_refused(sizes):
    with pytest.raises(ValueError, match='begin with 0 and ascend below 1'):
        CropSizeHook(sizes)


def test_crop_sizes_need_crops(run, tmp_path):
    pipeline = [dict(type='LoadImagePair'), dict(type='PackFusionInputs')]
    options = {'train_dataloader.dataset.pipeline': pipeline, 'train_dataloader.batch_size': 1}
    with pytest.raises(ValueError, match='CropSizeHook needs RandomCropPair'):
        run(tmp_path, agent=False, custom_hooks=[dict(type='CropSizeHook', sizes=[(0, 24)])], **options)


EVERYTHING = {
    'model.teachers': [dict(type='ToyFuser', channels=3, name='a'), dict(type='ToyFuser', channels=2, name='b')],
    'model.terms': [
        dict(name='self', loss=dict(type='FusionLoss', window=11), on='hard'),
        dict(name='clean', loss=dict(type='FusionLoss', window=11)),
        dict(name='guide', loss=dict(type='L1Loss'), target='teacher', weight='agent'),
    ],
    'train_cfg.val_interval': 6,
    'default_hooks.checkpoint.interval': 3,
    'param_scheduler': [dict(type='ExponentialLR', gamma=0.9, by_epoch=False)],
}
STAGES = [dict(name='warmup', until=0.8, weights=dict(guide=0.5)), dict(name='rest', hard=dict(op='blur'))]


def everything(folder):
    """An agent with every control, one for samples, stages and averaged weights."""
    probe = dict(
        dataset=dict(
            type='PairedFusionDataset',
            data_root=str(folder),
            part='val',
            val_every=2,
            pipeline=[dict(type='LoadImagePair'), dict(type='PackFusionInputs')],
        ),
        num=2,
        size=48,
        degraded=dict(ops=['rain', 'smoke']),
    )
    controls = ('guide', 'hard_strength', 'hard_op', 'hard_share', 'teacher', 'end_stage')
    observation = ['StudentPerformance', 'TeacherGap', 'TermLosses', 'LastAction', 'CurrentStage', 'Progress']
    observation += [
        dict(type='ProbeMetrics', metrics=['MI'], every=2),
        dict(type='GradientAlignment', every=2),
        dict(type='GeneralisationGap', every=3),
        dict(type='FeatureGap', tap_s='body', tap_t='body'),
    ]
    rewards = [dict(type='ScoreGain', detrend=True), dict(type='GeneralisationGain'), dict(type='Cost')]
    agent = dict(
        type='AgentHook',
        interval=1,
        agent=dict(type='PPOAgent', rollout=2, minibatches=1),
        probe=probe,
        observation=observation,
        reward=dict(type='Rewards', rewards=rewards),
        actions=dict.fromkeys(controls) | dict(lr=(0.5, 2.0)),
        smoothing=0.5,
        sample_agent=dict(agent=dict(type='PPOAgent', rollout=4, seed=3)),
    )
    return {'custom_hooks': [dict(type='StudentEMAHook'), dict(type='StageHook', stages=STAGES, min_length=0.3), agent]}


def test_a_run_with_everything_resumes_exactly(run, tmp_path, scene_folder):
    """3 + 3 iterations are 6: both agents, what they know of every sample, the stage, the rate, the averaged weights."""
    options = EVERYTHING | everything(scene_folder) | dict(iters=6)
    straight = run(tmp_path / 'straight', agent=False, **options)
    first = run(tmp_path / 'resumed', agent=False, **options)
    (tmp_path / 'resumed' / 'work' / 'iter_6.pth').unlink()
    resumed = run(tmp_path / 'resumed', agent=False, resume=True, load_from=f'{first.work_dir}/iter_3.pth', **options)
    a, b = checkpoint(straight, 6), checkpoint(resumed, 6)
    for key in ('state_dict', 'ema_state_dict', 'optimizer', 'param_schedulers', 'agent', 'stages', 'random_state'):
        assert same(a[key], b[key]), key
    logs = [(tmp_path / name / 'work/agent.jsonl').read_text() for name in ('straight', 'resumed')]
    assert logs[0] == logs[1]

    decisions = [json.loads(line) for line in logs[0].splitlines()]
    assert {d['stage'] for d in decisions} == {'warmup', 'rest'}
    assert straight.model.hard_samples.op == 'blur'  # the stage's, whatever the agent wants
    assert straight.model.terms['guide'].weight == decisions[-2]['action']['guide']
    assert decisions[1]['samples'].keys() >= {'hard_strength'} and decisions[0]['samples'] == {}
    assert any('learning/loss' in d['samples'] for d in decisions)
    assert len(a['agent']['samples']['visits']) == 7  # all pairs of the training part
    # the checkpoint has the scheduled rate, though the agent trains with another
    assert a['optimizer']['param_groups'][0]['lr'] == pytest.approx(3e-3 * 0.9**5)  # mmengine's do not step at the end
    assert len({d['action']['lr'] for d in decisions[:-1]}) > 1


def test_the_agent_measures_the_averaged_weights(run, tmp_path, scene_folder):
    scores = []
    for averaged in (True, False):
        hooks = everything(scene_folder)['custom_hooks']
        hooks[2] |= dict(agent=dict(type='FixedAgent'), sample_agent=None, interval=4)
        hooks[2]['probe'] |= dict(averaged=averaged)
        hooks[0] |= dict(momentum=0.001, gamma=1)
        runner = run(tmp_path / str(averaged), agent=False, **EVERYTHING | dict(custom_hooks=hooks, iters=4))
        hook = next(h for h in runner.hooks if type(h).__name__ == 'AgentHook')
        scores.append(hook.scheduler.decisions[-1].score)
        own, _ = hook.scheduler.probe.measure(runner.model.student)  # which the average has been left in
        assert (own['score'] == scores[-1]) == averaged
    assert scores[0] != scores[1]


def test_a_checkpoint_holds_no_teacher_and_no_perceptual_network(run, tmp_path):
    term = dict(name='vgg', loss=dict(type='PerceptualLoss', layers=['conv1_1'], weights=None), target='teacher')
    runner = run(tmp_path, iters=2, agent=False, **{'model.terms.1': term})
    keys = checkpoint(runner, 2)['state_dict']
    assert {k.split('.')[0] for k in keys} == {'student', 'hard_samples'}


def test_outputs_of_a_run(run, tmp_path):
    save_weights(MODELS.build(dict(type='ToyFuser', dropout=0.3)), tmp_path / 'start.pth')
    start = dict(type='Pretrained', checkpoint=str(tmp_path / 'start.pth'))
    runner = run(tmp_path, **{'model.student.init_cfg': start})
    work = tmp_path / 'work'
    assert {'student_best.pth', 'student_best.json', 'iter_4.pth', 'agent.jsonl', 'agent.png'} <= {
        p.name for p in work.iterdir()
    }
    assert list(work.glob('best_score_iter_*.pth'))
    decisions = [json.loads(line) for line in (work / 'agent.jsonl').read_text().splitlines()]
    assert [d['step'] for d in decisions] == [0, 1, 2, 3, 4]
    assert decisions[0]['reward'] is None and all(d['reward'] is not None for d in decisions[1:])
    controls = {'guide', 'hard_strength', 'hard_op', 'hard_share'}
    assert all(set(d['action']) == controls for d in decisions[:-1]) and decisions[-1]['action'] == {}
    assert any('approx_kl' in d['learning'] for d in decisions)
    assert {'student/score', 'gap/toyfuser/pixels', 'progress'} <= set(decisions[0]['observation'])
    # what the agent decided is what was in force
    assert runner.model.terms['guide'].weight == pytest.approx(decisions[-2]['action']['guide'])
    gain = 100 * (decisions[2]['score'] - decisions[1]['score'])
    assert decisions[2]['reward'] == pytest.approx(gain)
    card = json.loads((work / 'student_best.json').read_text())
    assert card['fuser']['type'] == 'ToyFuser' and card['recipe'] == 'toy.py'
    assert 'init_cfg' not in card['fuser'], 'the file holds the weights, whatever they began as'


def test_the_best_student_is_kept_not_the_last(run, tmp_path, monkeypatch):
    from fusionkd.evaluation import FusionMetric

    scores = iter([0.9, 0.1])
    monkeypatch.setattr(FusionMetric, 'compute_metrics', lambda self, results: dict(score=next(scores)))
    runner = run(tmp_path, agent=False)
    best = torch.load(tmp_path / 'work/student_best.pth', weights_only=True)
    state = checkpoint(runner, 2)['state_dict']
    assert all(torch.equal(v, state[f'student.{k}']) for k, v in best.items())
    assert (tmp_path / 'work/best_score_iter_2.pth').is_file()


def test_validation_does_not_change_the_training(run, tmp_path):
    often = run(tmp_path / 'a', agent=False, **{'train_cfg.val_interval': 1})
    seldom = run(tmp_path / 'b', agent=False, **{'train_cfg.val_interval': 4})
    assert same(checkpoint(often, 4)['state_dict'], checkpoint(seldom, 4)['state_dict'])


def test_the_probe_may_not_be_trained_or_tested_on(run, tmp_path):
    with pytest.raises(ValueError, match=r'probe pairs are also training pairs.*part=.val'):
        run(tmp_path / 'a', **{'train_dataloader.dataset.part': 'all'})
    folders = dict(ir='train/ir', vis='train/vi')
    with pytest.raises(ValueError, match='probe pairs are also test pairs'):
        run(tmp_path / 'b', **{'test_dataloader.dataset.data_prefix': folders})


def test_the_agent_may_only_set_what_it_was_given(run, tmp_path):
    with pytest.raises(ValueError, match=r"actions names \['self'\].*there are: guide, hard_strength"):
        run(tmp_path, **{'custom_hooks.0.actions': dict(self=(0, 1))})


def test_mixed_precision(run, tmp_path, scene_folder):
    seen = []
    cfg = config(tmp_path, scene_folder, iters=1, agent=False)
    enable_amp(cfg)
    runner = build_runner(cfg)
    runner.model.student.body.register_forward_hook(lambda m, i, output: seen.append((output.dtype, m.training)))
    runner.train()
    assert (torch.bfloat16, True) in seen and (torch.float32, False) in seen


def test_a_schedule_ends_with_its_training(tmp_path, scene_folder):
    cfg = config(tmp_path, scene_folder, iters=7)
    assert cfg.param_scheduler[0].total_steps == 7
    plain = load_config(tmp_path / 'toy.py')
    assert plain.param_scheduler[0].total_steps == plain.train_cfg.max_iters == 1000


def test_missing_data_fails_before_the_training(tmp_path, scene_folder):
    cfg = config(tmp_path, scene_folder, **{'test_dataloader.dataset.data_prefix.ir': 'nowhere/ir'})
    with pytest.raises(FileNotFoundError, match=r'nowhere/ir.*prepare_data.py msrs'):
        build_runner(cfg)
    with pytest.raises(FileNotFoundError, match=r'config not found: .*none.py'):
        load_config(tmp_path / 'none.py')


def test_options_are_read_and_left_as_they_are():
    options = {'model.student': dict(_delete_=True, type='SwiftFuser', width=8)}
    for _ in range(2):
        config = load_config(REPO / 'configs/swift_minute_msrs.py', options)
        assert config.model.student.to_dict() == dict(type='SwiftFuser', width=8)


def test_data_root_replaces_every_root(tmp_path, scene_folder):
    cfg = config(tmp_path, scene_folder)
    roots = [cfg.train_dataloader.dataset.data_root, cfg.val_dataloader.dataset.data_root]
    roots += [cfg.test_dataloader.dataset.data_root, cfg.custom_hooks[0].probe.dataset.data_root]
    assert roots == [str(scene_folder)] * 4


AVERAGED = {'custom_hooks': [dict(type='StudentEMAHook', momentum=0.5)], 'train_cfg.val_interval': 4}


@pytest.mark.parametrize('validated', [True, False])
def test_averaged_weights_are_what_is_left(run, tmp_path, validated):
    options = AVERAGED | ({} if validated else {'train_cfg.val_interval': 100})
    runner = run(tmp_path, agent=False, **options)
    saved = torch.load(f'{runner.work_dir}/student_best.pth', weights_only=True)
    last = checkpoint(runner, 4)
    # mmengine stores the average where the weights usually are, and the weights beside it.
    average = {k.removeprefix('student.'): v for k, v in last['state_dict'].items() if k.startswith('student.')}
    raw = {k.removeprefix('module.student.'): v for k, v in last['ema_state_dict'].items() if 'student.' in k}
    assert same(saved, average)
    assert same(saved, dict(runner.model.student.state_dict()))
    assert not same(saved, raw)


def test_averaged_training_resumes_exactly(run, tmp_path):
    options = AVERAGED | {'train_cfg.val_interval': 2}
    straight = run(tmp_path / 'straight', agent=False, **options)
    first = run(tmp_path / 'resumed', agent=False, **options)  # the same, then forget the second half
    (tmp_path / 'resumed' / 'work' / 'iter_4.pth').unlink()
    load_from = f'{first.work_dir}/iter_2.pth'
    resumed = run(tmp_path / 'resumed', agent=False, resume=True, load_from=load_from, **options)
    a, b = checkpoint(straight, 4), checkpoint(resumed, 4)
    for key in ('ema_state_dict', 'state_dict', 'optimizer'):
        assert same(a[key], b[key]), key
