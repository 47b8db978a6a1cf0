"""What the policy-gradient agents share: network, normalisation and experience."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from fusionkd.rl.functional import (
    RunningMoments,
    categorical_entropy,
    categorical_log_prob,
    generalized_advantages,
    normal_entropy,
    normal_log_prob,
)

from .base import BaseAgent


@dataclass
class MixedPolicy:
    """Distribution over actions: a normal for every number, before its squashing, and a categorical for every choice.

    Attributes:
        mean: ``(N, box)``.
        log_std: ``(box,)``.
        logits: one ``(N, options)`` per choice.
    """

    mean: Tensor
    log_std: Tensor
    logits: Sequence[Tensor]

    def sample(self, generator: torch.Generator) -> Tensor:
        """Draw ``(N, box + choices)``."""
        noise = torch.randn(self.mean.shape, generator=generator)
        drawn = [torch.multinomial(logits.softmax(-1), 1, generator=generator).float() for logits in self.logits]
        return torch.cat([self.mean + self.log_std.exp() * noise, *drawn], dim=-1)

    def mode(self) -> Tensor:
        """The most likely sample, ``(N, box + choices)``."""
        return torch.cat([self.mean, *(logits.argmax(-1, keepdim=True).float() for logits in self.logits)], dim=-1)

    def log_prob(self, sample: Tensor) -> Tensor:
        """``(N,)``; before the squashing, which cancels in every ratio."""
        box = self.mean.shape[-1]
        total = normal_log_prob(self.mean, self.log_std, sample[:, :box]).sum(-1)
        for logits, index in zip(self.logits, sample[:, box:].unbind(-1), strict=True):
            total = total + categorical_log_prob(logits, index.long())
        return total

    def entropy(self) -> Tensor:
        """``(N,)``, in nats; before the squashing."""
        total = normal_entropy(self.log_std).sum().expand(len(self.mean))
        for logits in self.logits:
            total = total + categorical_entropy(logits)
        return total


class ActorCritic(nn.Module):
    """Two small networks and a deviation that does not depend on the state, whose logarithm stays in ``LOG_STD``.

    Args:
        observation_size: inputs.
        box: how many numbers an action has.
        choices: options of each of its choices.
        hidden: units of both hidden layers.
    """

    LOG_STD = (-3.0, 1.0)

    def __init__(self, observation_size: int, box: int, choices: Sequence[int], hidden: int):
        super().__init__()
        self.sizes = [box, *choices]
        self.actor = self._mlp(observation_size, sum(self.sizes), hidden, gain=0.01)
        self.critic = self._mlp(observation_size, 1, hidden, gain=1.0)
        self.log_std = nn.Parameter(torch.zeros(box))

    def policy(self, observations: Tensor) -> MixedPolicy:
        """Distribution of the actions on ``(N, observation_size)``."""
        mean, *logits = self.actor(observations).split(self.sizes, dim=-1)
        return MixedPolicy(mean, self.log_std, logits)

    def value(self, observations: Tensor) -> Tensor:
        """Expected return ``(N,)``."""
        return self.critic(observations)[:, 0]

    @staticmethod
    def _mlp(inputs: int, outputs: int, hidden: int, gain: float) -> nn.Sequential:
        layers = [
            nn.Linear(inputs, hidden),
            nn.Tanh(),
            nn.Linear(hidden, hidden),
            nn.Tanh(),
            nn.Linear(hidden, outputs),
        ]
        for layer in layers[::2]:
            nn.init.orthogonal_(layer.weight, math.sqrt(2))
            nn.init.zeros_(layer.bias)
        nn.init.orthogonal_(layers[-1].weight, gain)
        return nn.Sequential(*layers)


class PolicyGradientAgent(BaseAgent):
    """Acts by a stochastic policy and gathers a rollout; subclasses say in :meth:`fit` how to learn from it.

    Numbers are drawn from a normal and squashed into the unit box by a sigmoid, choices from a categorical; the first
    action is the initial one on average. Observations are normalised by running moments; rewards are divided by the running
    deviation of their discounted sum, and those of episodes of one step standardised. A rollout may hold steps of long
    episodes and episodes of one step side by side. The gradient's norm is clipped at 0.5.

    Args:
        rollout: decisions per update.
        lr: of Adam.
        gamma: discount per decision.
        lam: of the advantage estimate.
        hidden: units of both hidden layers.
        std: initial standard deviation of numbers, before squashing.
        seed: Default 0.
        frozen: as in :class:`BaseAgent`. Default False.
        init_from: as in :class:`BaseAgent`. Default none.
    """

    def __init__(
        self,
        rollout: int,
        lr: float,
        gamma: float,
        lam: float,
        hidden: int,
        std: float,
        seed: int = 0,
        frozen: bool = False,
        init_from: str | None = None,
    ):
        super().__init__(seed, frozen, init_from)
        if rollout < 2:
            raise ValueError(f'rollout={rollout}: advantages are normalised, which needs at least two decisions')
        if not math.exp(ActorCritic.LOG_STD[0]) <= std <= math.exp(ActorCritic.LOG_STD[1]):
            raise ValueError(f'std must be in [{math.exp(-3):.3f}, {math.exp(1):.3f}], got {std}')
        self.rollout, self.lr, self.gamma, self.lam = rollout, lr, gamma, lam
        self.hidden, self.std = hidden, std

    def build(self) -> None:
        """Networks and statistics."""
        space = self.space
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.generator.initial_seed())
            self.network = ActorCritic(self.observation_size, space.box, space.choices, self.hidden)
        initial = torch.as_tensor(space.initial, dtype=torch.float32)
        with torch.no_grad():
            self.network.log_std.fill_(math.log(self.std))
            mean, *logits = self.network.actor[-1].bias.split([space.box, *space.choices])
            mean.copy_(torch.logit(initial[: space.box].clamp(0.02, 0.98)))
            for bias, index in zip(logits, initial[space.box :].long(), strict=True):
                bias[index] = 0.1  # more than the first layer's noise, too little to matter to a draw
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=self.lr, eps=1e-5)
        self.moments = RunningMoments(self.observation_size)
        self.returns = RunningMoments(1)
        self.single_rewards = RunningMoments(1)
        self.running_return = 0.0
        self.steps: list[dict[str, Tensor]] = []  # of episodes, in order
        self.singles: list[dict[str, Tensor]] = []  # batches of episodes of one step
        self.following: Tensor | None = None  # where the last step led

    @torch.no_grad()
    def decide(self, observations: Tensor, progress: float, explore: bool) -> tuple[np.ndarray, list[object]]:
        if explore:
            self.see(observations)
        normalised = self.moments.normalise(observations)
        policy = self.network.policy(normalised)
        sample = policy.sample(self.generator) if explore else policy.mode()
        box = self.space.box
        actions = np.concatenate([sample[:, :box].sigmoid().double().numpy(), sample[:, box:].double().numpy()], axis=1)
        if not explore:
            return actions, [None] * len(actions)
        batch = dict(
            observation=normalised,
            sample=sample,
            log_prob=policy.log_prob(sample),
            value=self.network.value(normalised),
        )
        if len(actions) == 1:
            return actions, [batch]
        return actions, [{key: value[i : i + 1] for key, value in batch.items()} for i in range(len(actions))]

    def see(self, observations: Tensor) -> None:
        self.moments.update(observations)

    @torch.no_grad()
    def learn(self, ticket: dict, reward: float, following: Tensor, done: bool, truncated: bool) -> None:
        self.running_return = reward + self.gamma * self.running_return
        self.returns.update(torch.tensor([self.running_return]))
        ends = done or truncated
        # the value of the next state is that of the next step, unless there is none
        cut_value = self._value(following) if truncated and not done else torch.zeros(1)
        step = dict(
            reward=(reward / (self.returns.std + 1e-8)).clamp(-10, 10).float(),
            done=torch.tensor([float(done)]),
            truncated=torch.tensor([float(truncated)]),
            cut_value=cut_value,
        )
        self.steps.append(ticket | step)
        self.following = None if ends else following
        if ends:
            self.running_return = 0.0

    def learn_many(self, tickets: list[dict], rewards: Tensor) -> None:
        self.single_rewards.update(rewards[:, None])
        batch = {key: torch.cat([ticket[key] for ticket in tickets]) for key in tickets[0]}
        self.singles.append(batch | dict(reward=self.single_rewards.normalise(rewards[:, None], 10)[:, 0]))

    def improve(self) -> dict[str, float]:
        """Learn when the rollout is full."""
        if len(self.steps) + sum(len(batch['reward']) for batch in self.singles) < self.rollout:
            return {}
        parts = ([self._gather_steps()] if self.steps else []) + self.singles
        keys = ('observation', 'sample', 'log_prob', 'value', 'advantage')
        for single in self.singles:
            single['advantage'] = single['reward'] - single['value']
        data = {key: torch.cat([part[key] for part in parts]) for key in keys}
        self.steps, self.singles = [], []
        return self.fit(data | dict(returns=data['advantage'] + data['value']))

    def fit(self, data: dict[str, Tensor]) -> dict[str, float]:
        """Learn from a rollout of N decisions and return what to log.

        Args:
            data: ``observation (N, D)`` normalised, ``sample (N, A)``, ``log_prob``, ``value``, ``advantage`` and
                ``returns`` ``(N,)``.
        """
        raise NotImplementedError

    def state_dict(self) -> dict:
        own = dict(
            network=self.network.state_dict(),
            optimizer=self.optimizer.state_dict(),
            moments=self.moments.state_dict(),
            returns=self.returns.state_dict(),
            single_rewards=self.single_rewards.state_dict(),
            running_return=self.running_return,
            steps=self.steps,
            singles=self.singles,
            following=self.following,
        )
        return super().state_dict() | copy.deepcopy(own)  # what torch returns is the live tensors

    def load_state_dict(self, state: dict) -> None:
        super().load_state_dict(state)
        state = copy.deepcopy(state)
        self.load_policy_state(state)
        self.optimizer.load_state_dict(state['optimizer'])
        self.running_return = state['running_return']
        self.steps, self.singles, self.following = state['steps'], state['singles'], state['following']

    def policy_state(self) -> dict:
        """Actor, critic and the statistics of observations and rewards."""
        return dict(
            network=copy.deepcopy(self.network.state_dict()),
            moments=self.moments.state_dict(),
            returns=self.returns.state_dict(),
            single_rewards=self.single_rewards.state_dict(),
        )

    def load_policy_state(self, state: dict) -> None:
        self.network.load_state_dict(state['network'])
        self.moments.load_state_dict(state['moments'])
        self.returns.load_state_dict(state['returns'])
        self.single_rewards.load_state_dict(state['single_rewards'])

    def layout(self) -> dict:
        return super().layout() | dict(hidden=self.hidden)

    def _gather_steps(self) -> dict[str, Tensor]:
        data = {key: torch.cat([step[key] for step in self.steps]) for key in self.steps[0]}
        last = torch.zeros(1) if self.following is None else self._value(self.following)
        ended = (data['done'] + data['truncated']) > 0
        following = torch.where(ended, data['cut_value'], torch.cat([data['value'][1:], last]))
        data['advantage'] = generalized_advantages(
            data['reward'], data['value'], following, data['done'], data['truncated'], self.gamma, self.lam
        )
        return data

    @torch.no_grad()
    def _value(self, observation: Tensor) -> Tensor:
        return self.network.value(self.moments.normalise(observation[None]))

    def _descend(self, loss: Tensor) -> None:
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), 0.5)
        self.optimizer.step()
        with torch.no_grad():
            self.network.log_std.clamp_(*self.network.LOG_STD)
