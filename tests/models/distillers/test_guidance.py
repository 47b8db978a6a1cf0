"""Who teaches what, hard samples, values of single samples, gradient alignment."""

import copy
import itertools

import pytest
import torch
from mmengine.optim import OptimWrapper

from fusionkd.models.distillers import FusionDistiller
from fusionkd.models.distillers.hard_view import HardView
from fusionkd.registry import HARD_SAMPLES
from fusionkd.rl import Control

SELF = dict(name='self', loss=dict(type='FusionLoss', window=11))
GUIDE = dict(name='guide', loss=dict(type='L1Loss'))
HARD = dict(type='HardSampleGenerator', ops=['blur', 'noise'], strength='agent')
A, B = dict(type='ToyFuser', name='a', channels=3), dict(type='ToyFuser', name='b', channels=3)
EMA = dict(type='EMATeacher', name='ema', momentum=0.25)


def build(terms=(SELF,), teachers=(), **options):
    torch.manual_seed(1)
    return FusionDistiller(student=dict(type='ToyFuser'), terms=list(terms), teachers=list(teachers), **options)


def batch(n=4, cbcr=True):
    generator = torch.Generator().manual_seed(5)
    ir = torch.rand(n, 1, 24, 32, generator=generator)
    chroma = 0.2 * torch.rand(n, 2, 24, 32, generator=generator) - 0.1
    return dict(ir=ir, vis=ir.flip(-1), cbcr=chroma if cbcr else None)


def total(logs):
    return sum(v for k, v in logs.items() if 'loss' in k)


def calls(model):
    """Batch sizes with which each teacher runs from now on."""
    seen = {name: [] for name in model.teachers}
    for name, teacher in model.teachers.items():
        teacher.register_forward_hook(lambda m, inputs, output, name=name: seen[name].append(len(output)))
    return seen


class TestSeveralTeachers:
    def test_weights_of_teachers_are_factors_of_all_they_teach(self):
        plain, weighed = build([GUIDE], [A, B]), build([GUIDE], [A | dict(weight=0.5), B | dict(weight=3.0)])
        single = []
        for name in 'ab':
            plain.apply_action(dict(teacher=name))
            single.append(plain.loss(**batch())['loss_guide'])
        logs = weighed.loss(**batch())
        assert torch.allclose(logs['loss_guide'], (0.5 * single[0] + 3 * single[1]) / 2)
        assert torch.allclose(logs['stat_guide'], sum(single) / 2)

    def test_a_teacher_of_weight_0_does_not_run(self):
        model = build([SELF, GUIDE], [A | dict(weight=0), B])
        seen = calls(model)
        model.loss(**batch())
        assert seen == dict(a=[], b=[4])
        silent = build([SELF, GUIDE], [A | dict(weight=0)])
        assert set(silent.loss(**batch())) == {'loss_self', 'stat_self'}

    def test_an_agent_sets_weights_and_whom_to_follow(self):
        model = build([GUIDE], [A | dict(weight='agent'), B])
        controls = model.controls()
        assert controls['teacher_a'] == Control(1.0, 0.0, 2.0)
        assert controls['teacher'] == Control(2, options=('a', 'b', 'all'))
        assert list(model.sample_controls()) == ['teacher']
        before = model.loss(**batch())['loss_guide']
        model.apply_action(dict(teacher_a=0.0))
        after = model.loss(**batch())['loss_guide']
        model.apply_action(dict(teacher='b'))
        assert 0 < after < before and torch.allclose(model.loss(**batch())['loss_guide'], 2 * after)

    def test_a_recipe_can_follow_one(self):
        seen = calls(model := build([GUIDE], [A, B], follow='b'))
        model.loss(**batch())
        assert seen == dict(a=[], b=[4])
        with pytest.raises(ValueError, match="follow='c'; known: all, a, b"):
            build([GUIDE], [A, B], follow='c')
        with pytest.raises(ValueError, match="teacher 'a': weight=-1; expected a number >= 0 or 'agent'"):
            build([GUIDE], [A | dict(weight=-1)])


class TestPerSample:
    def test_equal_choices_are_exactly_the_choice_of_the_batch(self):
        model = build([SELF, GUIDE], [A, B])
        for choice in ('all', 'a', 'b'):
            model.apply_action(dict(teacher=choice))
            expected = model.loss(**batch())
            values = model.sample_values['guide']
            model.apply_action(dict(teacher='all'))
            model.apply_sample_action(dict(teacher=[choice] * 4))
            logs = model.loss(**batch())
            assert all(torch.equal(expected[k], logs[k]) for k in expected)
            assert torch.equal(model.sample_values['guide'], values)

    def test_each_sample_is_compared_with_its_teacher_only(self):
        model = build([GUIDE], [A, B])
        values = {}
        for choice in ('a', 'b', 'all'):
            model.apply_sample_action(dict(teacher=[choice] * 4))
            model.loss(**batch())
            values[choice] = model.sample_values['guide']
        seen = calls(model)
        model.apply_sample_action(dict(teacher=['b', 'a', 'b', 'all']))
        logs = model.loss(**batch())
        expected = torch.stack([values['b'][0], values['a'][1], values['b'][2], values['all'][3]])
        assert torch.allclose(model.sample_values['guide'], expected)
        assert torch.allclose(logs['loss_guide'], expected.mean())
        assert seen == dict(a=[2], b=[3])

    def test_a_teacher_nobody_chose_does_not_run_and_decisions_last_one_step(self):
        model = build([GUIDE], [A, B])
        seen = calls(model)
        model.apply_sample_action(dict(teacher=['b'] * 4))
        model.loss(**batch())
        model.loss(**batch())
        assert seen == dict(a=[4], b=[4, 4])

    def test_terms_of_another_teacher_see_nothing_of_a_sample(self):
        only_a = dict(name='only', loss=dict(type='L1Loss'), target='teacher:a')
        model = build([SELF, only_a], [A, B])
        whole = model.loss(**batch())['loss_only']
        each = model.sample_values['only']
        model.apply_sample_action(dict(teacher=['a', 'b', 'b', 'all']))
        part = model.loss(**batch())
        assert torch.allclose(part['loss_only'], each[[0, 3]].sum() / 4) and part['loss_only'] < whole
        assert torch.allclose(part['stat_only'], each[[0, 3]].mean())
        assert model.sample_values['only'].isnan().tolist() == [False, True, True, False]
        model.apply_sample_action(dict(teacher=['b'] * 4))
        assert 'loss_only' not in model.loss(**batch())
        alone = build([only_a], [A, B], follow='b')
        total(alone.loss(**batch())).backward()
        assert not alone.student.body.weight.grad.any()

    def test_features_of_the_chosen_teacher_only(self):
        term = dict(name='feat', loss=dict(type='FeatureLoss'), tap_s='body', tap_t='body')
        model = build([term], [A, B])
        model.loss(**batch())
        values = {}
        for choice in 'ab':
            model.apply_action(dict(teacher=choice))
            model.loss(**batch())
            values[choice] = model.sample_values['feat']
        model.apply_sample_action(dict(teacher=['b', 'a', 'a', 'b']))
        model.loss(**batch())
        expected = torch.stack([values['b'][0], values['a'][1], values['a'][2], values['b'][3]])
        assert torch.allclose(model.sample_values['feat'], expected)

    def test_strength_and_operation_of_each_sample(self):
        model = build([SELF | dict(on='hard')], hard_samples=HARD)
        assert list(model.sample_controls()) == ['hard_strength', 'hard_op']
        seen = []
        model.student.register_forward_hook(lambda m, inputs, output: seen.append(inputs[0]))
        data = batch()
        model.apply_sample_action(dict(hard_strength=[0, 0, 1, 1], hard_op=['blur', 'noise', 'noise', 'mixed']))
        model.loss(**data)
        changed = (seen[0] - data['ir']).abs().mean((1, 2, 3))
        assert (changed[:2] < 1e-3).all() and changed[2] > 1e-2

    def test_values_of_samples_are_those_of_the_losses(self):
        model = build(
            [SELF, GUIDE | dict(share=0.5), dict(name='vif', loss=dict(type='MetricLoss', metric='SSIM'))], [A]
        )
        logs = model.loss(**batch())
        assert set(model.sample_values) == {'self', 'guide'}
        own, guide = model.sample_values['self'], model.sample_values['guide']
        assert own.shape == (4,) and not own.requires_grad and torch.allclose(own.mean(), logs['stat_self'])
        assert guide.isnan().tolist() == [False, False, True, True]
        assert torch.allclose(guide[:2].mean(), logs['stat_guide'])

    def test_wrong_decisions_are_refused(self):
        model = build([GUIDE], [A, B], hard_samples=HARD)
        with pytest.raises(
            KeyError, match="'guide' is not left to the agent; controls: hard_strength, hard_op, teacher"
        ):
            model.apply_sample_action(dict(guide=[1.0]))
        with pytest.raises(ValueError, match=r"'teacher' has no option \['c'\]; it has: a, b, all"):
            model.apply_sample_action(dict(teacher=['a', 'c']))
        model.apply_sample_action(dict(teacher=['a', 'b']))
        with pytest.raises(ValueError, match=r"than the batch has, 4: {'teacher': 2}"):
            model.loss(**batch())


class TestHardShare:
    @pytest.mark.parametrize(('share', 'rows'), [(0, []), (0.25, [1]), (0.5, [0, 2]), (1, [0, 1, 2, 3]), (0.05, [])])
    def test_it_is_that_share_of_the_batch_evenly_spread(self, share, rows):
        found = HardView(None, [], share).rows(4)
        assert len(found) == len(rows) and (share != 1 or found == rows)
        spread = HardView(None, [], 0.25).rows(16)
        assert len({b - a for a, b in itertools.pairwise(spread)}) == 1

    def test_other_samples_stay_clean(self):
        model = build([SELF | dict(on='hard')], hard_samples=HARD | dict(strength=1.0), hard_share=0.5)
        seen = []
        model.student.register_forward_hook(lambda m, inputs, output: seen.append(inputs[0]))
        data = batch()
        model.loss(**data)
        changed = (seen[0] != data['ir']).flatten(1).any(1) | (seen[0] != data['ir']).flatten(1).any(1)
        hard = model.hard_view.rows(4)
        assert len(hard) == 2 and not changed[[i for i in range(4) if i not in hard]].any() and changed[hard].any()

    def test_none_is_the_clean_view_and_costs_no_pass_of_its_own(self):
        clean = build([SELF, GUIDE], [A])
        mixed = build([SELF | dict(on='hard'), GUIDE], [A], hard_samples=HARD, hard_share=0.0)
        seen = []
        mixed.student.register_forward_hook(lambda m, inputs, output: seen.append(len(output)))
        a, b = clean.loss(**batch()), mixed.loss(**batch())
        assert all(torch.equal(a[k], b[k]) for k in a) and seen == [4]
        with pytest.raises(ValueError, match=r'hard_share must be in \[0, 1\]'):
            build(hard_share=2)


def test_the_student_fuses_of_a_view_what_its_terms_see():
    terms = [SELF | dict(on='hard'), GUIDE | dict(share=0.5), GUIDE | dict(name='less', share=0.25)]
    model = build(terms, [A], hard_samples=HARD)
    seen = []
    model.student.register_forward_hook(lambda m, inputs, output: seen.append(len(output)))
    logs = model.loss(**batch())
    assert sorted(seen) == [2, 4]
    first = {k: v[:2] for k, v in batch().items()}
    assert torch.allclose(logs['loss_guide'], build([GUIDE], [A]).loss(**first)['loss_guide'])


class TestSearch:
    @pytest.fixture(autouse=True)
    def _generator(self):
        @HARD_SAMPLES.register_module(force=True)
        class Seeker(torch.nn.Module):
            by_agent, searched = False, 0

            def forward(self, ir, vis):
                return 0.5 * ir, vis

            def search(self, ir, vis, hardness):
                self.searched += 1
                self.found = hardness(ir, vis, 0 * ir, vis)
                self.trained = self.student_mode()
                return 0 * ir, vis

        yield
        HARD_SAMPLES._module_dict.pop('Seeker')

    def test_hardness_is_the_students_loss_on_the_hard_pair_in_evaluation_mode(self):
        terms = [SELF | dict(on='hard', space='rgb'), GUIDE]
        model = build(terms, [A], hard_samples=dict(type='Seeker'))
        model.student.dropout.p = 0.5
        modes = []
        model.student.register_forward_hook(lambda m, i, o: modes.append((m.training, o.requires_grad)))
        model.hard_samples.student_mode = lambda: model.student.training
        data = batch()
        model.train().loss(**data)
        assert modes[1] == (False, False) and modes[-1] == (True, True) and model.hard_samples.trained
        term = model.terms['self']
        model.student.eval()
        fused = model.student.fuse(0 * data['ir'], data['vis'])
        images = term.images(fused, data['ir'], data['vis'], data['cbcr'])
        assert torch.allclose(model.hard_samples.found, term.loss.per_sample(**images))

    def test_there_must_be_a_loss_to_search_by(self):
        with pytest.raises(ValueError, match=r"Seeker searches by the loss of each sample.*'hard' has: ssim"):
            build(
                [dict(name='ssim', loss=dict(type='MetricLoss', metric='SSIM'), on='hard')],
                hard_samples=dict(type='Seeker'),
            )

    def test_alignment_does_not_search(self):
        model = build([SELF | dict(on='hard'), GUIDE], [A], hard_samples=dict(type='Seeker'))
        model.gradient_alignment(batch())
        assert model.hard_samples.searched == 0


class TestAlignment:
    def test_it_is_the_cosine_of_the_two_gradients(self):
        model = build([SELF, GUIDE | dict(weight=2.0)], [A])
        value = model.gradient_alignment(batch())
        logs = model.loss(**batch())
        a, b = (
            torch.cat(
                [g.flatten() for g in torch.autograd.grad(logs[k], model.student.head.parameters(), retain_graph=True)]
            )
            for k in ('loss_guide', 'loss_self')
        )
        assert value == pytest.approx(torch.nn.functional.cosine_similarity(a, b, dim=0).item(), abs=1e-5)

    @pytest.mark.parametrize('source', ['ir', 'vis'])
    def test_the_same_goal_is_1_and_the_opposite_is_minus_1(self, source):
        class Copy(torch.nn.Module):
            def fuse(self, ir, vis):
                return dict(ir=ir, vis=vis)[source]

        model = build([dict(name='ir', loss=dict(type='L1Loss'), target='ir'), GUIDE], [A])
        model.guides['a'].network = Copy()
        data = batch()
        data['vis'] = (data['ir'] + 0.3).clamp(max=1.5)
        assert model.gradient_alignment(data) == pytest.approx(1 if source == 'ir' else -1, abs=1e-4)

    def test_it_leaves_no_trace(self):
        terms = [
            SELF | dict(on='hard'),
            GUIDE,
            dict(name='mgd', loss=dict(type='MaskedGenerativeLoss'), target='teacher:a', tap_s='body', tap_t='body'),
        ]
        terms += [dict(name='margin', loss=dict(type='MarginLoss'), target='teacher:a', tap_s='body', tap_t='body')]
        model = build(terms, [A, EMA], hard_samples=HARD | dict(strength=(0.0, 1.0)), follow='a')
        model.student.dropout.p = 0.5
        model.student.head = torch.nn.Sequential(torch.nn.BatchNorm2d(4), model.student.head)
        model.train()
        before = copy.deepcopy(model.state_dict())
        state = torch.get_rng_state()
        assert model.gradient_alignment(batch()) is not None
        after = model.state_dict()
        assert before.keys() == after.keys()
        for key, value in before.items():
            same = torch.equal(value, after[key]) if isinstance(value, torch.Tensor) else str(value) == str(after[key])
            assert same, key
        assert torch.equal(state, torch.get_rng_state()) and all(p.grad is None for p in model.parameters())

    def test_it_does_not_depend_on_what_the_agent_set(self):
        model = build([SELF, GUIDE | dict(weight='agent')], [A])
        value = model.gradient_alignment(batch())
        model.apply_action(dict(guide=0.0))
        assert model.gradient_alignment(batch()) == value

    def test_without_two_sides_there_is_none(self):
        assert build([SELF]).gradient_alignment(batch()) is None
        assert build([GUIDE], [A]).gradient_alignment(batch()) is None
        assert build([SELF, GUIDE | dict(weight=0)], [A]).gradient_alignment(batch()) is None


class TestSelfDistillation:
    def train(self, model, steps, optimizer=None):
        optimizer = optimizer or OptimWrapper(torch.optim.SGD(model.student.parameters(), lr=0.5))
        weights = []
        for _ in range(steps):
            weights.append(model.student.body.weight.detach().clone())
            optimizer.update_params(total(model.loss(**batch())))
        return weights

    def test_it_averages_the_student_as_published(self):
        model = build([SELF, GUIDE], [EMA])
        weights = self.train(model, 6)
        average = weights[0]
        for t, new in enumerate(weights[1:], 1):
            share = max(0.25, 1 / (t + 1))
            average = (1 - share) * average + share * new
        assert torch.allclose(model.teachers['ema'].body.weight, average, atol=1e-6)

    def test_batch_norm_is_averaged_too_and_stays_in_evaluation(self):
        model = build([SELF, GUIDE], [EMA])
        student = model.student
        norm = torch.nn.BatchNorm2d(1)
        student.extra, model.teachers['ema'].extra = norm, copy.deepcopy(norm).eval()
        norm.running_mean.fill_(3.0)
        norm.num_batches_tracked.fill_(7)
        model.train().loss(**batch())
        own = model.teachers['ema'].extra
        assert own.running_mean.item() == 3 and own.num_batches_tracked.item() == 7
        assert not any(m.training for m in model.averages['ema'].modules())

    def test_it_is_in_the_checkpoint_but_no_parameter_and_not_in_the_students_file(self):
        model = build([SELF, GUIDE], [EMA])
        self.train(model, 3)
        assert {id(p) for p in model.parameters()} == {id(p) for p in model.student.parameters()}
        assert not any('ema' in k for k in model.student.state_dict())
        state = copy.deepcopy(model.state_dict())
        assert 'averages.ema.network.body.weight' in state
        fresh = build([SELF, GUIDE], [EMA])
        fresh.load_state_dict(state)
        expected, found = self.train(model, 3), self.train(fresh, 3)
        assert all(torch.equal(a, b) for a, b in zip(expected, found, strict=True))

    def test_gradient_reaches_the_student_only_and_nothing_moves_in_validation(self):
        model = build([GUIDE], [EMA])
        self.train(model, 1)
        with torch.no_grad():
            model.student.head.bias += 1.0
        average = copy.deepcopy(model.teachers['ema'].state_dict())
        logs = model.eval().loss(**batch())
        total(logs).backward()
        assert logs['loss_guide'] > 0 and model.student.head.bias.grad.any()
        assert all(torch.equal(average[k], v) for k, v in model.teachers['ema'].state_dict().items())

    def test_weight_0_is_plain_training_and_taps_reach_inside(self):
        plain, off = build([SELF]), build([SELF, GUIDE | dict(weight=0)], [EMA])
        for model in (plain, off):
            self.train(model, 3)
        assert all(torch.equal(plain.student.state_dict()[k], v) for k, v in off.student.state_dict().items())
        term = dict(name='feat', loss=dict(type='AttentionTransferLoss'), tap_s='body', tap_t='body')
        model = build([term], [EMA])
        self.train(model, 1)
        assert model.loss(**batch())['stat_feat'].item() == pytest.approx(0, abs=1e-6)

    def test_options_are_checked(self):
        with pytest.raises(ValueError, match=r'momentum must be in \(0, 1\]'):
            build(teachers=[EMA | dict(momentum=0)])
        with pytest.raises(ValueError, match="'ema' changes with the student: its images cannot be cached"):
            build(teachers=[EMA | dict(cache=dict(type='memory'))])
