"""RIL on a toy world: every query is a number, an answer is three digits of a network that has one logit for each option."""

import copy
import math

import pytest
import torch
from mmengine.optim import OptimWrapper
from torch import nn

from fusionkd.models.discriminators import CollapseDetector, Discriminator
from fusionkd.models.distillers import RILDistiller
from fusionkd.models.distillers.rewards import find_rewards, split_outputs
from fusionkd.models.judges import Judge
from fusionkd.models.policies import Answers, Policy, Responder, cat_outputs
from fusionkd.registry import MODELS

TOKENS, OPTIONS = 3, 4


@MODELS.register_module()
class DigitNetwork(nn.Module):
    def __init__(self):
        super().__init__()
        self.logits = nn.Parameter(torch.linspace(-1, 1, TOKENS * OPTIONS).reshape(TOKENS, OPTIONS))
        self.dropout = nn.Dropout(0.5)


@MODELS.register_module()
class DigitPolicy(Policy):
    def queries(self, inputs, data_samples=None):
        return dict(number=inputs['number'])

    def sample(self, network, queries, num):
        batch = len(queries['number'])
        tokens = torch.multinomial(network.logits.softmax(-1), batch * num, replacement=True)
        return Answers(dict(tokens=tokens.T.reshape(batch, num, TOKENS)))

    def log_prob(self, network, queries, answers):
        log_p = network.dropout(network.logits).log_softmax(-1).expand(*answers['tokens'].shape, OPTIONS)
        found = log_p.gather(-1, answers['tokens'][..., None])[..., 0]
        return found, torch.ones_like(found)

    def project(self, network, queries, responses):
        return Answers(dict(tokens=responses))

    def render(self, network, queries, answers):
        return answers['tokens'].float()

    def predict(self, network, inputs, data_samples):
        return data_samples

    def write_sheet(self, path, queries, outputs, titles):
        path = path.with_suffix('.txt')
        path.write_text('\n'.join(' | '.join(row) for row in titles))
        return path


@MODELS.register_module()
class DigitTeacher(Responder):
    def __init__(self, digit, name):
        super().__init__(name)
        self.digit = digit

    def respond(self, queries, num, data_samples=None):
        return torch.full((len(queries['number']), num, TOKENS), self.digit)


@MODELS.register_module()
class DigitDiscriminator(Discriminator):
    """The logit is ``gain`` times the sum of the digits minus 4: small sums are taken for a teacher's."""

    def __init__(self, gain=1.0):
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(float(gain)))
        self.bound = 0

    def bind(self, student):
        self.bound += 1

    def forward(self, queries, outputs):
        return self.gain * (outputs.sum(-1) - 4)


@MODELS.register_module()
class EvenJudge(Judge):
    def __call__(self, queries, outputs, references):
        if getattr(self, 'down', False):
            raise ConnectionError('the judge does not answer')
        return (outputs.sum(-1) % 2 == 0).float()


@MODELS.register_module()
class SmallDigitJudge(Judge):
    """Every digit below 2 is good."""

    def __call__(self, queries, outputs, references):
        return (outputs < 2).float()[..., : getattr(self, 'parts', TOKENS)]


@MODELS.register_module()
class DigitByDigit(DigitDiscriminator):
    """The same of every digit: 0 is taken for a teacher's."""

    def forward(self, queries, outputs):
        return self.gain * (outputs - 0.5)


def distiller(**options):
    torch.manual_seed(0)
    base = dict(
        student=dict(type='DigitNetwork'),
        policy=dict(type='DigitPolicy'),
        teachers=[dict(type='DigitTeacher', digit=0, name='zeros'), dict(type='DigitTeacher', digit=1, name='ones')],
        discriminator=dict(type='DigitDiscriminator'),
        judge=dict(type='EvenJudge'),
        pretrain=0,
        num=2,
        data_preprocessor=dict(type='BaseDataPreprocessor'),
    )
    model = RILDistiller(**copy.deepcopy(base | options))
    model.init_weights()
    return model.train()


def batch(size=2):
    return dict(number=torch.arange(float(size)))


def steps(model, count, lr=0.1):
    """Updates by plain gradient descent: the part of each, and its logs."""
    seen = []
    for _ in range(count):
        part = model.part
        logs = model.loss(batch())
        model.zero_grad()
        sum(v for k, v in logs.items() if k.startswith('loss_')).backward()
        with torch.no_grad():
            for p in model.parameters():
                p.sub_(lr * p.grad) if p.grad is not None else None
        seen.append((part, logs))
    return seen


def test_a_group_has_the_answers_of_the_student_and_then_of_every_teacher():
    model = distiller(num=3, teacher_num=2)
    model.loss(batch())
    tokens = model.group.answers['tokens']
    assert tokens.shape == (2, 3 + 2 + 2, TOKENS) and model.group.students == 3
    assert (tokens[:, 3:5] == 0).all() and (tokens[:, 5:] == 1).all()
    assert distiller().teacher_num == 2  # as many as of the student, as in the paper


def test_rewards_advantages_and_loss_by_hand():
    """Digits 3 3 3 and 0 0 1 of the student, 0 0 0 and 1 1 1 of the teachers, one each.

    Sums 9, 1, 0, 3 minus 4: similarity 0, 1, 1, 1. Even sums: 0, 0, 1, 0. Rewards 0, 1, 2, 1, mean 1, advantages -1, 0, 1, 0.
    """
    model = distiller(teacher_num=1, beta=0.0)
    model.loss(batch(1))
    model.group.answers.fields['tokens'][:, :2] = torch.tensor([[3, 3, 3], [0, 0, 1]])
    group = model.group
    logs = model.loss(batch(1))
    assert group.rewards['similarity'].tolist() == [[0, 1, 1, 1]]
    assert group.rewards['judge'].tolist() == [[0, 0, 1, 0]]
    assert logs['stat_similarity/student'] == 0.5 and logs['stat_similarity/teacher'] == 1
    assert logs['stat_judge/student'] == 0 and logs['stat_judge/teacher'] == 0.5
    assert logs['stat_ratio'] == 1 and logs['stat_kl'] == 0 and logs['stat_clipfrac'] == 0
    logs['loss_policy'].backward()
    # d/dx of -(1 / (4 x 3)) sum A log p, as all ratios are 1: token t gains for 0 (A = 1) and loses for 3 (A = -1).
    expected = torch.zeros(TOKENS, OPTIONS)
    for advantage, digit in ((-1, 3), (1, 0)):
        one = nn.functional.one_hot(torch.tensor(digit), OPTIONS)
        expected -= advantage * (one - model.student.logits.detach().softmax(-1)) / 12
    assert torch.allclose(model.student.logits.grad, expected, atol=1e-6)


@pytest.mark.parametrize('whole', [True, False])
def test_parts_are_paid_for_themselves(whole, tmp_path):
    """Digits 3 3 3 and 0 1 0 of the student, 0 0 0 and 1 1 1 of the teachers.

    Judge: 0 0 0, 1 1 1, 1 1 1, 1 1 1. Similarity of the whole answer, sum below 4: 0, 1, 1, 1 for all parts of it; of every
    digit: 0 0 0, 1 0 1, 1 1 1, 0 0 0. Means over the group 1.5 of every part, or 1.25, 1, 1.25.
    """
    kind = 'DigitDiscriminator' if whole else 'DigitByDigit'
    model = distiller(teacher_num=1, beta=0.0, judge=dict(type='SmallDigitJudge'), discriminator=dict(type=kind))
    model.loss(batch(1))
    group = model.group
    group.answers.fields['tokens'][:, :2] = torch.tensor([[3, 3, 3], [0, 1, 0]])
    logs = model.loss(batch(1))
    if whole:
        total = [[0.0] * 3, [2.0] * 3, [2.0] * 3, [2.0] * 3]
        assert group.rewards['similarity'].tolist() == [[0, 1, 1, 1]]
    else:
        total = [[0.0] * 3, [2.0, 1.0, 2.0], [2.0] * 3, [1.0] * 3]
    assert group.total.tolist() == [total] and logs['stat_judge/student'] == 0.5
    logs['loss_policy'].backward()
    advantages = torch.tensor(total) - torch.tensor(total).mean(0)
    digits = nn.functional.one_hot(group.answers['tokens'][0], OPTIONS)
    steps_up = digits - model.student.logits.detach().softmax(-1)
    assert torch.allclose(model.student.logits.grad, -(advantages[..., None] * steps_up).sum(0) / 12, atol=1e-6)
    assert model.write_sheet(tmp_path / 'sheet').is_file()


def test_parts_that_do_not_fit_are_refused():
    model = distiller(judge=dict(type='SmallDigitJudge'))
    steps(model, 1)
    model.judge.parts = 2
    with pytest.raises(ValueError, match="'judge' pays 2 parts of an answer, which has 3: give"):
        model.loss(batch())


def test_the_student_is_1_and_the_teacher_0():
    model = distiller(teacher_num=1, num=1)
    model.loss(batch(1))
    group = model.group
    group.answers.fields['tokens'][:, :1] = 3
    logits = torch.tensor([5.0, -4.0, -1.0])  # of sums 9, 0 and 3
    logs = model._discriminate(group.queries, group.answers, 1)
    teachers = (math.log(1 + math.exp(-4)) + math.log(1 + math.exp(-1))) / 2
    assert logs['loss_discriminator'].item() == pytest.approx(math.log(1 + math.exp(-5)) + teachers)
    assert logs['stat_accuracy'] == 1 and logs['stat_spread'].item() == pytest.approx(logits.sigmoid().std().item())
    logs['loss_discriminator'].backward()
    assert model.discriminator.gain.grad < 0  # more of it is better
    wrong = distiller(teacher_num=1, num=1, discriminator=dict(type='DigitDiscriminator', gain=-1))
    assert wrong._discriminate(group.queries, group.answers, 1)['stat_accuracy'] == 0
    outputs = model.policy.render(model.student, group.queries, group.answers)
    graded = find_rewards(group, outputs, model.discriminator, None, graded=True)
    assert graded['similarity'][0].tolist() == pytest.approx((1 - logits.sigmoid()).tolist(), rel=1e-4)


def test_updates_take_turns():
    model = distiller(mu=2, pretrain=3, pretrain_num=4)
    parts = [part for part, _ in steps(model, 3 + 8)]
    assert parts == ['discriminator'] * 3 + (['discriminator'] * 2 + ['student'] * 2) * 2
    frozen = [part for part, _ in steps(distiller(pretrain=2, train_discriminator=False), 5)]
    assert frozen == ['discriminator'] * 2 + ['student'] * 3
    assert [part for part, _ in steps(distiller(discriminator=None, pretrain=9), 3)] == ['student'] * 3


def test_an_update_changes_nothing_but_its_part():
    model = distiller(pretrain=1)
    student, gain = model.student.logits.detach().clone(), model.discriminator.gain.item()
    steps(model, 2)
    assert torch.equal(model.student.logits, student) and model.discriminator.gain.item() != gain
    gain = model.discriminator.gain.item()
    steps(model, 1)
    assert not torch.equal(model.student.logits, student) and model.discriminator.gain.item() == gain
    assert torch.equal(model.frozen['reference'].logits, student)
    assert not any('reference' in key or 'zeros' in key for key in model.state_dict())


def test_later_updates_with_a_group_are_against_the_policy_that_drew_it():
    model = distiller(mu=3, beta=0.5)
    logs = [logs for part, logs in steps(model, 6, lr=1.0) if part == 'student']
    assert logs[0]['stat_ratio'] == 1 and logs[0]['stat_kl'] == 0
    assert logs[1]['stat_approx_kl'] > 0 and logs[1]['stat_kl'] > 0
    assert model.group is None and model.recent is not None


def test_the_student_stays_in_evaluation_and_rewards_are_pushed_up():
    model = distiller(beta=0.01)
    assert not model.student.training and model.discriminator.training
    before = [logs for part, logs in steps(model, 40, lr=1.0) if part == 'student']
    after = [logs for part, logs in steps(model, 40, lr=1.0) if part == 'student']
    total = [
        sum(float(x['stat_similarity/student'] + x['stat_judge/student']) for x in logs) for logs in (before, after)
    ]
    assert total[1] > total[0]


def test_plain_group_policy_optimisation_needs_no_teachers():
    model = distiller(teachers=[], discriminator=None, num=4)
    (_, logs), *_ = steps(model, 2)
    assert set(model.recent.rewards) == {'judge'} and model.recent.total.shape == (2, 4)
    assert 'stat_judge/teacher' not in logs


@pytest.mark.parametrize(
    'options', [{}, dict(judge=dict(type='SmallDigitJudge'), discriminator=dict(type='DigitByDigit'))]
)
def test_a_resumed_state_goes_on_in_the_middle_of_a_group(options):
    straight, first, second = (distiller(mu=2, pretrain=1, **options) for _ in range(3))
    torch.manual_seed(5)
    steps(straight, 12)
    torch.manual_seed(5)
    for done in (4, 3, 5):  # stopped after the third of four updates of a group, and in the next one
        steps(first, done)
        assert first.group is not None or done == 5
        state = torch.get_rng_state()
        second = distiller(mu=2, pretrain=1, **options)
        second.load_state_dict(copy.deepcopy(first.state_dict()))
        torch.set_rng_state(state)
        first = second
    assert torch.equal(first.student.logits, straight.student.logits)
    assert torch.equal(first.discriminator.gain, straight.discriminator.gain)


def test_a_run_is_tied_to_the_weights_it_began_with():
    state = distiller().state_dict()
    other = distiller()
    with torch.no_grad():
        other.student.logits += 1
    other._keep_reference()
    with pytest.raises(ValueError, match='began with other weights'):
        other.load_state_dict(state)


def test_a_judge_that_does_not_answer_loses_nothing():
    model = distiller()
    steps(model, 1)
    group = model.group
    model.judge.down = True
    with pytest.raises(ConnectionError):
        model.loss(batch())
    assert model.group is group and group.phase == 'student' and not group.rewards
    model.judge.down = False
    assert model.loss(batch())['stat_ratio'] == 1


def test_a_loss_that_is_not_finite_stops_the_run_and_changes_nothing():
    model = distiller(discriminator=None, teachers=[])
    wrapper = OptimWrapper(torch.optim.SGD(model.student.parameters(), lr=0.1))
    model.train_step(dict(inputs=batch()), dict(student=wrapper))
    before = model.student.logits.detach().clone()
    assert torch.isfinite(before).all()
    model.judge = lambda queries, outputs, references: torch.tensor([[0.0, math.inf]] * 2)
    with pytest.raises(FloatingPointError, match='loss_policy is nan'):
        model.train_step(dict(inputs=batch()), dict(student=wrapper))
    assert torch.equal(model.student.logits, before)


def test_sheets_say_what_an_answer_is_and_earned(tmp_path):
    model = distiller(teacher_num=1)
    steps(model, 2)
    text = model.write_sheet(tmp_path / 'sheet', 1).read_text()
    first = model.recent.rewards['similarity'][0, 0]
    assert text.startswith(f'student, similarity {float(first):.2g}, judge') and text.count('zeros') == 1
    assert len(text.splitlines()) == 1


@pytest.mark.parametrize(
    ('options', 'words'),
    [
        (dict(discriminator=None, judge=None), 'nothing is rewarded'),
        (dict(teachers=[]), "teachers', but there are none"),
        (dict(mu=0), "{'mu': 0}"),
        (dict(teachers=[dict(type='DigitTeacher', digit=0, name='a')] * 2), "two teachers are named 'a'"),
        (dict(teachers=[], discriminator=None, num=1), 'no advantage'),
    ],
)
def test_what_cannot_work_is_refused(options, words):
    with pytest.raises(ValueError, match=words):
        distiller(**options)


def test_a_judge_of_another_shape_is_refused():
    model = distiller()
    steps(model, 1)
    model.judge = lambda queries, outputs, references: torch.zeros(2)
    with pytest.raises(ValueError, match=r'gave \(2,\) for answers \(2, 6\)'):
        model.loss(batch())


def test_answers_of_different_lengths_are_put_together():
    short, long = (Answers(dict(ids=torch.ones(2, 1, n)), dict(ids=7)) for n in (2, 3))
    together = Answers.cat([short, long])
    assert together['ids'][:, 0].tolist() == [[1, 1, 7]] * 2 and together.num == 2
    assert together.select(slice(1), [1])['ids'].tolist() == [[[1, 1, 1]]]
    assert cat_outputs([[['a'], ['b']], [['c'], ['d']]]) == [['a', 'c'], ['b', 'd']]
    assert split_outputs([['a', 'c'], ['b', 'd']], 1) == ([['a'], ['b']], [['c'], ['d']])


def test_collapse_is_seen():
    detector = CollapseDetector(window=3)
    useful = dict(accuracy=0.8, spread=0.3, constant=0.5)
    separable, constant = dict(accuracy=1.0, spread=0.5, constant=1.0), dict(accuracy=0.5, spread=0.0, constant=0.0)
    assert [detector.update(useful) for _ in range(4)] == [None] * 4
    assert [detector.update(separable) for _ in range(3)] == [None, None, 'separable']
    state = detector.state_dict()
    assert [detector.update(constant) for _ in range(3)] == [None, None, 'constant']
    detector.load_state_dict(state)
    assert detector.update(separable) == 'separable' and detector.update(useful) is None
    right_but_useful = CollapseDetector(window=1)
    assert right_but_useful.update(separable | dict(constant=0.5)) is None
