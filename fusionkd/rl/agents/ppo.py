"""Proximal policy optimisation for the scheduling agent."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from fusionkd.registry import AGENTS
from fusionkd.rl.functional import clipped_policy_loss, clipped_value_loss, explained_variance

from .policy import PolicyGradientAgent


@AGENTS.register_module()
class PPOAgent(PolicyGradientAgent):
    """PPO (Schulman et al., 2017) over numbers and choices.

    Paper A publishes neither the algorithm nor the network of its agent; both are ours.

    Args:
        rollout: decisions per update, or decisions about single samples. Default 8: a training of a few thousand steps
            has about a hundred decisions.
        epochs: passes over a rollout. Default 8.
        minibatches: parts of a rollout per pass. Default 2.
        lr: of Adam. Default 3e-3.
        gamma: discount per decision. Default 0.9.
        lam: of the advantage estimate. Default 0.95.
        clip: of the ratio. Default 0.2.
        value_clip: of the value, see :func:`clipped_value_loss`. Default 0.2; ``None`` clips nothing.
        entropy: weight of the entropy bonus. Default 0.01.
        value: weight of the value loss. Default 0.5.
        target_kl: passes stop when ``approx_kl`` exceeds it. Default 0.1; ``None`` never stops.
        hidden: units of both hidden layers. Default 64.
        std: initial standard deviation of numbers, before squashing. Default 0.8.
        seed: Default 0.
        frozen: as in :class:`BaseAgent`. Default False.
        init_from: as in :class:`BaseAgent`. Default none.

    Raises:
        ValueError: minibatches of fewer than two decisions.
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
        value_clip: float | None = 0.2,
        entropy: float = 0.01,
        value: float = 0.5,
        target_kl: float | None = 0.1,
        hidden: int = 64,
        std: float = 0.8,
        seed: int = 0,
        frozen: bool = False,
        init_from: str | None = None,
    ):
        super().__init__(rollout, lr, gamma, lam, hidden, std, seed, frozen, init_from)
        if not 1 <= minibatches <= rollout // 2:
            raise ValueError(
                f'rollout={rollout} and minibatches={minibatches}: advantages are normalised within a minibatch, '
                'which needs at least two decisions'
            )
        self.epochs, self.minibatches = epochs, minibatches
        self.clip, self.value_clip, self.target_kl = clip, value_clip, target_kl
        self.entropy, self.value = entropy, value

    def fit(self, data: dict[str, Tensor]) -> dict[str, float]:
        logs: dict[str, list[float]] = {}
        for _ in range(self.epochs):
            order = torch.randperm(len(data['returns']), generator=self.generator)
            for rows in order.tensor_split(self.minibatches):
                for key, value in self._step({k: v[rows] for k, v in data.items()}).items():
                    logs.setdefault(key, []).append(value)
            if self.target_kl is not None and np.mean(logs['approx_kl'][-self.minibatches :]) > self.target_kl:
                break
        return {key: float(np.mean(values)) for key, values in logs.items()} | dict(
            explained_variance=explained_variance(data['value'], data['returns'])
        )

    def _step(self, batch: dict[str, Tensor]) -> dict[str, float]:
        policy = self.network.policy(batch['observation'])
        advantages = batch['advantage']
        advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
        log_prob = policy.log_prob(batch['sample'])
        policy_loss, stats = clipped_policy_loss(log_prob, batch['log_prob'], advantages, self.clip)
        values = self.network.value(batch['observation'])
        value_loss = clipped_value_loss(values, batch['value'], batch['returns'], self.value_clip)
        entropy = policy.entropy().mean()
        loss = policy_loss + self.value * value_loss - self.entropy * entropy
        self._descend(loss)
        return stats | dict(
            policy_loss=policy_loss.item(), value_loss=value_loss.item(), entropy=entropy.item(), loss=loss.item()
        )
