"""Rewards of KDRL's second stage (paper C), and the policy losses that they drive.

The paper names two rewards, the confidence of a prediction and the alignment of the student's features with the teacher's
cluster centres. Formulas, guard, baseline and estimators are not from the paper.

A reward that does not depend on the action has no policy gradient: ``E_a[r grad log p(a)] = r grad 1 = 0``, and sampling adds
nothing but noise. Confidence (a property of the whole distribution) and alignment (one of the features) are such rewards, so

* confidence is paid for what was chosen: a right choice is paid, a confident one more, and a confident error costs;
* alignment is paid for a point drawn around the student's feature: the auxiliary heads are policies, too.

The confidence also depends on the parameters themselves, and the gradient of the expected reward has a part for each way
(Schulman et al., "Gradient estimation using stochastic computation graphs", NeurIPS 2015): ``E_a[r grad log p(a) + grad r]``.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fusionkd.registry import MODELS
from fusionkd.rl.functional import (
    categorical_entropy,
    categorical_log_prob,
    clipped_policy_loss,
    group_relative_advantages,
    normal_log_prob,
    reinforce_loss,
)


def confidence_reward(logits: Tensor) -> Tensor:
    """``1 - H(p) / log K``, in [0, 1]: 0 for a uniform distribution, 1 for certainty; ``(N, ..., K)`` to ``(N, ...)``."""
    return 1 - categorical_entropy(logits) / math.log(logits.shape[-1])


def guarded_confidence_reward(logits: Tensor, agreement: Tensor, penalty: float = 1.0, base: float = 1.0) -> Tensor:
    """Pay for a right choice, more so a confident one, and charge for confident errors.

    ``base g + c (g - penalty (1 - g))`` with c the confidence and g the agreement. Unguarded confidence pays for being
    certain of anything. Here, with g in {0, 1}, the expected reward rises with c exactly where p(right) is above
    penalty / (1 + penalty), and falls below. Without ``base`` a policy that knows nothing earns nothing whatever it
    chooses, and never begins to learn.

    Args:
        logits: ``(N, ..., K)``.
        agreement: ``(N, ..., G)`` in [0, 1], of G actions: 1 for a right one, or the teacher's probability of it.
        penalty: of confident errors, >= 0. Default 1.
        base: of a right choice whatever the confidence, >= 0. Default 1.

    Returns:
        ``(N, ..., G)`` in [-penalty, base + 1].
    """
    return base * agreement + confidence_reward(logits)[..., None] * (agreement - penalty * (1 - agreement))


def alignment_reward(auxiliary: Tensor, centre: Tensor) -> Tensor:
    """``cos(g(f_s), c)``, in [-1, 1], c the centre of the cluster of the teacher's feature.

    Args:
        auxiliary: ``g(f_s)``, ``(..., D)``.
        centre: ``(..., D)``, broadcast.
    """
    return F.cosine_similarity(auxiliary, centre, dim=-1)


def leave_one_out(rewards: Tensor) -> Tensor:
    """Reward minus the mean of the others of its group: a baseline without bias (RLOO, Kool et al., 2019).

    Args:
        rewards: ``(..., G)``, G >= 2.
    """
    count = rewards.shape[-1]
    return group_relative_advantages(rewards) * (count / (count - 1))


class PolicyLoss(nn.Module):
    """What policy losses share: draws from a generator of their own, and numbers for the log.

    Args:
        draws: actions a sample, G; their mean is the baseline. At least 2.
        seed: of the draws; their state is in the training checkpoint.

    Attributes:
        stats: of the last batch, by name, for the log.
    """

    def __init__(self, draws: int, seed: int):
        super().__init__()
        if draws < 2:
            raise ValueError(f'draws must be 2 or more: the others are the baseline of each, got {draws}')
        self.draws = draws
        self.generator = torch.Generator().manual_seed(seed)
        self.stats: dict[str, float] = {}

    def get_extra_state(self) -> Tensor:
        """State of the random generator, for the training checkpoint."""
        return self.generator.get_state()

    def set_extra_state(self, state: Tensor) -> None:
        """Go on drawing where the checkpoint stopped."""
        self.generator.set_state(state.cpu())


@MODELS.register_module()
class ConfidencePolicyLoss(PolicyLoss):
    """Minus the expected guarded confidence of choices drawn from the student's prediction.

    Args:
        penalty: see :func:`guarded_confidence_reward`. Default 1.
        base: see there. Default 1.
        clip: ``None`` (default) is REINFORCE on choices of the present policy; a number is clipped PPO on those of an older
            one, which the distiller's ``old_policy`` keeps. Default none.
        tolerance: a choice this far from the true one is still right, for ordered options such as a box's places. Default 0.
        through_reward: also follow the reward's own gradient. Default True.
        draws: choices a sample. Default 8.
        seed: of the draws. Default 0.
    """

    def __init__(
        self,
        penalty: float = 1.0,
        base: float = 1.0,
        clip: float | None = None,
        tolerance: int = 0,
        through_reward: bool = True,
        draws: int = 8,
        seed: int = 0,
    ):
        super().__init__(draws, seed)
        if min(penalty, base) < 0 or (clip is not None and not clip > 0):
            raise ValueError(
                f'penalty and base must be >= 0 and clip positive or None, got {penalty}, {base} and {clip}'
            )
        self.penalty = penalty
        self.base = base
        self.clip = clip
        self.tolerance = tolerance
        self.through_reward = through_reward

    @property
    def on_policy(self) -> bool:
        """Whether choices are drawn from the present policy."""
        return self.clip is None

    def forward(self, logits: Tensor, labels: Tensor, old_logits: Tensor) -> Tensor:
        """Scalar; a choice is right if it is the label.

        Args:
            logits: ``(N, ..., K)``.
            labels: ``(N, ...)``.
            old_logits: of the older policy, same shape as ``logits``; without ``clip`` they are not used.
        """
        old_logits = logits.detach() if self.on_policy else old_logits
        actions = self.choose(old_logits)
        right = ((actions - labels[..., None]).abs() <= self.tolerance).float()
        return self.objective(logits, old_logits, actions, right)

    @torch.no_grad()
    def choose(self, logits: Tensor) -> Tensor:
        """Draw ``(N, ..., G)`` options from ``(N, ..., K)``."""
        p = logits.softmax(-1).flatten(0, -2).cpu()
        drawn = torch.multinomial(p, self.draws, replacement=True, generator=self.generator)
        return drawn.view(*logits.shape[:-1], self.draws).to(logits.device)

    def objective(self, logits: Tensor, old_logits: Tensor, actions: Tensor, agreement: Tensor) -> Tensor:
        """Loss of given actions ``(N, ..., G)`` and how far each agrees with the truth, in [0, 1]."""
        reward = guarded_confidence_reward(logits, agreement, self.penalty, self.base)
        advantages = leave_one_out(reward.detach())
        spread = logits[..., None, :].expand(*actions.shape, -1)
        log_prob = categorical_log_prob(spread, actions)
        old = categorical_log_prob(old_logits.detach()[..., None, :].expand_as(spread), actions)
        if self.clip is None:
            loss, stats = reinforce_loss(log_prob.flatten(), advantages.flatten()), {}
        else:
            loss, stats = clipped_policy_loss(log_prob.flatten(), old.flatten(), advantages.flatten(), self.clip)
        if self.through_reward:
            loss = loss - ((log_prob.detach() - old).exp() * reward).mean()
        with torch.no_grad():
            self.stats = stats | dict(
                reward=reward.mean().item(),
                reward_std=reward.std(unbiased=False).item(),
                advantage_std=advantages.std(unbiased=False).item(),
                confidence=confidence_reward(logits).mean().item(),
                agreement=agreement.mean().item(),
            )
        return loss


@MODELS.register_module()
class AgreementPolicyLoss(ConfidencePolicyLoss):
    """:class:`ConfidencePolicyLoss` whose guard is the teacher: a choice is as right as the teacher finds it likely.

    Needs no labels, but the teacher's prediction.

    Args:
        temperature: of the teacher's probabilities. Default 1.
        options: of :class:`ConfidencePolicyLoss`, without ``tolerance``.
    """

    def __init__(self, temperature: float = 1.0, **options):
        super().__init__(**options)
        self.temperature = temperature

    def forward(self, logits: Tensor, target: Tensor, old_logits: Tensor) -> Tensor:
        """Scalar of three ``(N, ..., K)``; ``target`` are the teacher's logits."""
        old_logits = logits.detach() if self.on_policy else old_logits
        actions = self.choose(old_logits)
        agreement = (target / self.temperature).softmax(-1).gather(-1, actions)
        return self.objective(logits, old_logits, actions, agreement)


@MODELS.register_module()
class AlignmentPolicyLoss(PolicyLoss):
    """Minus the expected alignment of points drawn around the student's features with the teacher's cluster centres.

    The policy of every block is a normal distribution around the unit vector of its auxiliary head, whose noise has the
    length ``sigma`` on average; the reward is :func:`alignment_reward`, and its gradient REINFORCE's.

    Args:
        sigma: length of the noise against the feature's length, 1. With 0 nothing is drawn and the reward is followed
            directly: the same objective without exploration and without noise. Default 0.3.
        draws: points a sample and block. Default 16.
        seed: of the draws. Default 0.
    """

    def __init__(self, sigma: float = 0.3, draws: int = 16, seed: int = 0):
        super().__init__(draws, seed)
        if sigma < 0:
            raise ValueError(f'sigma must be >= 0, got {sigma}')
        self.sigma = sigma

    def forward(self, auxiliary: Tensor, centre: Tensor) -> Tensor:
        """Scalar of ``(N, B, D)`` and ``(N, D)``, ``centre`` that of each sample's cluster."""
        mean = F.normalize(auxiliary, dim=-1)
        aligned = alignment_reward(mean, centre[:, None])
        self.stats = dict(reward=aligned.detach().mean().item(), reward_std=aligned.detach().std(unbiased=False).item())
        if self.sigma == 0:
            return -aligned.mean()
        log_std = torch.tensor(math.log(self.sigma / math.sqrt(mean.shape[-1])), device=mean.device)
        shape = (*mean.shape[:2], self.draws, mean.shape[2])
        noise = torch.randn(shape, generator=self.generator).to(mean)
        points = mean.detach()[:, :, None] + log_std.exp() * noise
        reward = alignment_reward(points, centre[:, None, None])
        advantages = leave_one_out(reward)
        log_prob = normal_log_prob(mean[:, :, None], log_std, points).sum(-1)
        self.stats['advantage_std'] = advantages.std(unbiased=False).item()
        return reinforce_loss(log_prob.flatten(), advantages.flatten())
