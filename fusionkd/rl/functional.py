"""Policy-gradient mathematics, once for the whole toolbox: pure functions on tensors, and running statistics."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def generalized_advantages(
    rewards: Tensor,
    values: Tensor,
    next_values: Tensor,
    dones: Tensor,
    truncations: Tensor | None = None,
    gamma: float = 0.99,
    lam: float = 0.95,
) -> Tensor:
    """Generalised advantage estimation (Schulman et al., ICLR 2016, equation 16).

    Args:
        rewards: ``(T, ...)``, reward of step t.
        values: ``(T, ...)``, value of the state in which step t was taken.
        next_values: ``(T, ...)``, value of the state to which it led; not used where ``dones`` is 1.
        dones: ``(T, ...)``, 1 where the episode came to its end with step t: nothing follows.
        truncations: ``(T, ...)``, 1 where it was cut short after step t: what would have followed counts by its value.
            Default nowhere.
        gamma: discount in [0, 1]. Default 0.99.
        lam: in [0, 1]; 0 is the one-step error, 1 the discounted return minus the value. Default 0.95.

    Returns:
        ``(T, ...)`` advantages; adding ``values`` gives the returns to regress on.
    """
    alive = 1 - dones
    errors = rewards + gamma * alive * next_values - values
    decay = gamma * lam * (alive if truncations is None else alive * (1 - truncations))
    advantages = torch.empty_like(errors)
    running = torch.zeros_like(errors[0])
    for t in reversed(range(len(errors))):
        running = errors[t] + decay[t] * running
        advantages[t] = running
    return advantages


def group_relative_advantages(rewards: Tensor, scale: bool = False) -> Tensor:
    """Reward minus the mean of its group.

    Args:
        rewards: ``(..., G)``, G answers to the same question.
        scale: divide by the group's standard deviation, as GRPO does (Shao et al., 2024); Dr.GRPO (Liu et al., 2025) and
            paper D do not, since it inflates questions on which all answers earn nearly the same. Default False.

    Returns:
        ``(..., G)``.
    """
    advantages = rewards - rewards.mean(-1, keepdim=True)
    return advantages / (rewards.std(-1, unbiased=False, keepdim=True) + 1e-8) if scale else advantages


def reinforce_loss(log_prob: Tensor, advantages: Tensor) -> Tensor:
    """REINFORCE (Williams, 1992) as a loss: its gradient is minus the policy gradient.

    Args:
        log_prob: ``(N,)`` of the sampled actions.
        advantages: ``(N,)``, reward or return minus a baseline; no gradient flows into them.
    """
    return -(log_prob * advantages.detach()).mean()


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
            approx_kl=estimate_kl(old_log_prob, log_prob).mean().item(),
            clipfrac=((ratio - 1).abs() > clip).float().mean().item(),
        )
    return loss, stats


def group_policy_loss(
    log_prob: Tensor,
    old_log_prob: Tensor,
    reference_log_prob: Tensor,
    rewards: Tensor,
    mask: Tensor | None = None,
    length: int | None = None,
    clip: float = 0.2,
    beta: float = 0.01,
    divergence: Tensor | None = None,
) -> tuple[Tensor, dict[str, float]]:
    """Dr.GRPO objective of paper D as a loss: clipped, group-relative, tied to a reference policy.

    The sum over all parts t of all answers of ``-min(r A, clip(r, 1 - eps, 1 + eps) A) + beta KL(policy || reference)``, with
    r the ratio of a part's probability to that under the policy which is being improved, and A the answer's reward minus the
    mean of its group, divided by the number of answers and by one length for all: dividing by an answer's own length would
    punish long right answers and spare long wrong ones (Liu et al., 2025). The mean over a group of 2G answers is paper D's
    1/(2G) times the sum. The divergence is estimated by k3. ``trl``'s ``loss_type='dr_grpo'`` is the same.

    Args:
        log_prob: ``(..., G, T)``, of every part (token, cell of a map) of G answers to the same query, under the policy being
            trained.
        old_log_prob: the same shape, under the policy as it was when the answers were drawn (paper D also uses it for
            answers of teachers).
        reference_log_prob: the same shape, under the fixed starting point.
        rewards: ``(..., G)``, or ``(..., G, T)``, one for every part, as in GRPO with process rewards (Shao et al., 2024; not
            from paper D). Parts of a map have no order, so that each is compared with the same part of the others only.
        mask: ``(..., G, T)``, 1 for parts and 0 for padding, where anything finite may stand. Default all 1.
        length: the largest number of parts an answer can have. Default T.
        clip: eps. Default 0.2 (paper D).
        beta: weight of the divergence. Default 0.01 (paper D).
        divergence: the same shape, differentiable, KL(policy || reference) where it is known exactly, instead of the estimate
            (not from the paper). For densities k3 has no bound: it is an exponential of squared distances.

    Returns:
        Scalar loss, and means over all parts: ``approx_kl`` (k3, to the old policy), ``clipfrac``, ``ratio`` and
        ``reference_kl``.

    Raises:
        ValueError: shapes that do not fit.
    """
    if log_prob.ndim < 2 or rewards.shape not in (log_prob.shape[:-1], log_prob.shape):
        raise ValueError(
            'log_prob must be (..., G, T) for rewards (..., G), or (..., G, T) where every part is paid, '
            f'got {tuple(log_prob.shape)} and {tuple(rewards.shape)}'
        )
    mask = torch.ones_like(log_prob) if mask is None else mask.to(log_prob.dtype)
    if rewards.shape == log_prob.shape:
        # The mean of a part is over the answers that have it.
        baseline = (rewards * mask).sum(-2, keepdim=True) / mask.sum(-2, keepdim=True).clamp(min=1)
        advantages = (rewards - baseline).detach()
    else:
        advantages = group_relative_advantages(rewards)[..., None].detach()
    ratio = (log_prob - old_log_prob).exp()
    if divergence is None:
        divergence = estimate_kl(log_prob, reference_log_prob)
    each = beta * divergence - torch.minimum(ratio * advantages, ratio.clamp(1 - clip, 1 + clip) * advantages)
    loss = (each * mask).sum() / (log_prob[..., 0].numel() * (length or log_prob.shape[-1]))
    with torch.no_grad():
        parts = dict(
            approx_kl=estimate_kl(old_log_prob, log_prob),
            clipfrac=((ratio - 1).abs() > clip).to(log_prob.dtype),
            ratio=ratio,
            reference_kl=divergence,
        )
        count = mask.sum().clamp(min=1)
        return loss, {name: ((part * mask).sum() / count).item() for name, part in parts.items()}


def estimate_kl(log_prob: Tensor, other_log_prob: Tensor, kind: str = 'k3') -> Tensor:
    """Estimate KL(p || q) from samples of p (Schulman, "Approximating KL divergence", 2020).

    With ``r = q / p``: k1 = -log r is unbiased and of high variance, k2 = (log r)^2 / 2 is biased and of low variance,
    k3 = (r - 1) - log r is unbiased, of low variance and never negative.

    Args:
        log_prob: log p of the samples, any shape.
        other_log_prob: log q of the same samples.
        kind: ``'k1'``, ``'k2'`` or ``'k3'``. Default ``'k3'``.

    Returns:
        One estimate per sample; their mean estimates the divergence.

    Raises:
        ValueError: unknown kind.
    """
    log_ratio = other_log_prob - log_prob
    if kind == 'k1':
        return -log_ratio
    if kind == 'k2':
        return 0.5 * log_ratio.square()
    if kind == 'k3':
        return log_ratio.exp() - 1 - log_ratio
    raise ValueError(f"kind must be 'k1', 'k2' or 'k3', got {kind!r}")


def categorical_kl(logits: Tensor, other_logits: Tensor) -> Tensor:
    """Exact KL(p || q) of categorical distributions given as logits ``(..., K)``; returns ``(...)``."""
    log_p, log_q = logits.log_softmax(-1), other_logits.log_softmax(-1)
    return (log_p.exp() * (log_p - log_q)).sum(-1)


def categorical_entropy(logits: Tensor) -> Tensor:
    """Entropy in nats of categorical distributions given as logits ``(..., K)``; returns ``(...)`` in [0, log K]."""
    log_p = logits.log_softmax(-1)
    return -(log_p.exp() * log_p).sum(-1)


def categorical_log_prob(logits: Tensor, index: Tensor) -> Tensor:
    """Log-probability of the options ``index`` ``(...)``, integers, under logits ``(..., K)``; returns ``(...)``."""
    return logits.log_softmax(-1).gather(-1, index[..., None])[..., 0]


def normal_kl(mean: Tensor, log_std: Tensor, other_mean: Tensor, other_log_std: Tensor) -> Tensor:
    """Exact KL(p || q) of normal distributions, elementwise; sum over independent dimensions."""
    variance_ratio = (2 * (log_std - other_log_std)).exp()
    distance = ((mean - other_mean) / other_log_std.exp()).square()
    return 0.5 * (variance_ratio + distance - 1) + other_log_std - log_std


def normal_entropy(log_std: Tensor) -> Tensor:
    """Entropy in nats of normal distributions, elementwise."""
    return log_std + 0.5 * math.log(2 * math.pi * math.e)


def normal_log_prob(mean: Tensor, log_std: Tensor, sample: Tensor) -> Tensor:
    """Log-density of ``sample`` under normal distributions, elementwise."""
    return -0.5 * ((sample - mean) / log_std.exp()).square() - log_std - 0.5 * math.log(2 * math.pi)


def clipped_value_loss(values: Tensor, old_values: Tensor, returns: Tensor, clip: float | None = 0.2) -> Tensor:
    """Half the squared error of the value, not rewarded for moving further than ``clip`` in one update.

    Args:
        values: ``(N,)`` predicted now.
        old_values: ``(N,)`` predicted when the actions were sampled.
        returns: ``(N,)`` targets.
        clip: largest rewarded change; values and returns should have a standard deviation near 1. Default 0.2; ``None``
            is the plain squared error.
    """
    error = (values - returns).square()
    if clip is not None:
        clipped = old_values + (values - old_values).clamp(-clip, clip)
        error = torch.maximum(error, (clipped - returns).square())
    return 0.5 * error.mean()


def explained_variance(predictions: Tensor, targets: Tensor) -> float:
    """Share of the targets' variance that the predictions explain: 1 is perfect, 0 no better than the mean.

    0 when the targets do not vary.
    """
    variance = targets.var(unbiased=False)
    if variance == 0:
        return 0.0
    return (1 - (targets - predictions).var(unbiased=False) / variance).item()


class RunningMoments:
    """Mean and variance of a stream of vectors, numerically stable, to normalise it online.

    Batches are merged by the formula of Chan et al. (1979), of which Welford's is the case of one vector.

    Args:
        size: length of the vectors.
    """

    def __init__(self, size: int):
        self.count = torch.zeros((), dtype=torch.float64)
        self.mean = torch.zeros(size, dtype=torch.float64)
        self.m2 = torch.zeros(size, dtype=torch.float64)

    def update(self, x: Tensor) -> None:
        """Count one vector ``(size,)`` or several ``(N, size)``."""
        x = x.double().reshape(-1, len(self.mean))
        total = self.count + len(x)
        mean = x.mean(0)
        delta = mean - self.mean
        self.m2 = self.m2 + (x - mean).square().sum(0) + delta.square() * (self.count * len(x) / total)
        self.mean = self.mean + delta * (len(x) / total)
        self.count = total

    @property
    def std(self) -> Tensor:
        """Population standard deviation; 1 before two vectors were seen."""
        return (self.m2 / self.count).sqrt() if self.count > 1 else torch.ones_like(self.mean)

    def normalise(self, x: Tensor, clip: float = 5.0) -> Tensor:
        """``(x - mean) / std`` of ``(..., size)`` as float32, clipped to ``[-clip, clip]``."""
        return ((x.double() - self.mean) / (self.std + 1e-8)).clamp(-clip, clip).float()

    def state_dict(self) -> dict[str, Tensor]:
        """Everything needed to go on."""
        return dict(count=self.count.clone(), mean=self.mean.clone(), m2=self.m2.clone())

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on from :meth:`state_dict`."""
        self.count, self.mean, self.m2 = (state[key].clone() for key in ('count', 'mean', 'm2'))
