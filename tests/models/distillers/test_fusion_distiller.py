import copy

import pytest
import torch
from mmengine.optim import OptimWrapper

from fusionkd.models.distillers import FusionDistiller
from fusionkd.registry import MODELS
from fusionkd.rl import Control

SELF = dict(name='self', loss=dict(type='FusionLoss', window=11))
GUIDE = dict(name='guide', loss=dict(type='L1Loss'), target='teacher')
HARD = dict(type='HardSampleGenerator', ops=['blur', 'noise'], strength='agent')


def build(terms=(SELF,), teachers=(), **options):
    torch.manual_seed(1)
    return FusionDistiller(student=dict(type='ToyFuser'), terms=list(terms), teachers=list(teachers), **options)


def batch():
    generator = torch.Generator().manual_seed(5)
    ir = torch.rand(2, 1, 24, 32, generator=generator)
    return dict(ir=ir, vis=ir.flip(-1), cbcr=0.2 * torch.rand(2, 2, 24, 32, generator=generator) - 0.1)


def total(logs):
    return sum(v for k, v in logs.items() if 'loss' in k)


def train(model, steps=3):
    optimizer = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.5))
    for _ in range(steps):
        optimizer.update_params(total(model.loss(**batch())))
    return model.student.state_dict()


TEACHER = dict(type='ToyFuser', channels=3, dropout=0.5)


def test_a_teacher_is_frozen_evaluated_and_nowhere_else():
    model = build([SELF, GUIDE], [TEACHER]).train()
    teacher = model.teachers['toyfuser']
    assert not teacher.training and not teacher.dropout.training
    assert not any(p.requires_grad for p in teacher.parameters())
    ids = {id(p) for p in teacher.parameters()}
    assert not ids & {id(p) for p in model.parameters()}
    assert all(k.startswith('student.') for k in model.state_dict())
    before = copy.deepcopy(teacher.state_dict())
    train(model)
    assert all(torch.equal(before[k], v) for k, v in teacher.state_dict().items())
    model.double()
    assert next(teacher.parameters()).dtype == torch.float64


def test_gradient_reaches_the_student():
    model = build([GUIDE], [TEACHER])
    total(model.loss(**batch())).backward()
    assert all(p.grad is not None and p.grad.any() for p in model.student.parameters())


def test_weight_zero_equals_absent_bit_for_bit():
    plain = train(build())
    off = train(
        build(
            [SELF, GUIDE | dict(weight=0.0), GUIDE | dict(name='hard', on='hard', weight=0)],
            [TEACHER],
            hard_samples=HARD,
        )
    )
    on = train(build([SELF, GUIDE], [TEACHER]))
    assert all(torch.equal(plain[k], off[k]) for k in plain)
    assert not all(torch.equal(plain[k], on[k]) for k in plain)


def test_teachers_can_be_permuted_and_are_averaged():
    a = dict(type='ToyFuser', name='A', channels=3)
    b = dict(type='ToyFuser', name='b', channels=5)

    def losses(order):
        model = build([GUIDE], [a, b] if order else [b, a])
        for name, teacher in model.teachers.items():
            torch.manual_seed(ord(name))
            for p in teacher.parameters():
                torch.nn.init.normal_(p)
        single = []
        for name in ('a', 'b'):
            model.terms['guide'].target = f'teacher:{name}'
            single.append(model.loss(**batch())['loss_guide'])
        model.terms['guide'].target = 'teacher'
        return model.loss(**batch())['loss_guide'], sum(single) / 2

    (first, mean), (second, _) = losses(True), losses(False)
    assert torch.allclose(first, second) and torch.allclose(first, mean)


def test_logs_are_weighted_losses_and_unweighted_statistics():
    model = build([SELF | dict(weight=3.0)])
    logs = model.loss(**batch())
    assert set(logs) == {'loss_self', 'stat_self'}
    assert torch.allclose(logs['loss_self'], 3 * logs['stat_self']) and not logs['stat_self'].requires_grad


def test_the_hard_view_fuses_degraded_pairs_against_clean_sources():
    seen = {}

    @MODELS.register_module(force=True)
    class Spy(torch.nn.Module):
        def forward(self, fused, ir, vis):
            seen.update(fused=fused, ir=ir, vis=vis)
            return fused.mean()

    model = build([dict(name='self', loss=dict(type='Spy'), on='hard')], hard_samples=HARD | dict(strength=1.0))
    data = batch()
    model.loss(**data)
    assert torch.equal(seen['ir'], data['ir']) and torch.equal(seen['vis'], data['vis'])
    assert not torch.equal(seen['fused'], model.student.fuse(data['ir'], data['vis']))


def test_colour_terms_see_rgb_and_gray_batches_work():
    model = build([SELF | dict(space='rgb')])
    data = batch()
    rgb = model.loss(**data)['loss_self']
    gray = model.loss(**data | dict(cbcr=None))['loss_self']
    assert rgb.isfinite() and gray.isfinite() and not torch.allclose(rgb, gray)


def test_a_term_can_see_a_share_of_the_batch():
    data = batch()
    whole = build([GUIDE | dict(share=0.5)], [TEACHER])
    first = {k: v[:1] for k, v in data.items()}
    assert torch.allclose(whole.loss(**data)['loss_guide'], build([GUIDE], [TEACHER]).loss(**first)['loss_guide'])
    seen = []
    whole.teachers['toyfuser'].register_forward_hook(lambda m, inputs, output: seen.append(len(output)))
    whole.loss(**data)
    assert seen == [1]
    with pytest.raises(ValueError, match='share=0; expected'):
        build([SELF | dict(share=0)])


def test_sources_can_be_targets():
    model = build([dict(name='ir', loss=dict(type='L1Loss'), target='ir')])
    data = batch()
    expected = (model.student.fuse(data['ir'], data['vis']) - data['ir']).abs().mean()
    assert torch.allclose(model.loss(**data)['loss_ir'], expected)


def test_features_by_tap_with_an_adapter_that_is_trained_but_not_the_students():
    term = dict(name='feat', loss=dict(type='FeatureLoss'), tap_s='body', tap_t='body')
    model = build([term], [TEACHER])
    assert model.terms['feat'].loss.adapter.weight.shape == (3, 4, 1, 1)
    total(model.loss(**batch())).backward()
    assert model.student.body.weight.grad.any() and model.terms['feat'].loss.adapter.weight.grad.any()
    assert 'terms.feat.loss.adapter.weight' in dict(model.named_parameters())
    assert not any('adapter' in k for k in model.student.state_dict())


def test_modes():
    model = build()
    data = batch()
    fused = model(data, mode='tensor')
    assert fused.shape == (2, 1, 24, 32)
    samples = model(data, mode='predict')
    assert len(samples) == 2 and samples[0].fused.shape == (3, 24, 32)
    assert model(data | dict(cbcr=None), mode='predict')[0].fused.shape == (1, 24, 32)
    with pytest.raises(ValueError, match="unknown mode 'train'"):
        model(data, mode='train')


def test_test_step_shows_teachers_when_asked():
    data = dict(inputs=dict(ir=torch.rand(1, 1, 8, 8), vis=torch.rand(1, 3, 8, 8)))
    assert 'teacher_toyfuser' not in build(teachers=[TEACHER]).test_step(data)[0]
    assert build(teachers=[TEACHER], test_teachers=True).test_step(data)[0].teacher_toyfuser.shape == (3, 8, 8)


def test_an_agent_sets_what_was_left_to_it_and_nothing_else():
    model = build([SELF, GUIDE | dict(weight='agent')], [TEACHER], hard_samples=HARD)
    controls = model.controls()
    assert list(controls) == ['guide', 'hard_strength', 'hard_op', 'hard_share']
    assert controls['guide'] == Control(1.0, 0.0, 2.0) and controls['hard_strength'] == Control(0.5)
    assert controls['hard_op'].options == ('blur', 'noise', 'mixed') and controls['hard_op'].initial == 2
    model.apply_action(dict(guide=0.25, hard_strength=0.75, hard_op='noise', hard_share=0.5))
    assert model.hard_samples.high == 0.75 and model.hard_samples.op == 'noise'
    assert model.hard_view.share == 0.5 and model.controls() == controls
    logs = model.loss(**batch())
    assert torch.allclose(logs['loss_guide'], 0.25 * logs['stat_guide'])
    with pytest.raises(KeyError, match="'self' is not left to the agent; controls: guide, hard_strength"):
        model.apply_action(dict(self=1))
    with pytest.raises(ValueError, match=r"'hard_op' has no option \['fog'\]; it has: blur, noise, mixed"):
        model.apply_action(dict(hard_op='fog'))


def test_an_agent_sets_the_weights_of_a_losss_parts():
    model = build([SELF | dict(parts=['gradient', 'ssim'], weight=0.5)])
    assert model.controls() == dict(self_gradient=Control(40.0, 0.0, 80.0), self_ssim=Control(1.0, 0.0, 2.0))
    before = model.loss(**batch())
    ir, vis, _ = batch().values()
    part = model.terms['self'].loss.parts(model.student.fuse(ir, vis), ir, vis)
    model.apply_action(dict(self_gradient=10.0))
    after = model.loss(**batch())
    assert model.controls()['self_gradient'].initial == 40.0  # what a resumed run starts from
    scale = model.terms['self'].loss.scale
    assert (before['stat_self'] - after['stat_self']).item() == pytest.approx(
        30 * scale * part['gradient'].mean().item(), rel=1e-4
    )
    assert after['loss_self'] == 0.5 * after['stat_self']
    with pytest.raises(ValueError, match=r"FusionLoss has no parts \['vif'\] with a weight; it has: ssim, maximum"):
        build([SELF | dict(parts=['vif'])])
    with pytest.raises(ValueError, match=r'L1Loss has no parts .* it has: none'):
        build([GUIDE | dict(parts=['x'])], [TEACHER])


def test_bfloat16_networks_have_float32_losses():
    model = build([SELF, GUIDE], [TEACHER])
    with torch.autocast('cpu', dtype=torch.bfloat16):
        assert all(v.dtype == torch.float32 for v in model.loss(**batch()).values())


@pytest.mark.parametrize(
    ('term', 'message'),
    [
        (dict(loss=dict(type='L1Loss')), 'needs a teacher, but the distiller has none'),
        (dict(loss=dict(type='L1Loss'), target='teacher:x'), "names the teacher 'x'; known: none"),
        (dict(loss=dict(type='L1Loss'), target='max'), "target='max'; known: ir, vis, teacher"),
        (dict(loss=dict(type='FusionLoss'), target='ir'), 'FusionLoss uses no target'),
        (dict(loss=dict(type='FusionLoss'), on='dark'), "on='dark'; known: clean, hard"),
        (dict(loss=dict(type='FusionLoss'), on='hard'), 'has no hard_samples'),
        (dict(loss=dict(type='FusionLoss'), space='lab'), "space='lab'; known: y, rgb"),
        (dict(loss=dict(type='FusionLoss'), weight=-1), "expected a number >= 0 or 'agent'"),
        (dict(loss=dict(type='FusionLoss'), weight='auto'), "expected a number >= 0 or 'agent'"),
        (dict(loss=dict(type='WeightMapKLD')), 'WeightMapKLD needs tap_s'),
        (
            dict(loss=dict(type='WeightMapKLD'), tap_s='nose'),
            "ToyFuser has no module 'nose' to tap; .*body, dropout, head",
        ),
        (dict(loss=dict(type='FusionLoss'), tap_s='body'), 'FusionLoss does not use tap_s'),
        (dict(loss=dict(type='FeatureLoss'), tap_s='body', tap_t='body', target='ir'), 'features need a teacher'),
    ],
)
def test_wiring_is_checked_when_built(term, message):
    with pytest.raises(ValueError, match=message):
        build([dict(name='x') | term])


def test_a_loss_that_asks_for_something_else_is_explained():
    @MODELS.register_module(force=True)
    class Odd(torch.nn.Module):
        def forward(self, fused, depth):
            return fused.mean()

    with pytest.raises(ValueError, match=r"Odd.forward asks for \['depth'\]; a term can give fused"):
        build([dict(name='x', loss=dict(type='Odd'))])


def test_names_are_unique_and_types_known():
    with pytest.raises(ValueError, match="two terms are named 'self'"):
        build([SELF, SELF])
    with pytest.raises(ValueError, match="two teachers are named 'toyfuser'"):
        build(teachers=[TEACHER, TEACHER])
    with pytest.raises(KeyError, match=r'unknown model type .FusionLos.: did you mean FusionLoss'):
        build([dict(name='x', loss=dict(type='FusionLos'))])
    with pytest.raises(ValueError, match='nothing to train'):
        build([SELF | dict(weight=0)]).loss(**batch())
