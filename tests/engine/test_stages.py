"""Stretches of a training with terms of their own."""

from types import SimpleNamespace

import pytest
import torch

from fusionkd.engine.rate import RateFactor
from fusionkd.engine.stages import StagePlan
from fusionkd.models.distillers import FusionDistiller

STAGES = [
    dict(name='warmup', until=0.2, weights=dict(guide=3.0), hard=dict(strength=0.1, op='blur', share=0.5)),
    dict(name='distil', until=0.8),
    dict(name='refine', weights=dict(guide=0.0)),
]


@pytest.fixture
def model():
    return FusionDistiller(
        student=dict(type='ToyFuser'),
        teachers=[dict(type='ToyFuser', channels=3)],
        terms=[
            dict(name='self', loss=dict(type='FusionLoss', window=11), on='hard', weight=0.5),
            dict(name='guide', loss=dict(type='L1Loss'), weight=1.5),
        ],
        hard_samples=dict(type='HardSampleGenerator', ops=['blur', 'noise'], strength=(0.2, 0.9)),
    )


def state(model):
    hard = model.hard_samples
    return model.terms['guide'].weight, hard.low, hard.high, hard.op, model.hard_view.share


def test_each_stage_is_in_force_for_its_share(model):
    plan = StagePlan(STAGES)
    plan.setup(model)
    assert state(model) == (3.0, 0.1, 0.1, 'blur', 0.5)
    assert plan.fixed == ('guide', 'hard_strength', 'hard_op', 'hard_share')
    assert not plan.update(0.15) and plan.progress(0.1) == 0.5
    assert plan.update(0.2) and plan.name == 'distil' and plan.fixed == ()
    assert state(model) == (1.5, 0.2, 0.9, 'mixed', 1.0) and plan.progress(0.5) == pytest.approx(0.5)
    assert plan.update(0.8) and state(model)[0] == 0 and not plan.update(1.0)
    plan.began = 1.0  # a stage that began with the last iteration
    assert plan.progress(1.0) == 1
    assert model.terms['self'].weight == 0.5


def test_an_agent_ends_a_stage_that_is_long_enough(model):
    plan = StagePlan(STAGES, min_length=0.1)
    plan.setup(model)
    plan.request_end('end')
    assert not plan.update(0.05) and plan.update(0.1) and plan.name == 'distil'
    assert not plan.update(0.25)  # the wish was for the stage before
    plan.request_end('end')
    plan.request_end('go_on')
    assert not plan.update(0.3)
    plan.request_end('end')
    assert plan.update(0.35) and plan.name == 'refine' and plan.began == 0.35
    plan.request_end('end')
    assert not plan.update(0.9)


def test_a_resumed_plan_knows_what_the_recipe_said(model):
    plan = StagePlan(STAGES)
    plan.setup(model)
    saved = plan.state_dict()
    other = StagePlan(STAGES)
    other.setup(model)  # whose generator a checkpoint has set to the stage's strength
    other.load_state_dict(saved)
    assert state(model) == (3.0, 0.1, 0.1, 'blur', 0.5)
    assert other.update(0.2) and state(model)[1:] == (0.2, 0.9, 'mixed', 1.0)


@pytest.mark.parametrize(
    ('stages', 'message'),
    [
        ([], 'at least one'),
        ([dict(name='a', until=0.5), dict(name='a')], 'different names'),
        ([dict(name='a', until=0.5), dict(name='b', until=0.4), dict(name='c')], 'must rise'),
        ([dict(name='a', until=0.5)], 'be 1 for the last'),
        ([dict(name='a', hard=dict(noise=1))], r"hard sets \['noise'\]; known: strength, op, share"),
        ([dict(name='a', weights=dict(x=-1))], 'must not be negative'),
    ],
)
def test_plans_that_cannot_be(stages, message):
    with pytest.raises(ValueError, match=message):
        StagePlan(stages)


@pytest.mark.parametrize(
    ('stage', 'message'),
    [
        (dict(weights=dict(other=1)), r"weighs \['other'\]; the terms of the model are: self, guide"),
        (dict(weights=dict(self=0, guide=0)), 'nothing to train'),
        (dict(hard=dict(op='rain')), "op='rain'; known: blur, noise, mixed"),
    ],
)
def test_stages_that_do_not_fit_the_model(model, stage, message):
    with pytest.raises(ValueError, match=message):
        StagePlan([dict(name='a', **stage)]).setup(model)


def test_stages_need_hard_samples_to_set_them():
    model = FusionDistiller(student=dict(type='ToyFuser'), terms=[dict(name='self', loss=dict(type='FusionLoss'))])
    with pytest.raises(ValueError, match='the distiller has none'):
        StagePlan([dict(name='a', hard=dict(strength=1.0))]).setup(model)


def test_a_factor_on_the_rate_is_seen_by_no_schedule():
    weights = {}
    for factor in (1.0, 2.0):
        parameter = torch.nn.Parameter(torch.zeros(1))
        optimizer = torch.optim.SGD([parameter], lr=0.1)
        schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)  # computes a rate from the one before
        rate = RateFactor(SimpleNamespace(optimizer=optimizer))
        rate.set(factor)
        for _ in range(2):
            parameter.grad = torch.ones(1)
            optimizer.step()
            schedule.step()
        weights[factor] = parameter.item()
        assert optimizer.param_groups[0]['lr'] == 0.025
    assert weights[1.0] == pytest.approx(-0.15) and weights[2.0] == pytest.approx(-0.3)
    with pytest.raises(ValueError, match='must be positive'):
        rate.set(0)
