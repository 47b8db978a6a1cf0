"""Agents learn; a shortcut that ignores its own actions does not; a restored or saved agent decides the same."""

import io
import itertools
import json

import numpy as np
import pytest
import torch
from environments import IDENTITIES, Bowl, MixedIdentity, NumberIdentity, learnt, play, proves_to_learn

from fusionkd.registry import AGENTS
from fusionkd.rl import ActionSpace, Control
from fusionkd.rl.agents import (
    CosineAgent,
    EXP3Agent,
    FixedAgent,
    LinearAgent,
    LinUCBAgent,
    PGPEAgent,
    PPOAgent,
    RandomAgent,
    ReinforceAgent,
    ThompsonAgent,
)

PPO = dict(type='PPOAgent', rollout=32, minibatches=4, epochs=4)
PGPE = dict(type='PGPEAgent', population=2, hold=1)
REINFORCE = dict(type='ReinforceAgent', rollout=16)
CONTEXTUAL = [(PPO, 800), (REINFORCE, 800), (dict(type='LinUCBAgent'), 300), (dict(type='ThompsonAgent'), 300)]
LEARNERS = [*(options for options, _ in CONTEXTUAL), dict(type='EXP3Agent'), PGPE]
MIXED = dict(guide=Control(0.4, 0, 2), op=Control(1, options=('blur', 'noise')))
NAMES = ['gap/seafusion/score', 'student/score', 'progress']
SCHEDULES = [
    dict(type='FixedAgent'),
    dict(type='RandomAgent'),
    dict(type='LinearAgent', start=dict(guide=2), end=dict(guide=0)),
    dict(type='CosineAgent', start=dict(guide=0), end=dict(guide=1)),
    dict(type='GapProportionalAgent', gaps=dict(guide='gap/*')),
    dict(type='GridAgent', point=3),
]


def name(options):
    return options['type'] if isinstance(options, dict) else None


def build(options, controls=MIXED, names=NAMES, **more):
    agent = AGENTS.build(dict(options, **more))
    agent.setup(len(names), ActionSpace(controls), names)
    return agent


@pytest.fixture(autouse=True)
def _one_thread():
    """Networks this small only wait for each other's threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


# learning


@pytest.mark.parametrize(('options', 'decisions'), CONTEXTUAL, ids=name)
def test_the_observation_decides(options, decisions):
    assert learnt(play(AGENTS.build(options), MixedIdentity(), decisions))


@pytest.mark.parametrize('task', IDENTITIES, ids=lambda t: t.__name__)
@pytest.mark.parametrize('options', [o for o, _ in CONTEXTUAL], ids=name)
def test_single_samples_are_a_contextual_bandit(options, task):
    larger = {'rollout': 64} if 'rollout' in options else {}
    assert proves_to_learn(lambda seed: AGENTS.build(options | larger | dict(seed=seed)), task)


@pytest.mark.parametrize(('options', 'decisions'), CONTEXTUAL, ids=name)
def test_a_fixed_optimum_is_found(options, decisions):
    rewards = play(AGENTS.build(options | dict(seed=1)), Bowl(), decisions, seed=1)
    assert rewards[-50:].mean() > play(RandomAgent(1), Bowl(), decisions, seed=1).mean() + 0.2
    assert rewards[-50:].mean() > 0.85


class MeanShortcut(PPOAgent):
    """Trains towards the policy's own most likely action instead of the sampled one."""

    def fit(self, data):
        with torch.no_grad():
            policy = self.network.policy(data['observation'])
            sample = policy.mode()
            return_ = data | dict(sample=sample, log_prob=policy.log_prob(sample))
        return super().fit(return_)


class OnesShortcut(PPOAgent):
    """Reward-weighted cross-entropy of the outputs to ones, as MTKD-RL's public code trains its agent."""

    def fit(self, data):
        for _ in range(self.epochs):
            outputs = self.network.actor(data['observation']).sigmoid()
            target = torch.ones_like(outputs)
            loss = torch.nn.functional.binary_cross_entropy(outputs, target, reduction='none').mean(1)
            self._descend((data['returns'] * loss).mean())
        return {}


@pytest.mark.parametrize('task', IDENTITIES, ids=lambda t: t.__name__)
@pytest.mark.parametrize('shortcut', [MeanShortcut, OnesShortcut])
def test_a_shortcut_that_ignores_the_sampled_actions_fails(shortcut, task):
    """The criterion of the learners above rejects it."""
    assert not proves_to_learn(lambda seed: shortcut(rollout=64, minibatches=4, epochs=4, seed=seed), task)


# bandits


class Arms(NumberIdentity):
    """One number, best at 1 in the first ``switch`` decisions and at 0 afterwards; a grid of three arms holds both."""

    def __init__(self, switch=10**9):
        self.switch, self.count = switch, 0

    def see(self, rng):
        return np.zeros(1)

    def pay(self, seen, action):
        self.count += 1
        return 1 - abs(action[0] - float(self.count <= self.switch))


BANDITS = {
    'LinUCBAgent': (LinUCBAgent(discount=1.0), 600, 0.5),
    'ThompsonAgent': (ThompsonAgent(discount=1.0), 600, 0.5),
    'EXP3Agent': (EXP3Agent(explore=0.04, share=0.0), 3000, 0.6),  # a share of its arms stays random
}


@pytest.mark.parametrize(('agent', 'decisions', 'ratio'), BANDITS.values(), ids=BANDITS)
def test_regret_of_a_bandit_is_sublinear(agent, decisions, ratio):
    regret = np.cumsum(1 - play(agent, Arms(), decisions, noise=0.3))
    random = np.cumsum(1 - play(RandomAgent(), Arms(), decisions))
    half = regret[decisions // 2]
    assert regret[-1] - half < ratio * half
    assert regret[-1] < 0.5 * random[-1]
    assert random[-1] - random[decisions // 2] > 0.9 * random[decisions // 2]  # what linear regret looks like


@pytest.mark.parametrize('agent', [LinUCBAgent(discount=0.95), ThompsonAgent(discount=0.95), EXP3Agent(share=0.002)])
def test_a_moving_optimum_is_followed(agent):
    rewards = play(agent, Arms(switch=900), 1800, noise=0.1)
    assert rewards[700:900].mean() > 0.75 and rewards[1600:].mean() > 0.75


def test_exp3_without_sharing_holds_on_to_the_past():
    share, none = (play(EXP3Agent(explore=0.2, share=s), Arms(switch=900), 1300, noise=0.1) for s in (0.01, 0.0))
    assert share[900:].mean() > none[900:].mean() + 0.2


@pytest.mark.parametrize('kind', [LinUCBAgent, ThompsonAgent])
def test_the_linear_model_is_that_of_least_squares(kind):
    """Whatever the rewards' scale and offset, the model is ridge regression of the standardised rewards."""
    agent = kind(ridge=0.5, discount=1.0)
    space = ActionSpace(MIXED)
    agent.setup(2, space)
    rng = np.random.default_rng(0)
    _, tickets = agent.act_many(rng.random((30, 2)), 0)
    rewards = 1000 + 7 * rng.random(30)
    agent.observe_many(tickets[:10], rewards[:10])
    agent.observe_many(tickets[10:], rewards[10:])
    features = np.stack([t['features'].numpy() for t in tickets])
    target = (rewards - rewards.mean()) / rewards.std()
    expected = np.linalg.solve(features.T @ features + 0.5 * np.eye(features.shape[1]), features.T @ target)
    assert agent._model().mean.numpy() == pytest.approx(expected, abs=1e-6)
    inverse = np.linalg.inv(features.T @ features + 0.5 * np.eye(features.shape[1]))
    deviation = np.sqrt(np.einsum('ij,jk,ik->i', features, inverse, features))
    assert agent._model().deviation(torch.as_tensor(features)).numpy() == pytest.approx(deviation)


def test_thompson_draws_from_the_posterior():
    agent = ThompsonAgent(ridge=2.0)
    agent.setup(1, ActionSpace(dict(a=Control())))
    agent.observe_many(agent.act_many(np.random.default_rng(0).random((20, 1)), 0)[1], np.linspace(0, 1, 20))
    model = agent._model()
    draws = torch.stack([model.sample(agent.generator, 1.0) for _ in range(20000)])
    covariance = torch.linalg.inv(model.cholesky @ model.cholesky.T)
    assert torch.allclose(draws.T.cov(), covariance, atol=0.02)
    assert torch.allclose(draws.mean(0), model.mean, atol=0.02)


def test_exp3_update_by_hand():
    agent = EXP3Agent(levels=2, explore=0.5, share=0.0)
    agent.setup(1, ActionSpace(dict(a=Control())))
    _, tickets = agent.act_many(np.zeros((1, 1)), 0)
    assert tickets[0]['probability'] == 0.5
    agent.observe_many(tickets, [3.0])  # the first reward is its own mean, 0.5 after the mapping; estimate 1
    arm = tickets[0]['arm']
    assert (agent.log_weights[arm] - agent.log_weights[1 - arm]).item() == pytest.approx(0.5 * 1.0 / 2)
    logs = agent.update()
    assert logs['regret'] == pytest.approx(1.0 - 0.5) and agent.update() == {}


# parameter-based exploration


def run_episode(agent, goal, length=6):
    """Every decision is paid by how near it is to a goal that moves with progress; most of a return is chance."""
    for k in range(length):
        progress = k / length
        action = agent.act([0.0, 1.0, progress], progress)
        agent.observe(-((action[0] - goal(progress)) ** 2), [0.0, 1.0, progress], k == length - 1)


def test_pgpe_learns_from_pairs_of_episodes():
    agent = build(PGPE, dict(guide=Control(0.4)), population=8, hold=None, std=0.3, inputs=['progress'])
    for _ in range(60):
        for _ in range(8):
            run_episode(agent, lambda progress: 0.9 - 0.8 * progress)
        assert agent.update()['loss'] > 0
    early, late = (agent.act([0.0, 1.0, x], x, explore=False)[0] for x in (0.0, 0.83))
    assert early == pytest.approx(0.9, abs=0.15) and late == pytest.approx(0.24, abs=0.15)


def test_pgpe_explores_with_a_draw_and_its_mirror_image():
    agent = build(PGPE, dict(guide=Control(0.5)), hold=2, population=4)
    raw = [np.log(a / (1 - a)) for a in (agent.act([0, 0, 0], 0)[0] for _ in range(6))]
    assert raw[:4] == pytest.approx([raw[0], raw[0], -raw[0], -raw[0]])
    assert abs(raw[0]) > 0.01 and abs(raw[4] - raw[0]) > 0.01
    twins = [build(PGPE, hold=None, mirrored=m, seed=3) for m in (False, True)]
    for twin in twins:
        twin.act([0, 0, 0], 0)
    assert torch.equal(twins[0].noise, -twins[1].noise) and not torch.equal(twins[0].noise, agent.noise)


def test_pgpe_update_by_hand():
    """Deviation 0.5, returns 3 and 1 of a pair: advantages 1 and -1; then 1.1 and 0.9, which are worth a tenth of that."""
    agent = build(PGPE, dict(guide=Control(0.5)), population=2, std=0.5, lr=2.0, hold=None, inputs=[])
    mean = 0.0
    for returns, advantage, scale in (((3.0, 1.0), 1.0, 1.0), ((1.1, 0.9), 0.1, ((2 + 0.02) / 4) ** 0.5)):
        for reward in returns:
            agent.act([0, 0, 0], 0)
            agent.observe(reward, [0, 0, 0], True)
        step = 2 * advantage / scale * agent.outcomes[0][0].item()
        logs = agent.update()
        mean += 0.5 * step
        assert agent.mean.item() == pytest.approx(mean)
        assert logs['loss'] == pytest.approx(-sum(returns) / 2) and logs['approx_kl'] == pytest.approx(0.5 * step**2)


def test_a_pgpe_policy_needs_only_its_inputs(tmp_path):
    teacher = build(PGPE, inputs=['progress'])
    for progress in (0.0, 0.4, 0.9):
        teacher.act([3.0, 5.0, progress], progress)
    teacher.mean += torch.randn_like(teacher.mean)
    teacher.save_policy(tmp_path / 'policy.pth')
    start = dict(inputs=['progress'], init_from=str(tmp_path / 'policy.pth'), frozen=True)
    other = build(PGPE, names=['progress', 'something else'], **start)
    expected = teacher.act([7.0, -1.0, 0.6], 0.6, explore=False)
    assert np.array_equal(other.act([0.6, 2.0], 0.6), expected)
    with pytest.raises(ValueError, match='no observation matches'):
        build(PGPE, names=['something else'], **start)


def test_pgpe_options_are_checked():
    for options, message in ((dict(population=3), 'even'), (dict(hold=0), '1 or more'), (dict(std=0), 'positive')):
        with pytest.raises(ValueError, match=message):
            PGPEAgent(**options)
    with pytest.raises(ValueError, match='no observation matches'):
        build(PGPE, inputs=['nothing'])


# policy gradient


@pytest.mark.parametrize('kind', [PPOAgent, ReinforceAgent, PGPEAgent])
def test_first_action_is_the_initial_one(kind):
    controls = dict(a=Control(0.3), b=Control(0.8), op=Control(2, options=('x', 'y', 'z')))
    agent = kind(std=0.05)
    agent.setup(2, ActionSpace(controls))
    assert agent.act(np.zeros(2), 0, explore=False) == pytest.approx([0.3, 0.8, 2], abs=0.02)


@pytest.mark.parametrize(
    ('kind', 'logged'),
    [
        (PPOAgent, {'loss', 'entropy', 'approx_kl', 'clipfrac', 'explained_variance', 'policy_loss', 'value_loss'}),
        (ReinforceAgent, {'loss', 'entropy', 'approx_kl', 'explained_variance', 'policy_loss', 'value_loss'}),
    ],
)
def test_learning_is_logged_when_the_rollout_is_full(kind, logged):
    agent = kind(rollout=8)
    agent.setup(2, ActionSpace(MIXED))
    for i in range(8):
        assert agent.update() == {}
        agent.act(np.random.rand(2), 0)
        agent.observe(np.random.rand(), np.random.rand(2), i == 5)
    logs = agent.update()
    assert set(logs) == logged and all(np.isfinite(v) for v in logs.values())
    assert logs['approx_kl'] > 0


def test_advantages_of_a_rollout_by_hand():
    """Value 2 everywhere; the fourth step ends its episode, the second is cut short, the rollout ends within a third."""
    agent = PPOAgent(rollout=5, minibatches=2, gamma=0.5, lam=1.0)
    agent.setup(1, ActionSpace(dict(a=Control())))
    agent.returns.update = lambda x: None  # rewards as they are
    with torch.no_grad():
        agent.network.critic[-1].weight.zero_()
        agent.network.critic[-1].bias.fill_(2.0)
    seen = {}
    agent.fit = lambda data: seen.update(data) or {}
    for reward, done, truncated in [(1, 0, 0), (3, 0, 1), (5, 0, 0), (7, 1, 0), (9, 0, 0)]:
        agent.act(np.ones(1), 0)
        agent.observe(reward, np.ones(1), bool(done), bool(truncated))
        agent.update()
    returns = [1 + 0.5 * (3 + 0.5 * 2), 3 + 0.5 * 2, 5 + 0.5 * 7, 7, 9 + 0.5 * 2]
    assert seen['returns'].tolist() == pytest.approx(returns)
    assert seen['advantage'].tolist() == pytest.approx([r - 2 for r in returns])


def test_a_rollout_may_mix_episodes_and_single_samples():
    agent = PPOAgent(rollout=6, minibatches=2)
    agent.setup(1, ActionSpace(MIXED))
    _, tickets = agent.act_many(np.random.rand(4, 1), 0)
    for _ in range(2):
        agent.act(np.random.rand(1), 0)
        agent.observe(1.0, np.random.rand(1), False)
        assert agent.update() == {}
    agent.observe_many(tickets, [100.0, 101.0, 102.0, 103.0])
    singles = agent.singles[0]['reward']
    assert singles.mean().abs() < 1e-6 and singles.std(unbiased=False).item() == pytest.approx(1, abs=1e-4)
    assert agent.update() and not agent.steps and not agent.singles


def test_bad_options_of_policy_gradient_agents():
    with pytest.raises(ValueError, match='at least two decisions'):
        PPOAgent(rollout=4, minibatches=4)
    with pytest.raises(ValueError, match='at least two decisions'):
        ReinforceAgent(rollout=1)
    with pytest.raises(ValueError, match='std must be in'):
        PPOAgent(std=9)


# the interface


@pytest.mark.parametrize('options', [*LEARNERS, *SCHEDULES], ids=name)
def test_a_restored_agent_decides_the_same(options):
    def run(agent, start, stop, late):
        actions = []
        for i in range(start, stop):
            seen = np.sin(np.arange(3) + i)
            actions.append(agent.act(seen, i / 40))
            agent.observe(float(np.cos(i) + actions[-1][0]), np.sin(np.arange(3) + i + 1), i % 7 == 6, i % 5 == 4)
            many, tickets = agent.act_many(np.stack([seen, -seen]), i / 40)
            actions += list(many)
            agent.observe_many(late[-1], [np.sin(i), np.cos(i)]) if late else None
            late.append(tickets)
            agent.update()
        return actions

    straight, resumed = build(options), build(options)
    late = []
    run(straight, 0, 21, late)  # in the middle of a rollout
    straight.act(np.zeros(3), 0.5)  # and of a decision
    file = io.BytesIO()
    torch.save(dict(agent=straight.state_dict(), late=late), file)
    file.seek(0)
    state = torch.load(file, weights_only=True)
    straight.observe(1.0, np.ones(3), False)
    resumed.load_state_dict(state['agent'])
    resumed.observe(1.0, np.ones(3), False)
    assert np.array_equal(run(straight, 21, 40, late), run(resumed, 21, 40, state['late']))
    assert straight.action_histogram() == resumed.action_histogram()


@pytest.mark.parametrize('options', LEARNERS, ids=name)
def test_a_state_does_not_change_with_the_agent(options):
    agent = build(options)
    play(agent, MixedIdentity(), 20)
    state = agent.state_dict()
    file, again = io.BytesIO(), io.BytesIO()
    torch.save(state, file)
    for _ in range(40):
        agent.act(np.ones(3), 0)
        agent.observe(np.random.rand(), np.ones(3), False)
        agent.update()
    torch.save(state, again)
    assert file.getvalue() == again.getvalue()


def test_agents_leave_the_global_generators_alone():
    np.random.seed(0), torch.manual_seed(0)
    expected = np.random.rand(), torch.rand(1).item()
    np.random.seed(0), torch.manual_seed(0)
    for options in [*LEARNERS, dict(type='RandomAgent')]:
        play(AGENTS.build(options), MixedIdentity(), 40)
    assert (np.random.rand(), torch.rand(1).item()) == expected


@pytest.mark.parametrize('options', LEARNERS, ids=name)
def test_a_seed_decides(options):
    first, same, other = (play(AGENTS.build(options | dict(seed=s)), MixedIdentity(), 40) for s in (3, 3, 4))
    assert np.array_equal(first, same)
    assert options['type'] == 'LinUCBAgent' or not np.array_equal(first, other)  # whose seed only breaks ties


@pytest.mark.parametrize('options', LEARNERS, ids=name)
def test_misuse_is_named(options):
    agent = build(options)
    with pytest.raises(RuntimeError, match='call act'):
        agent.observe(0.0, np.zeros(3), False)
    with pytest.raises(ValueError, match='observations of 3 elements'):
        agent.act(np.zeros(2), 0)
    with pytest.raises(ValueError, match='2 tickets need as many rewards'):
        agent.observe_many(agent.act_many(np.zeros((2, 3)), 0)[1], [1.0])
    with pytest.raises(ValueError, match='3 observations have 1 names'):
        agent.setup(3, ActionSpace(MIXED), ['a'])


def test_histogram_counts_what_was_done():
    agent = build(dict(type='LinearAgent', start=dict(guide=0), end=dict(guide=2)))
    for progress in (0, 0.01, 0.5, 1):
        agent.act(np.zeros(3), progress)
    agent.act_many(np.zeros((4, 3)), 1.0)
    histogram = agent.action_histogram()
    assert histogram['op'] == dict(blur=0, noise=1)
    assert list(histogram['guide'].values()) == [2 / 8, 0, 0, 0, 0, 1 / 8, 0, 0, 0, 5 / 8]
    assert list(histogram['guide'])[:2] == ['0..0.2', '0.2..0.4']


def test_unknown_agent():
    with pytest.raises(KeyError, match=r'unknown agent type .PPO.: did you mean PPOAgent'):
        AGENTS.build(dict(type='PPO'))


# a policy that another run has learnt

TASKS = {'EXP3Agent': Bowl}


@pytest.mark.parametrize('options', LEARNERS, ids=name)
def test_a_saved_policy_decides_the_same_and_can_be_frozen(options, tmp_path):
    task = TASKS.get(options['type'], MixedIdentity)()
    teacher = AGENTS.build(options)
    play(teacher, task, 200)
    teacher.save_policy(tmp_path / 'policy.pth', dict(data='identity'))
    card = json.loads((tmp_path / 'policy.json').read_text())
    assert card['data'] == 'identity' and card['agent'] == options['type'] and len(card['sha256']) == 64
    assert torch.load(tmp_path / 'policy.pth', weights_only=True)

    names = [f'seen/{i}' for i in range(task.size)]
    seen = [task.see(np.random.default_rng(i)) for i in range(20)]
    frozen = AGENTS.build(options | dict(init_from=str(tmp_path / 'policy.pth'), frozen=True))
    frozen.setup(task.size, ActionSpace(task.controls), names)
    expected = [teacher.act(s, 0, explore=False) for s in seen]
    for s, e in zip(seen, expected, strict=True):
        assert np.array_equal(frozen.act(s, 0), e)  # though it was asked to explore
        frozen.observe(100.0, s, False)
    actions, tickets = frozen.act_many(np.stack(seen), 0)
    frozen.observe_many(tickets, np.random.rand(20))
    assert frozen.update() == {}
    assert np.array_equal(actions, expected)
    assert np.array_equal([frozen.act(s, 0) for s in seen], expected)

    adapting = AGENTS.build(options | dict(init_from=str(tmp_path / 'policy.pth')))
    adapting.setup(task.size, ActionSpace(task.controls), names)
    assert np.array_equal([adapting.act(s, 0, explore=False) for s in seen], expected)
    before = str(adapting.policy_state())
    for s in seen * 4:
        adapting.act(s, 0)
        adapting.observe(float(s.sum()), s, False)
        adapting.update()
    assert str(adapting.policy_state()) != before


def test_a_policy_of_another_task_is_refused(tmp_path):
    path = str(tmp_path / 'policy.pth')
    build(PPO, hidden=32).save_policy(path)
    build(PPO, hidden=32, init_from=path)
    others = {
        'hidden: it has 32, this run 64': dict(options=PPO),
        'observation_size: it has 3, this run 1': dict(options=PPO | dict(hidden=32), names=['x']),
        'observations: .*this run .*other': dict(options=PPO | dict(hidden=32), names=[*NAMES[:2], 'other']),
        'agent: it has PPOAgent, this run ReinforceAgent': dict(options=REINFORCE | dict(hidden=32)),
        "controls: .*'high': 2.*this run .*'high': 3": dict(
            options=PPO | dict(hidden=32), controls=MIXED | dict(guide=Control(0.4, 0, 3))
        ),
        'controls: .*noise.*this run .*haze': dict(
            options=PPO | dict(hidden=32), controls=MIXED | dict(op=Control(options=('blur', 'haze')))
        ),
    }
    for message, other in others.items():
        with pytest.raises(ValueError, match=f'another task.*{message}'):
            build(other.pop('options'), init_from=path, **other)


def test_a_policy_file_that_is_not_the_cards_is_refused(tmp_path):
    path = tmp_path / 'policy.pth'
    with pytest.raises(FileNotFoundError, match='policy file not found'):
        build(PPO, init_from=str(path))
    build(PPO).save_policy(path)
    torch.save(build(PPO | dict(seed=1)).policy_state(), path)
    with pytest.raises(ValueError, match='not the file its card describes'):
        build(PPO, init_from=str(path))
    with pytest.raises(ValueError, match=r"must not set \['hidden'\]"):
        build(PPO).save_policy(path, dict(hidden=3))
    with pytest.raises(ValueError, match='FixedAgent learns nothing'):
        build(dict(type='FixedAgent')).save_policy(path)


# schedules


def test_fixed_agent_stays():
    agent = build(dict(type='FixedAgent'))
    assert agent.act(np.ones(3), 0.5).tolist() == [0.2, 1]
    agent.observe(1.0, np.ones(3), False)  # of no consequence
    assert agent.update() == {}


def test_random_agent_covers_the_space_evenly():
    actions, _ = build(dict(type='RandomAgent')).act_many(np.zeros((4000, 3)), 0)
    assert actions[:, 0].mean() == pytest.approx(0.5, abs=0.02)
    assert actions[:, 0].var() == pytest.approx(1 / 12, abs=0.01)
    assert actions[:, 1].mean() == pytest.approx(0.5, abs=0.04)
    assert build(dict(type='RandomAgent')).act(np.zeros(3), 0, explore=False).tolist() == [0.5, 1]


@pytest.mark.parametrize(('kind', 'quarter'), [(LinearAgent, 0.25), (CosineAgent, 0.5 - 2**-1.5)])
def test_annealing(kind, quarter):
    agent = kind(start=dict(guide=2.0, b=0.25), end=dict(guide=1.0, b=0.75))
    space = ActionSpace(MIXED | dict(b=Control(), c=Control(0.3)))
    agent.setup(1, space)
    for progress, share in ((0, 0), (0.25, quarter), (0.5, 0.5), (1, 1), (1.5, 1)):
        values = space.step(agent.act(np.zeros(1), progress))
        assert values == pytest.approx(dict(guide=2 - share, b=0.25 + 0.5 * share, c=0.3, op='noise'))


def test_annealing_is_validated():
    with pytest.raises(ValueError, match='same controls'):
        LinearAgent(start=dict(guide=1), end=dict(other=1))
    with pytest.raises(ValueError, match='same controls'):
        LinearAgent(start={}, end={})
    for values, message in ((dict(x=1), "no control 'x'"), (dict(guide=3), r'must be in \[0, 2\]')):
        with pytest.raises(ValueError, match=message):
            build(dict(type='LinearAgent', start=values, end=values))
    with pytest.raises(ValueError, match='cannot be annealed'):
        build(dict(type='CosineAgent', start=dict(op='blur'), end=dict(op='noise')))


def test_gap_proportional_agent():
    names = ['gap/a/score', 'gap/b/score', 'gap/a/pixels']
    agent = build(dict(type='GapProportionalAgent', gaps=dict(guide='gap/*/score'), full=0.4), names=names)
    assert agent.act([0.1, 0.3, 9], 0).tolist() == [0.5, 1]
    assert agent.act([0.9, 0.3, 9], 0).tolist() == [1, 1]
    assert agent.act([-0.9, 0.3, 9], 0).tolist() == [0, 1]
    relative = build(dict(type='GapProportionalAgent', gaps=dict(guide='gap/a/score')), names=names)
    assert [relative.act([gap, 0, 0], 0)[0] for gap in (-1, 2, 1, 4, 1)] == [0, 1, 0.5, 1, 0.25]


def test_gap_proportional_agent_is_validated():
    for options, message in (
        (dict(gaps={}), 'gaps must name'),
        (dict(gaps=dict(guide='gap/*'), full=0), 'full must be positive'),
        (dict(gaps=dict(op='gap/*')), r"no controls \['op'\] with a number; those are: guide"),
        (dict(gaps=dict(guide='none/*')), "no observation matches 'none/.'; there are: gap/seafusion/score"),
    ):
        with pytest.raises(ValueError, match=message):
            build(dict(type='GapProportionalAgent', **options))


def test_grid_agents_cover_the_grid():
    points = [build(dict(type='GridAgent', point=i, levels=2)).act(np.zeros(3), i / 4).tolist() for i in range(4)]
    assert points == [list(p) for p in itertools.product([0, 1], [0, 1])]
    with pytest.raises(ValueError, match=r'point must be in 0\.\.3 for 2 levels, got 4'):
        build(dict(type='GridAgent', point=4, levels=2))


def test_an_agent_of_your_own_needs_only_decide():
    class Half(FixedAgent):
        def decide(self, observations, progress, explore):
            return np.full((len(observations), 2), 0.5), [None] * len(observations)

    agent = Half()
    agent.setup(1, ActionSpace(MIXED))
    assert agent.act(np.zeros(1), 0).tolist() == [0.5, 0.5] and not agent.learns
