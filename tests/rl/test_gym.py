"""PPO on tasks that others solve too. Slow; needs requirements/rl.txt."""

import numpy as np
import pytest
import torch

from fusionkd.rl import ActionSpace, Control
from fusionkd.rl.agents import PPOAgent

gym = pytest.importorskip('gymnasium', reason='needs requirements/rl.txt')

CARTPOLE = dict(rollout=1024, minibatches=16, lr=1e-3, gamma=0.98, entropy=0.0, target_kl=None, epochs=10)
PENDULUM = CARTPOLE | dict(gamma=0.9, std=1.6, value_clip=None)  # as wide in torque as the reference starts


class Driver:
    """Plays an environment through the interface of the agents."""

    def __init__(self, task):
        self.env = gym.make(task)
        actions = self.env.action_space
        if isinstance(actions, gym.spaces.Discrete):
            self.space = ActionSpace(dict(push=Control(options=tuple(str(i) for i in range(actions.n)))))
        else:
            self.space = ActionSpace(dict(torque=Control(0.0, float(actions.low[0]), float(actions.high[0]))))

    def step(self, action):
        value = next(iter(self.space.decode(action[None]).values()))[0]
        return self.env.step(int(value) if isinstance(value, str) else np.array([value], dtype=np.float32))

    def train(self, agent, steps, seed):
        agent.setup(self.env.observation_space.shape[0], self.space)
        seen, _ = self.env.reset(seed=seed)
        for i in range(steps):
            seen, reward, done, truncated, _ = self.step(agent.act(seen, i / steps))
            agent.observe(reward, seen, done, truncated)
            agent.update()
            if done or truncated:
                seen, _ = self.env.reset()

    def evaluate(self, act, episodes=50):
        """Mean return of a policy without exploration, on the same starts for everyone."""
        returns = []
        for i in range(episodes):
            seen, _ = self.env.reset(seed=1000 + i)
            total, over = 0.0, False
            while not over:
                seen, reward, done, truncated, _ = self.step(act(seen))
                total, over = total + reward, done or truncated
            returns.append(total)
        return float(np.mean(returns))


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def test_a_driver_runs_both_kinds_of_actions():
    for task in ('CartPole-v1', 'Pendulum-v1'):
        driver = Driver(task)
        agent = PPOAgent(rollout=32)
        driver.train(agent, 40, seed=0)
        assert np.isfinite(driver.evaluate(lambda seen, a=agent: a.act(seen, 1, explore=False), 1))


@pytest.mark.slow
def test_cartpole_is_solved():
    """475 is gymnasium's threshold for solving it; at most 500."""
    agent, driver = PPOAgent(**CARTPOLE, lam=0.9), Driver('CartPole-v1')
    driver.train(agent, 50_000, seed=0)
    assert driver.evaluate(lambda seen: agent.act(seen, 1, explore=False)) >= 475


@pytest.mark.slow
def test_pendulum_is_as_good_as_stable_baselines():
    """Same budget, options and starts; the mean of three seeds has a standard error of about 15 on either side."""
    baselines = pytest.importorskip('stable_baselines3', reason='needs requirements/rl.txt')
    options = dict(n_steps=1024, batch_size=64, n_epochs=10, learning_rate=1e-3, gamma=0.9, gae_lambda=0.95)
    driver = Driver('Pendulum-v1')
    low, high = driver.space.low[0], driver.space.high[0]
    ours, theirs = [], []
    for seed in range(3):
        agent = PPOAgent(**PENDULUM, seed=seed)
        driver.train(agent, 50_000, seed)
        ours.append(driver.evaluate(lambda seen, a=agent: a.act(seen, 1, explore=False)))
        model = baselines.PPO('MlpPolicy', 'Pendulum-v1', seed=seed, device='cpu', **options).learn(50_000)
        theirs.append(
            driver.evaluate(lambda seen, m=model: (m.predict(seen, deterministic=True)[0] - low) / (high - low))
        )
    assert np.mean(ours) > np.mean(theirs) - 30, (ours, theirs)
