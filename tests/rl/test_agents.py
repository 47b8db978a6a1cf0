"""Agents learn; a shortcut that ignores its own actions does not."""

import numpy as np
import pytest
import torch

from fusionkd.registry import AGENTS
from fusionkd.rl.agents import FixedAgent, LinUCBAgent, PPOAgent, RandomAgent

LEARNERS = {'PPOAgent': dict(rollout=32, minibatches=4, epochs=4), 'LinUCBAgent': dict()}


@pytest.fixture(autouse=True)
def _one_thread():
    """Networks this small only wait for each other's threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def play(agent, reward, decisions, observation=lambda rng: rng.random(2), seed=0, actions=2):
    """Rewards of an environment whose reward depends on the observation and the action taken on it."""
    rng = np.random.default_rng(seed)
    agent.setup(len(observation(rng)), np.full(actions, 0.5))
    rewards, seen = [], observation(rng)
    for _ in range(decisions):
        action = agent.act(seen, 0.0)
        assert action.shape == (actions,) and (action >= 0).all() and (action <= 1).all()
        rewards.append(reward(seen, action))
        seen = observation(rng)
        agent.observe(rewards[-1], seen, False)
        agent.update()
    return np.array(rewards)


def bowl(seen, action):
    """Best action (0.85, 0.15) whatever is seen."""
    return 1 - np.square(action - [0.85, 0.15]).sum()


@pytest.mark.parametrize('name', LEARNERS)
@pytest.mark.parametrize('seed', [0, 1, 2])
def test_a_fixed_optimum_is_found(name, seed):
    rewards = play(AGENTS.build(dict(type=name, seed=seed, **LEARNERS[name])), bowl, 500, seed=seed)
    random = play(RandomAgent(seed), bowl, 500, seed=seed)
    assert rewards[-50:].mean() > random.mean() + 0.2
    assert rewards[-50:].mean() > 0.85


@pytest.mark.parametrize(('name', 'decisions'), [('PPOAgent', 1600), ('LinUCBAgent', 400)])
def test_the_observation_decides(name, decisions):
    """Identity environment: the best action is what is seen, so a policy blind to it earns no more than a constant."""

    def reward(seen, action):
        return 1 - abs(action[0] - seen[0])

    corners = lambda rng: rng.integers(0, 2, 1).astype(float)  # noqa: E731
    rewards = play(AGENTS.build(dict(type=name, **LEARNERS[name])), reward, decisions, corners, actions=1)
    assert rewards[-200:].mean() > 0.8  # a constant earns 0.5


class ShortcutAgent(PPOAgent):
    """Trains towards the policy's own mean instead of the sampled actions, as MTKD-RL's public code does in effect."""

    def update(self):
        for step in self.buffer:
            policy = self._policy(step['observation'])
            step['sample'] = policy.mean.detach()
            step['log_prob'] = policy.log_prob(step['sample']).sum().detach()
        return super().update()


def test_a_shortcut_that_ignores_the_sampled_actions_fails():
    """The criterion of the learners above tells them from a shortcut, whose drift may end anywhere, even close by."""
    options = LEARNERS['PPOAgent']
    rewards = [play(ShortcutAgent(seed=seed, **options), bowl, 500, seed=seed)[-50:].mean() for seed in range(5)]
    assert sum(reward > 0.85 for reward in rewards) <= 2, rewards
    assert np.median(rewards) < 0.8, rewards


def test_linucb_regret_is_sublinear():
    agent = LinUCBAgent(discount=1.0)
    rng = np.random.default_rng(0)
    best = bowl(None, np.array([0.75, 0.25]))  # best arm of the grid
    regret = np.cumsum(best - play(agent, lambda s, a: bowl(s, a) + 0.05 * rng.standard_normal(), 600))
    assert regret[-1] - regret[299] < 0.5 * regret[299]


def test_linucb_follows_a_moving_optimum():
    step = dict(n=0)

    def reward(seen, action):
        step['n'] += 1
        return -abs(action[0] - (0.0 if step['n'] < 200 else 1.0))

    rewards = play(LinUCBAgent(discount=0.95), reward, 400, actions=1)
    assert rewards[150:200].mean() > -0.2 and rewards[350:].mean() > -0.2


@pytest.mark.parametrize('name', [*LEARNERS, 'RandomAgent', 'FixedAgent'])
def test_a_restored_agent_decides_the_same(name):
    def fresh():
        agent = AGENTS.build(dict(type=name))
        agent.setup(3, np.array([0.2, 0.7]))
        return agent

    def run(agent, start, stop):
        actions = []
        for i in range(start, stop):
            seen = np.sin(np.arange(3) + i)
            actions.append(agent.act(seen, i / 40))
            agent.observe(float(np.cos(i) + actions[-1][0]), np.sin(np.arange(3) + i + 1), False)
            agent.update()
        return actions

    straight = fresh()
    run(straight, 0, 21)  # in the middle of a rollout
    state = straight.state_dict()
    resumed = fresh()
    resumed.load_state_dict(state)
    assert np.array_equal(run(straight, 21, 40), run(resumed, 21, 40))


def test_agents_leave_the_global_generators_alone():
    np.random.seed(0), torch.manual_seed(0)
    expected = np.random.rand(), torch.rand(1).item()
    np.random.seed(0), torch.manual_seed(0)
    for name in (*LEARNERS, 'RandomAgent'):
        play(AGENTS.build(dict(type=name)), bowl, 20)
    assert (np.random.rand(), torch.rand(1).item()) == expected


def test_ppo_starts_at_the_initial_action_and_logs_what_the_field_logs():
    agent = PPOAgent(std=0.05)
    agent.setup(2, np.array([0.3, 0.8]))
    assert agent.act(np.zeros(2), 0, explore=False) == pytest.approx([0.3, 0.8], abs=0.02)
    logs = {}
    for _ in range(8):
        agent.act(np.random.rand(2), 0)
        agent.observe(np.random.rand(), np.random.rand(2), False)
        logs = agent.update()
    assert {'loss', 'entropy', 'approx_kl', 'clipfrac', 'explained_variance', 'policy_loss', 'value_loss'} <= set(logs)
    with pytest.raises(RuntimeError, match='call act'):
        agent.observe(0.0, np.zeros(2), False)
    with pytest.raises(ValueError, match='at least two decisions'):
        PPOAgent(rollout=4, minibatches=4)


def test_fixed_agent_stays():
    agent = FixedAgent()
    agent.setup(2, np.array([0.3]))
    assert agent.act(np.ones(2), 0.5).tolist() == [0.3]


def test_unknown_agent():
    with pytest.raises(KeyError, match=r'unknown agent type .PPO.: did you mean PPOAgent'):
        AGENTS.build(dict(type='PPO'))
