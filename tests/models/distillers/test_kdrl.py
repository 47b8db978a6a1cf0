import copy

import pytest
import torch
from common import REPO
from mmengine.structures import BaseDataElement

from fusionkd.datasets.recognition_synthetic import write_class_folders
from fusionkd.engine.checkpoint import read_checkpoint
from fusionkd.engine.config import build_runner, load_config
from fusionkd.engine.hooks.fade_hook import FadeHook, fade
from fusionkd.models.distillers.clusters import ClusterBank
from fusionkd.models.distillers.kdrl import KDRLDistiller, as_map

TINY = dict(channels=(8, 8, 8, 8), stem_width=8)
NETWORK = dict(type='TimmClassifier', model_name='resnet10t', num_classes=3, options=TINY)
TASK = dict(name='task', loss=dict(type='ClassLoss'))
FIRST = [
    TASK,
    dict(name='logits', loss=dict(type='DKDLoss')),
    dict(name='dist', loss=dict(type='DISTLoss')),
    dict(name='maps', loss=dict(type='FeatureLoss'), tap_s='backbone.layer2', tap_t='backbone.layer3'),
    dict(name='features', loss=dict(type='EmbeddingLoss')),
]
SECOND = [
    TASK,
    dict(name='confidence', loss=dict(type='ConfidencePolicyLoss')),
    dict(name='alignment', loss=dict(type='AlignmentPolicyLoss')),
]


def distiller(terms, teacher=True, **options):
    torch.manual_seed(0)
    options = dict(blocks=['backbone.layer3', 'backbone.layer4']) | options if teacher else options
    model = KDRLDistiller(NETWORK, copy.deepcopy(terms), dict(NETWORK) if teacher else None, **options)
    size = model.student.embedding_size
    model.clusters = ClusterBank(torch.randn(3, size), torch.zeros(size), dict(a=0, b=1, c=2, d=2))
    return model


def batch():
    torch.manual_seed(1)
    samples = [BaseDataElement(metainfo=dict(name=n), label=torch.tensor(i % 3)) for i, n in enumerate('abcd')]
    return torch.rand(4, 3, 64, 64), samples


def total(logs):
    return sum(v for k, v in logs.items() if k.startswith('loss_'))


@pytest.mark.parametrize('terms', [FIRST, SECOND])
def test_gradients_reach_student_and_heads_but_not_the_teacher(terms):
    model = distiller(terms)
    logs = model.loss(*batch())
    assert [k for k in logs if k.startswith('loss_')] == [f'loss_{t["name"]}' for t in terms]
    total(logs).backward()
    assert all(p.grad is not None for p in model.student.parameters())
    assert all(p.grad.abs().sum() > 0 for h in model.heads for p in h.map.parameters())
    teacher = model.teachers['timmclassifier']
    assert not teacher.training and all(p.grad is None for p in teacher.parameters())
    assert not any('teacher' in k or 'frozen' in k for k in model.state_dict())


def test_the_second_stage_does_not_run_the_teacher():
    model = distiller(SECOND)
    calls = []
    model.teachers['timmclassifier'].register_forward_hook(lambda *_: calls.append(1))
    model.loss(*batch())
    assert not calls
    model = distiller(FIRST)
    model.teachers['timmclassifier'].register_forward_hook(lambda *_: calls.append(1))
    model.loss(*batch())
    assert len(calls) == 1


def test_with_all_other_weights_at_zero_it_is_plain_training():
    states = []
    for terms, teacher in ((FIRST + SECOND[1:], True), ([TASK], False)):
        model = distiller([dict(t, weight=float(t['name'] == 'task')) for t in terms], teacher)
        optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], 0.1)
        for _ in range(2):
            optimizer.zero_grad()
            total(model.loss(*batch())).backward()
            optimizer.step()
        states.append(model.student.state_dict())
    assert all(torch.equal(states[0][k], states[1][k]) for k in states[1])


def test_the_second_stage_raises_its_rewards():
    model = distiller(SECOND[1:])
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    rows = []
    for _ in range(50):
        optimizer.zero_grad()
        logs = model.loss(*batch())
        total(logs).backward()
        optimizer.step()
        rows.append([float(logs[f'stat_{name}/reward']) for name in ('confidence', 'alignment')])
    (first, second), (last, aligned) = rows[0], rows[-1]
    assert last > first + 0.3 and aligned > second + 0.3
    assert float(logs['stat_confidence/agreement']) > 0.7


def test_an_older_policy_chooses_for_clipped_terms():
    terms = [dict(name='confidence', loss=dict(type='ConfidencePolicyLoss', clip=0.2))]
    model = distiller(terms, old_policy=2)
    optimizer = torch.optim.SGD(model.student.parameters(), 0.5)
    kl = []
    for _ in range(4):
        optimizer.zero_grad()
        logs = model.loss(*batch())
        kl.append(float(logs['stat_confidence/approx_kl']))
        total(logs).backward()
        optimizer.step()
    assert kl[0] == kl[2] == pytest.approx(0, abs=1e-6) and kl[1] > 1e-5 and kl[3] > 1e-5
    state = model.state_dict()
    assert 'policy_steps' in state and any(k.startswith('old.') for k in state)
    assert not any(p is q for p in model.parameters() for q in model.old.buffers())


def test_tokens_become_maps():
    tokens = torch.arange(2 * 10 * 3.0).view(2, 10, 3)
    assert as_map(tokens).shape == (2, 3, 3, 3) and torch.equal(as_map(tokens)[0, :, 0, 0], tokens[0, 1])
    assert as_map(tokens[:, :9]).shape == (2, 3, 3, 3) and as_map(tokens[:, :7]).shape == (2, 3, 7, 1)
    assert as_map('x') == 'x' and as_map(torch.zeros(1, 2, 3, 4)).shape == (1, 2, 3, 4)


@pytest.mark.parametrize(
    ('terms', 'options', 'message'),
    [
        ([TASK, TASK], {}, "two terms are named 'task'"),
        (FIRST[:2], dict(teacher=False), "'logits' needs a teacher for target"),
        (FIRST[-1:], dict(blocks=[]), 'needs auxiliary heads: name blocks'),
        ([TASK], dict(blocks=['backbone.layer9']), "no module 'backbone.layer9' to tap"),
        ([dict(name='x', loss=dict(type='L1Loss'))], {}, r"asks for \['fused'\].*logits"),
        ([dict(name='x', loss=dict(type='ConfidencePolicyLoss', clip=0.2))], {}, 'old_policy'),
    ],
)
def test_wiring_is_checked_when_built(terms, options, message):
    with pytest.raises(ValueError, match=message):
        distiller(terms, **options)


def test_missing_clusters_are_explained():
    model = distiller(SECOND)
    model.clusters = None
    with pytest.raises(ValueError, match='add a ClusterHook'):
        model.loss(*batch())


def test_an_agent_may_set_the_weight_of_the_task():
    model = distiller([dict(TASK, weight='agent'), *SECOND[1:]])
    assert list(model.controls()) == ['task'] and model.sample_controls() == {}
    model.apply_action(dict(task=0.25))
    logs = model.loss(*batch())
    assert logs['loss_task'].item() == pytest.approx(0.25 * logs['stat_task'].item())
    with pytest.raises(KeyError, match='controls: task'):
        model.apply_action(dict(confidence=1.0))


def test_fading():
    assert [fade(p, 0.6, 0.1) for p in (0, 0.6, 0.8, 1)] == pytest.approx([1, 1, 0.55, 0.1])
    with pytest.raises(ValueError, match='begin must be'):
        FadeHook('task', begin=1.0)


@pytest.fixture(scope='module')
def folders(tmp_path_factory):
    return write_class_folders(tmp_path_factory.mktemp('set'), images=6, size=64)


def start(folders, work, resume=None, **options):
    small = {
        'train_cfg.max_iters': 4,
        'train_cfg.val_interval': 10,
        'default_hooks.checkpoint.interval': 2,
        'default_hooks.checkpoint.max_keep_ckpts': -1,
        'visualizer.vis_backends': [],
        'train_dataloader.batch_size': 4,
        'model.student.num_classes': 3,
        'model.teacher.num_classes': 3,
        'model.old_policy': 2,
        'model.terms.3.loss.clip': 0.2,
        'custom_hooks.0.folder': None,
        'custom_hooks.0.k': 2,
        'custom_hooks.1.stages.0.until': 0.4,
    }
    config = load_config(REPO / 'configs/kdrl/kdrl_rsscn7.py', small | options, str(folders))
    config.model.teacher.init_cfg = None
    config.work_dir = str(work)
    if resume:
        config.resume, config.load_from = True, str(resume)
    torch.manual_seed(3)  # the teacher of both runs
    runner = build_runner(config)
    runner.train()
    return runner


def test_two_and_two_iterations_are_four(folders, tmp_path):
    start(folders, tmp_path / 'a')
    resumed = start(folders, tmp_path / 'b', tmp_path / 'a/iter_2.pth')
    a, b = (read_checkpoint(tmp_path / f'{run}/iter_4.pth') for run in 'ab')
    assert all(torch.equal(a['state_dict'][k], b['state_dict'][k]) for k in a['state_dict'])
    assert a['clusters']['names'] == b['clusters']['names']
    assert torch.equal(resumed.model.clusters.centres, a['clusters']['centres'])
    assert len(a['clusters']['centres']) == 6


def test_hooks_refuse_what_they_cannot_do(folders, tmp_path):
    with pytest.raises(ValueError, match=r"fades 'tusk'; the terms of the model are: task"):
        start(folders, tmp_path / 'a', **{'custom_hooks.2.term': 'tusk'})
    with pytest.raises(ValueError, match='left to an agent'):
        start(folders, tmp_path / 'b', **{'model.terms.0.weight': 'agent'})
    with pytest.raises(ValueError, match='k=9 clusters are more than the 5 images of class 0'):
        start(folders, tmp_path / 'c', **{'custom_hooks.0.k': 9})
