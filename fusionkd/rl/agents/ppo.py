"""Proximal policy optimisation for the scheduling agent, readable top to bottom."""

from __future__ import annotations

import copy
import math

import numpy as np
import torch
from torch import Tensor, nn

from fusionkd.registry import AGENTS
from fusionkd.rl.functional import (
    RunningMoments,
    clipped_policy_loss,
    clipped_value_loss,
    explained_variance,
    generalized_advantages,
)

from .base import BaseAgent


@AGENTS.register_module()
class PPOAgent(BaseAgent):
    """PPO (Schulman et al., 2017) with a Gaussian policy squashed into the unit box by a sigmoid.

    Paper A publishes neither the algorithm nor the network of its agent; both are ours. The first action is the initial
    one on average. Observations are normalised by running moments, rewards by the running deviation of their discounted
    sum. Probabilities are those before the squashing, which cancels in every ratio.

    Args:
        rollout: decisions per update. Default 8: a training of a few thousand steps has about a hundred decisions.
        epochs: passes over a rollout. Default 8.
        minibatches: parts of a rollout per pass. Default 2.
        lr: of Adam. Default 3e-3.
        gamma: discount per decision. Default 0.9.
        lam: of the advantage estimate. Default 0.95.
        clip: of ratio and value. Default 0.2.
        entropy: weight of the entropy bonus. Default 0.01.
        value: weight of the value loss. Default 0.5.
        max_grad_norm: Default 0.5.
        target_kl: passes stop when ``approx_kl`` exceeds it. Default 0.1; ``None`` never stops.
        hidden: units of both hidden layers. Default 64.
        std: initial standard deviation before squashing. Default 0.8.
        seed: Default 0.
    """

    def __init__(
        self,
        rollout: int = 8,
        epochs: int = 8,
        minibatches: int = 2,
        lr: float = 3e-3,
        gamma: float = 0.9,
        lam: float = 0.95,
        clip: float = 0.2,
        entropy: float = 0.01,
        value: float = 0.5,
        max_grad_norm: float = 0.5,
        target_kl: float | None = 0.1,
        hidden: int = 64,
        std: float = 0.8,
        seed: int = 0,
    ):
        if rollout < 2 or not 1 <= minibatches <= rollout // 2:
            raise ValueError(
                f'rollout={rollout} and minibatches={minibatches}: advantages are normalised within a minibatch, '
                'which needs at least two decisions'
            )
        self.rollout, self.epochs, self.minibatches, self.lr = rollout, epochs, minibatches, lr
        self.gamma, self.lam, self.clip = gamma, lam, clip
        self.entropy, self.value, self.max_grad_norm, self.target_kl = entropy, value, max_grad_norm, target_kl
        self.hidden, self.std = hidden, std
        self.generator = torch.Generator().manual_seed(seed)

    def setup(self, observation_size: int, initial_action: np.ndarray) -> None:
        """Build networks and statistics."""
        super().setup(observation_size, initial_action)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.generator.initial_seed())
            self.network = _ActorCritic(observation_size, self.action_size, self.hidden)
        start = torch.as_tensor(self.initial_action, dtype=torch.float32).clamp(0.02, 0.98)
        with torch.no_grad():
            self.network.actor[-1].bias.copy_(torch.logit(start))
            self.network.log_std.fill_(math.log(self.std))
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=self.lr, eps=1e-5)
        self.moments = RunningMoments(observation_size)
        self.returns = RunningMoments(1)
        self.running_return = 0.0
        self.buffer: list[dict[str, Tensor]] = []
        self.pending: dict[str, Tensor] | None = None

    @torch.no_grad()
    def act(self, observation: np.ndarray, progress: float, explore: bool = True) -> np.ndarray:
        """Sample an action, or take the policy's mean."""
        raw = torch.as_tensor(observation, dtype=torch.float64)
        if not explore:
            return self._policy(self.moments.normalise(raw)).mean.sigmoid().double().numpy()
        self.moments.update(raw)
        normalised = self.moments.normalise(raw)
        policy = self._policy(normalised)
        sample = torch.normal(policy.mean, policy.stddev, generator=self.generator)
        self.pending = dict(
            observation=normalised,
            sample=sample,
            log_prob=policy.log_prob(sample).sum(),
            value=self.network.critic(normalised)[0],
        )
        return sample.sigmoid().double().numpy()

    @torch.no_grad()
    def observe(self, reward: float, next_observation: np.ndarray, done: bool) -> None:
        """Keep the transition."""
        if self.pending is None:
            raise RuntimeError('observe() without an action: call act() first')
        self.running_return = reward + self.gamma * self.running_return
        self.returns.update(torch.tensor([self.running_return]))
        scaled = reward / (self.returns.std.item() + 1e-8)
        following = self.moments.normalise(torch.as_tensor(next_observation, dtype=torch.float64))
        self.buffer.append(
            dict(
                **self.pending,
                reward=torch.tensor(max(min(scaled, 10.0), -10.0)),
                done=torch.tensor(float(done)),
                next_value=self.network.critic(following)[0],
            )
        )
        if done:
            self.running_return = 0.0
        self.pending = None

    def update(self) -> dict[str, float]:
        """One PPO update when the rollout is full."""
        if len(self.buffer) < self.rollout:
            return {}
        data = {key: torch.stack([step[key] for step in self.buffer]) for key in self.buffer[0]}
        self.buffer = []
        advantages = generalized_advantages(
            data['reward'], data['value'], data['done'], data['next_value'][-1], self.gamma, self.lam
        )
        returns = advantages + data['value']
        logs: dict[str, list[float]] = {}
        for _ in range(self.epochs):
            order = torch.randperm(len(returns), generator=self.generator)
            for rows in order.chunk(self.minibatches):
                stats = self._step({k: v[rows] for k, v in data.items()}, advantages[rows], returns[rows])
                for key, value in stats.items():
                    logs.setdefault(key, []).append(value)
            if self.target_kl is not None and np.mean(logs['approx_kl'][-self.minibatches :]) > self.target_kl:
                break
        return {key: float(np.mean(values)) for key, values in logs.items()} | dict(
            explained_variance=explained_variance(data['value'], returns), std=self.network.log_std.exp().mean().item()
        )

    def state_dict(self) -> dict:
        """Networks, optimiser, statistics, buffer, generator."""
        state = dict(
            network=self.network.state_dict(),
            optimizer=self.optimizer.state_dict(),
            moments=self.moments.state_dict(),
            returns=self.returns.state_dict(),
            running_return=self.running_return,
            buffer=self.buffer,
            pending=self.pending,
            generator=self.generator.get_state(),
        )
        return copy.deepcopy(state)  # what torch returns is the live tensors

    def load_state_dict(self, state: dict) -> None:
        """Restore :meth:`state_dict`."""
        self.network.load_state_dict(state['network'])
        self.optimizer.load_state_dict(state['optimizer'])
        self.moments.load_state_dict(state['moments'])
        self.returns.load_state_dict(state['returns'])
        self.running_return = state['running_return']
        self.buffer = list(state['buffer'])
        self.pending = state['pending']
        self.generator.set_state(state['generator'].cpu())

    def _policy(self, observation: Tensor) -> torch.distributions.Normal:
        return torch.distributions.Normal(self.network.actor(observation), self.network.log_std.exp())

    def _step(self, data: dict[str, Tensor], advantages: Tensor, returns: Tensor) -> dict[str, float]:
        policy = self._policy(data['observation'])
        advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
        log_prob = policy.log_prob(data['sample']).sum(-1)
        policy_loss, stats = clipped_policy_loss(log_prob, data['log_prob'], advantages, self.clip)
        values = self.network.critic(data['observation'])[..., 0]
        value_loss = clipped_value_loss(values, data['value'], returns, self.clip)
        entropy = policy.entropy().sum(-1).mean()
        loss = policy_loss + self.value * value_loss - self.entropy * entropy
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), self.max_grad_norm)
        self.optimizer.step()
        return stats | dict(
            policy_loss=policy_loss.item(), value_loss=value_loss.item(), entropy=entropy.item(), loss=loss.item()
        )


class _ActorCritic(nn.Module):
    """Two small networks and a deviation that does not depend on the state."""

    def __init__(self, observation_size: int, action_size: int, hidden: int):
        super().__init__()
        self.actor = self._mlp(observation_size, action_size, hidden, gain=0.01)
        self.critic = self._mlp(observation_size, 1, hidden, gain=1.0)
        self.log_std = nn.Parameter(torch.zeros(action_size))

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
