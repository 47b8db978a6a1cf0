"""Policy-gradient mathematics, once for the whole toolbox: pure functions on tensors, and running statistics."""

from __future__ import annotations

import torch
from torch import Tensor


def generalized_advantages(
    rewards: Tensor, values: Tensor, dones: Tensor, last_value: Tensor, gamma: float = 0.99, lam: float = 0.95
) -> Tensor:
    """Generalised advantage estimation (Schulman et al., ICLR 2016).

    Args:
        rewards: ``(T, ...)``, reward of step t.
        values: ``(T, ...)``, value of the state in which step t was taken.
        dones: ``(T, ...)``, 1 where the episode ended with step t.
        last_value: ``(...)``, value of the state after the last step.
        gamma: discount in [0, 1]. Default 0.99.
        lam: in [0, 1]; 0 is the one-step error, 1 the discounted return minus the value. Default 0.95.

    Returns:
        ``(T, ...)`` advantages; adding ``values`` gives the returns to regress on.
    """
    advantages = torch.zeros_like(rewards)
    running = torch.zeros_like(last_value)
    next_value = last_value
    for t in reversed(range(len(rewards))):
        alive = 1 - dones[t]
        delta = rewards[t] + gamma * alive * next_value - values[t]
        running = delta + gamma * lam * alive * running
        advantages[t] = running
        next_value = values[t]
    return advantages


def clipped_policy_loss(
    log_prob: Tensor, old_log_prob: Tensor, advantages: Tensor, clip: float = 0.2
) -> tuple[Tensor, dict[str, float]]:
    """Clipped surrogate objective of PPO (Schulman et al., 2017, equation 7), as a loss.

    Args:
        log_prob: ``(N,)`` of the sampled actions under the policy being trained.
        old_log_prob: ``(N,)`` under the policy that sampled them.
        advantages: ``(N,)``.
        clip: half width of the trusted interval of the ratio. Default 0.2.

    Returns:
        Scalar loss, and ``approx_kl`` (estimator k3 of Schulman's note: never negative) and ``clipfrac``.
    """
    log_ratio = log_prob - old_log_prob
    ratio = log_ratio.exp()
    loss = -torch.minimum(ratio * advantages, ratio.clamp(1 - clip, 1 + clip) * advantages).mean()
    with torch.no_grad():
        stats = dict(
            approx_kl=((ratio - 1) - log_ratio).mean().item(),
            clipfrac=((ratio - 1).abs() > clip).float().mean().item(),
        )
    return loss, stats


def clipped_value_loss(values: Tensor, old_values: Tensor, returns: Tensor, clip: float = 0.2) -> Tensor:
    """Half the squared error of the value, not rewarded for moving further than ``clip`` in one update.

    Args:
        values: ``(N,)`` predicted now.
        old_values: ``(N,)`` predicted when the actions were sampled.
        returns: ``(N,)`` targets.
        clip: largest rewarded change; values and returns should have a standard deviation near 1. Default 0.2.
    """
    clipped = old_values + (values - old_values).clamp(-clip, clip)
    return 0.5 * torch.maximum((values - returns).square(), (clipped - returns).square()).mean()


def explained_variance(predictions: Tensor, targets: Tensor) -> float:
    """Share of the targets' variance that the predictions explain: 1 is perfect, 0 no better than the mean.

    0 when the targets do not vary.
    """
    variance = targets.var(unbiased=False)
    if variance == 0:
        return 0.0
    return (1 - (targets - predictions).var(unbiased=False) / variance).item()


class RunningMoments:
    """Mean and variance of a stream of vectors, numerically stable (Welford), to normalise it online.

    Args:
        size: length of the vectors.
    """

    def __init__(self, size: int):
        self.count = 0.0
        self.mean = torch.zeros(size, dtype=torch.float64)
        self.m2 = torch.zeros(size, dtype=torch.float64)

    def update(self, x: Tensor) -> None:
        """Count one vector ``(size,)``."""
        x = x.double()
        self.count += 1
        delta = x - self.mean
        self.mean = self.mean + delta / self.count
        self.m2 = self.m2 + delta * (x - self.mean)

    @property
    def std(self) -> Tensor:
        """Population standard deviation; 1 before two vectors were seen."""
        return (self.m2 / self.count).sqrt() if self.count > 1 else torch.ones_like(self.mean)

    def normalise(self, x: Tensor, clip: float = 5.0) -> Tensor:
        """``(x - mean) / std`` of ``(..., size)`` as float32, clipped to ``[-clip, clip]``."""
        return ((x.double() - self.mean) / (self.std + 1e-8)).clamp(-clip, clip).float()

    def state_dict(self) -> dict:
        """Everything needed to go on."""
        return dict(count=self.count, mean=self.mean.clone(), m2=self.m2.clone())

    def load_state_dict(self, state: dict) -> None:
        """Go on from :meth:`state_dict`."""
        self.count, self.mean, self.m2 = state['count'], state['mean'].clone(), state['m2'].clone()
