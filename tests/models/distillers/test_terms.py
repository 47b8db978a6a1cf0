"""Every distillation term inside a distiller: real networks, adapters, wiring."""

import pytest
import torch

from fusionkd.models.distillers import FusionDistiller
from fusionkd.registry import MODELS

STUDENT = dict(type='SwiftFuser', width=16, depth=1, context=1)
TEACHER = dict(type='SeAFusion', init_cfg=dict(type='Pretrained', checkpoint='seafusion'))
TAPS = dict(tap_s='body.0', tap_t='decode4.conv')
ENCODER = dict(type='EncoderLoss', encoder=TEACHER, taps=['vis_rgbd1'])
IMAGE = ['L1Loss', 'SSIMLoss', 'GradientLoss', 'FrequencyLoss', 'LaplacianBandLoss', 'WeightMapLoss', ENCODER]
FEATURES = [
    'FeatureLoss',
    'AttentionTransferLoss',
    'ChannelWiseLoss',
    'SimilarityLoss',
    'RelationalLoss',
    'RelationLoss',
    'MaskedGenerativeLoss',
    'MarginLoss',
]
ADAPTED = {'FeatureLoss', 'ChannelWiseLoss', 'MaskedGenerativeLoss', 'MarginLoss'}


def build(term, student=STUDENT, teacher=TEACHER):
    loss = term['loss'] if isinstance(term['loss'], dict) else dict(type=term['loss'])
    return FusionDistiller(student=student, teachers=[teacher], terms=[dict(name='x') | term | dict(loss=loss)]).train()


def step(model):
    ir, vis = torch.rand(2, 3, 1, 48, 64)
    logs = model.loss(ir, vis)
    logs['loss_x'].backward()
    return logs['loss_x']


@pytest.mark.parametrize('loss', IMAGE, ids=str)
def test_image_terms_pull_the_whole_student(loss):
    model = build(dict(loss=loss))
    # maps that start at 0 pass no gradient on
    torch.nn.init.normal_(model.student.maps.weight, std=0.1)
    assert step(model) > 0
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.student.parameters())
    assert model.student.stem[0].weight.grad.any()
    assert not any(p.requires_grad for p in model.teachers['seafusion'].parameters())


@pytest.mark.parametrize('loss', FEATURES)
def test_feature_terms_pull_the_student_up_to_the_tap(loss):
    model = build(dict(loss=loss) | TAPS)
    assert step(model) > 0
    assert model.student.stem[0].weight.grad.any() and model.student.maps.weight.grad is None
    adapters = {n for n, _ in model.named_parameters() if n.startswith('terms.x.loss.')}
    assert bool(adapters) == (loss in ADAPTED)
    assert all(p.grad.isfinite().all() for n, p in model.named_parameters() if n in adapters)
    assert adapters <= set(model.state_dict())
    assert not any('loss' in k or 'adapter' in k for k in model.student.state_dict())


def test_the_teachers_own_image_costs_nothing():
    model = build(dict(loss='WeightMapLoss'), student=TEACHER)
    model.student.init_weights()
    assert step(model).item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ('term', 'message'),
    [
        (dict(loss='MarginLoss', tap_s='body.0', tap_t='decode9'), "SeAFusion has no module 'decode9' to tap"),
        (dict(loss='AttentionTransferLoss', tap_s='body.0'), 'AttentionTransferLoss needs tap_t'),
        (dict(loss='LaplacianBandLoss', tap_t='decode4.conv'), 'LaplacianBandLoss does not use tap_t'),
        (dict(loss='SimilarityLoss', target='ir', **TAPS), 'features need a teacher'),
        (dict(loss='WeightMapTapLoss', **TAPS), r"term 'x': WeightMapTapLoss is for .* the taps have \(16, 64\)"),
        (dict(loss='WeightMapKLD', tap_s='body'), r"term 'x': WeightMapKLD is for backbones"),
        (
            dict(loss='FeatureLoss', tap_s='context.1', tap_t='decode4.conv'),
            "a layer after 'context.1' changes its output",
        ),
        (dict(loss='FeatureLoss', tap_s='body.0', tap_t='decode1.bn'), "'decode1.bn' was not called"),
    ],
)
def test_wiring_is_checked_when_built(term, message):
    with pytest.raises(ValueError, match=message):
        build(term)


def test_a_tap_must_be_one_map():
    @MODELS.register_module(force=True)
    class Flat(torch.nn.Module):
        def forward(self, ir, vis):
            return ir

        def fuse(self, ir, vis):
            self.odd(ir)
            return ir

        init_cfg = None

        def __init__(self):
            super().__init__()
            self.odd = torch.nn.Flatten()

    with pytest.raises(ValueError, match=r"'odd' must return one \(N, C, h, w\) tensor, got shape \(1, 4096\)"):
        build(dict(loss='FeatureLoss', tap_s='body.0', tap_t='odd'), teacher=dict(type='Flat'))
