"""Agent, observations, actions and reward together, without a Runner; and decisions about single samples."""

import copy
import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from fusionkd.engine.stages import StagePlan
from fusionkd.models.distillers import FusionDistiller
from fusionkd.registry import AGENTS
from fusionkd.rl.actions import Control
from fusionkd.rl.agents import BaseAgent
from fusionkd.rl.samples import SampleScheduler
from fusionkd.rl.scheduler import AgentScheduler, Handle, bounded

PROBE = dict(
    dataset=dict(
        type='SyntheticScenes', num=2, size=(48, 64), seed=3, name='probe', pipeline=[dict(type='PackFusionInputs')]
    ),
    num=2,
    size=48,
    degraded=dict(ops=['rain']),
)


@AGENTS.register_module(force=True)
class ScriptedAgent(BaseAgent):
    """Takes the actions it is given and remembers what it is told."""

    def __init__(self, script, seed=0):
        super().__init__(seed)
        self.script = [np.array(a, float) for a in script]
        self.paid = []

    def decide(self, observations, progress, explore):
        self.last = observations
        action = self.script[0] if len(self.script) == 1 else self.script.pop(0)
        return np.tile(action, (len(observations), 1)), [dict(at=float(o[0])) for o in observations]

    def learn(self, ticket, reward, following, done, truncated):
        self.paid.append((reward, done))

    def learn_many(self, tickets, rewards):
        self.paid.append(([t['at'] for t in tickets], rewards.tolist()))


@pytest.fixture
def model():
    torch.manual_seed(0)
    return FusionDistiller(
        student=dict(type='ToyFuser'),
        teachers=[dict(type='ToyFuser', channels=3, name='t')],
        terms=[
            dict(name='self', loss=dict(type='FusionLoss', window=11)),
            dict(name='guide', loss=dict(type='L1Loss'), weight='agent'),
        ],
        hard_samples=dict(type='HardSampleGenerator', ops=['blur', 'noise'], strength='agent'),
    )


def scheduler(script, **options):
    agent = dict(type='ScriptedAgent', script=script)
    return AgentScheduler(**dict(agent=agent, probe=PROBE, observation=['Progress']) | options)


def test_controls_observation_reward_and_log(model, tmp_path):
    made = []
    run = scheduler(
        [[1, 0.5], [0, 0]],
        actions=dict(guide=(0, 4, 3), lr=(0.5, 1.5)),
        observation=['Progress', 'LastAction', 'TermLosses', dict(type='GeneralisationGap', every=2)],
    )
    run.setup(model, tmp_path, handles=dict(lr=Handle(Control(1, 0.1, 10), made.append), other=Handle(Control(), None)))
    assert run.space.names == ['guide', 'lr'] and run.space.values == dict(guide=3, lr=1)
    run.decide(0, 4)
    assert model.terms['guide'].weight == 4 and made[-1] == 1
    run.record(dict(stat_self=torch.tensor(-2.0)), images=2)
    with torch.no_grad():
        model.student.head.bias += 0.5
    record = run.decide(2, 4)
    assert record.reward == pytest.approx(100 * (record.score - run.decisions[0].score)) and record.reward != 0
    assert model.terms['guide'].weight == 0 and made[-1] == 0.5
    assert record.observation['action/guide'] == 1 and record.observation['term/self'] < 0
    assert record.observation['term/guide'] == 0  # never recorded
    last = run.decide(4, 4)
    assert last.action == {} and [done for _, done in run.agent.paid] == [False, True]
    lines = [json.loads(line) for line in (tmp_path / 'agent.jsonl').read_text().splitlines()]
    assert [line['step'] for line in lines] == [0, 2, 4]
    # between its turns the last reading stands: the student has changed, the gap to the degraded score has not been retaken
    seen = [line['observation']['degraded/score'] for line in lines]
    assert seen[0] == seen[1] != seen[2]
    run.plot()
    assert (tmp_path / 'agent.png').is_file()


def test_unknown_controls_are_refused(model, tmp_path):
    with pytest.raises(ValueError, match=r"actions names \['self'\].*guide, hard_strength, hard_op, hard_share, lr"):
        scheduler([[0]], actions=dict(self=None)).setup(model, tmp_path, handles=dict(lr=Handle(Control(), print)))


def test_bounds_are_two_or_three_numbers_of_a_number():
    controls = dict(a=Control(1, 0, 2), op=Control(options=('blur', 'noise')))
    assert bounded(controls, dict(a=(2, 4))) == dict(a=Control(2, 2, 4))
    assert bounded(controls, dict(a=None, op=None)) == controls
    for wrong in (dict(a=(1,)), dict(op=(0, 1))):
        with pytest.raises(ValueError, match=r'expected \(low, high\) or \(low, high, initial\)'):
            bounded(controls, wrong)
    with pytest.raises(ValueError, match='initial must be in'):
        bounded(controls, dict(a=(0, 1, 5)))


def test_a_stage_takes_its_controls_from_the_agent_and_gives_them_back(model, tmp_path):
    stages = StagePlan([dict(name='warmup', until=0.5, weights=dict(guide=7.0)), dict(name='distil')])
    stages.setup(model)
    run = scheduler([[0.25, 1]], actions=dict(guide=(0, 4), hard_strength=None))
    run.setup(model, tmp_path, stages=stages)
    assert run.decide(0, 4).stage == 'warmup'
    assert model.terms['guide'].weight == 7 and model.hard_samples.high == 1
    assert stages.update(0.5)
    run.apply()
    assert model.terms['guide'].weight == 1


def test_a_wish_counts_once(model, tmp_path):
    stages = StagePlan(
        [dict(name='warmup', until=0.9), dict(name='distil', until=0.95), dict(name='rest')], min_length=0.1
    )
    stages.setup(model)
    run = scheduler([[1]], actions=dict(end_stage=None))
    end = Handle(Control(options=('go_on', 'end')), stages.request_end, event=True)
    run.setup(model, tmp_path, handles=dict(end_stage=end), stages=stages)
    run.decide(0, 10)
    assert stages.update(0.1) and stages.name == 'distil'
    run.apply()  # the new stage begins; the wish was for the one before
    assert not stages.update(0.5)
    run.decide(5, 10)
    assert stages.update(0.6) and stages.name == 'rest'


def test_transitions_can_be_kept_for_later(model, tmp_path):
    run = scheduler([[0.5]], actions=dict(guide=None))
    run.journal = []
    run.setup(model, tmp_path)
    for step in (0, 1, 2):
        run.decide(step, 2)
    assert run.agent.paid == [] and [t.done for t in run.journal] == [False, True]
    assert run.journal[1].observation == [0.5] and run.journal[1].following == [1.0]
    assert run.journal[0].ticket == dict(at=0.0)


def test_averaged_weights_are_measured(model, tmp_path):
    averaged = copy.deepcopy(model)
    with torch.no_grad():
        averaged.student.head.bias += 2
    scores = {}
    for name, options in (('average', {}), ('raw', dict(probe=PROBE | dict(averaged=False)))):
        run = scheduler([[0.5]], actions=dict(guide=None), **options)
        run.setup(model, tmp_path, averaged=averaged)
        scores[name] = run.decide(0, 2).score
    plain = scheduler([[0.5]], actions=dict(guide=None))
    plain.setup(model, tmp_path)
    assert scores['raw'] == plain.decide(0, 2).score != scores['average']


class Batches:
    """What SampleScheduler needs of a distiller."""

    def __init__(self):
        loss = SimpleNamespace(per_sample=None)
        self.terms = dict(
            self=SimpleNamespace(on='clean', taught=False, loss=loss),
            hard=SimpleNamespace(on='hard', taught=False, loss=loss),
        )
        self.sample_values, self.applied = {}, []

    def sample_controls(self):
        return dict(hard_strength=Control(0.5), hard_op=Control(options=('blur', 'noise')))

    def apply_sample_action(self, action):
        self.applied.append(action)

    def data_preprocessor(self, data, training):
        return data

    def step(self, samples, names, losses):
        images = torch.rand(len(names), 1, 8, 8)
        data = dict(inputs=dict(ir=images, vis=images), data_samples=[SimpleNamespace(name=n) for n in names])
        samples.before_step(data, 0.5)
        self.sample_values = {} if losses is None else dict(self=torch.tensor(losses))
        samples.after_step()


def sample_scheduler(**options):
    return SampleScheduler(**dict(agent=dict(type='ScriptedAgent', script=[[0.25, 1]]), momentum=0.5) | options)


def test_a_sample_is_paid_when_it_returns():
    model, samples = Batches(), sample_scheduler()
    samples.setup(model)
    model.step(samples, ['a', 'b'], [1.0, 2.0])
    assert model.applied[0] == dict(hard_strength=[0.25, 0.25], hard_op=['noise', 'noise'])
    assert samples.agent.paid == []
    first = samples.agent.last[0, 0]
    model.step(samples, ['c', 'a'], [3.0, 0.4])
    assert samples.agent.paid == [([float(first)], [pytest.approx(0.6)])]
    assert samples.agent.last[1, 7:].tolist() == pytest.approx([1.0, 0.0, 1.0, 0.5])  # loss, trend, known, progress
    model.step(samples, ['a', 'd'], None)  # the term was off: the visit stands
    model.step(samples, ['a', 'd'], [0.1, 1.0])
    assert samples.agent.paid[-1][1] == [pytest.approx(0.3 - 0.3, abs=1e-6)]  # the mean drop was 0.5 * 0.6
    assert samples.summary() == {'hard_strength': 0.25, 'hard_op/noise': 1.0}
    assert samples.summary() == {}


def test_samples_go_on_after_a_resume():
    runs = []
    for stop in (False, True):
        torch.manual_seed(1)
        model, samples = Batches(), sample_scheduler()
        samples.setup(model)
        model.step(samples, ['a', 'b'], [1.0, 2.0])
        model.step(samples, ['a', 'c'], [0.5, 2.0])
        if stop:
            state = samples.state_dict()
            samples = sample_scheduler()
            samples.setup(model)
            samples.load_state_dict(state)
        model.step(samples, ['b', 'a'], [1.0, 0.4])
        runs.append((samples.agent.paid[-1], samples.mean_drop, samples.summary()))
    assert runs[0] == runs[1]


def test_samples_need_a_clean_loss_and_controls():
    model = Batches()
    with pytest.raises(ValueError, match=r"\['hard'\] cannot tell it.*has per_sample: self"):
        sample_scheduler(terms=['hard']).setup(model)
    with pytest.raises(ValueError, match=r"cannot set \['lr'\] per sample; there are: hard_strength, hard_op"):
        sample_scheduler(actions=dict(lr=None)).setup(model)
    del model.terms['self']
    with pytest.raises(ValueError, match='no term cannot tell it'):
        sample_scheduler().setup(model)
