"""Small tasks with known optima, and the criterion that tells who learns."""

import numpy as np

from fusionkd.rl import ActionSpace, Control


class Bowl:
    """Numbers whose best values are (0.85, 0.15) whatever is seen."""

    controls = dict(a=Control(0.5), b=Control(0.5))
    size = 2

    def see(self, rng):
        return rng.random(2)

    def pay(self, seen, action):
        return 1 - np.square(action - [0.85, 0.15]).sum()


class NumberIdentity:
    """The best number is what is seen, 0 or 1 (mirrored: the other); a constant earns 0.5."""

    controls = dict(a=Control(0.5))
    size = 1

    def __init__(self, mirrored=False):
        self.mirrored = mirrored

    def see(self, rng):
        return rng.integers(0, 2, 1).astype(float)

    def pay(self, seen, action):
        return 1 - abs(action[0] - abs(seen[0] - self.mirrored))


class ChoiceIdentity:
    """The best of four options is the one that is seen (mirrored: the next one); a constant earns 0.25."""

    controls = dict(op=Control(options=('blur', 'noise', 'haze', 'rain')))
    size = 4

    def __init__(self, mirrored=False):
        self.mirrored = mirrored

    def see(self, rng):
        return np.eye(4)[rng.integers(4)]

    def pay(self, seen, action):
        return seen[(int(action[0]) - self.mirrored) % 4]


class MixedIdentity:
    """Number and option have to be what is seen (mirrored: the other ones).

    A constant earns 0.5, and who gets one of both right 0.75.
    """

    controls = dict(op=Control(options=('blur', 'noise')), a=Control(0.5))
    size = 3

    def __init__(self, mirrored=False):
        self.number = NumberIdentity(mirrored)
        self.mirrored = mirrored

    def see(self, rng):
        return np.concatenate([self.number.see(rng), np.eye(2)[rng.integers(2)]])

    def pay(self, seen, action):
        option = seen[1 + (int(action[1]) - self.mirrored) % 2]
        return 0.5 * self.number.pay(seen, action) + 0.5 * option


IDENTITIES = (NumberIdentity, ChoiceIdentity, MixedIdentity)


def play(agent, task, decisions, seed=0, noise=0.0):
    """Rewards of single decisions; noise is added to what the agent is paid, not to what is returned."""
    rng = np.random.default_rng(seed)
    space = ActionSpace(task.controls)
    agent.setup(task.size, space, [f'seen/{i}' for i in range(task.size)])
    rewards, seen = [], task.see(rng)
    for i in range(decisions):
        action = agent.act(seen, i / decisions)
        assert action.shape == (len(space),)
        assert (action[: space.box] >= 0).all() and (action[: space.box] <= 1).all()
        assert all(a in range(n) for a, n in zip(action[space.box :], space.choices, strict=True))
        rewards.append(task.pay(seen, action))
        seen = task.see(rng)
        agent.observe(rewards[-1] + noise * rng.standard_normal(), seen, False)
        agent.update()
    return np.array(rewards)


def play_many(agent, task, batches, batch=16, seed=0):
    """Mean reward of each batch of per-sample decisions, paid in another order and one batch late."""
    rng = np.random.default_rng(seed)
    agent.setup(task.size, ActionSpace(task.controls))
    means, late = [], []
    for i in range(batches):
        seen = np.stack([task.see(rng) for _ in range(batch)])
        actions, tickets = agent.act_many(seen, i / batches)
        rewards = [task.pay(s, a) for s, a in zip(seen, actions, strict=True)]
        means.append(np.mean(rewards))
        if late:
            agent.observe_many(*late)
        order = rng.permutation(batch)
        late = [tickets[j] for j in order], [rewards[j] for j in order]
        agent.update()
    return np.array(means)


def learnt(rewards):
    """Whether the last fifth earns far more than who is blind or gets half of it right."""
    return bool(rewards[-len(rewards) // 5 :].mean() > 0.8)


def proves_to_learn(build, task, batches=80):
    """Whether agents of every seed learn a task and its mirror image from single samples.

    Both are needed: an agent that reinforces its own drift, whatever it did, ends at one of them by chance.

    Args:
        build: gives an agent for a seed.
        task: class of a task.
        batches: of 16 samples.
    """
    runs = ((seed, mirrored) for seed in range(2) for mirrored in (False, True))
    return all(learnt(play_many(build(seed), task(mirrored), batches, seed=seed)) for seed, mirrored in runs)
