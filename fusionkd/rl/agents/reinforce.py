"""REINFORCE with a learnt baseline."""

from __future__ import annotations

from torch import Tensor

from fusionkd.registry import AGENTS
from fusionkd.rl.functional import clipped_value_loss, estimate_kl, explained_variance, reinforce_loss

from .policy import PolicyGradientAgent


@AGENTS.register_module()
class ReinforceAgent(PolicyGradientAgent):
    """REINFORCE (Williams, 1992) with a value network as baseline: one step of the policy per rollout.

    The advantage is the discounted return minus the baseline; what comes after a rollout that ends within an episode counts
    by its value.

    Args:
        rollout: decisions per update, or decisions about single samples. Default 8.
        value_steps: steps of the baseline per rollout. Default 8.
        lr: of Adam. Default 1e-2: there is one step per rollout.
        gamma: discount per decision. Default 0.9.
        entropy: weight of the entropy bonus. Default 0.01.
        hidden: units of both hidden layers. Default 64.
        std: initial standard deviation of numbers, before squashing. Default 0.8.
        seed: Default 0.
        frozen: as in :class:`BaseAgent`. Default False.
        init_from: as in :class:`BaseAgent`. Default none.
    """

    def __init__(
        self,
        rollout: int = 8,
        value_steps: int = 8,
        lr: float = 1e-2,
        gamma: float = 0.9,
        entropy: float = 0.01,
        hidden: int = 64,
        std: float = 0.8,
        seed: int = 0,
        frozen: bool = False,
        init_from: str | None = None,
    ):
        super().__init__(rollout, lr, gamma, 1.0, hidden, std, seed, frozen, init_from)
        self.value_steps, self.entropy = value_steps, entropy

    def fit(self, data: dict[str, Tensor]) -> dict[str, float]:
        advantages = data['advantage']
        advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
        policy = self.network.policy(data['observation'])
        policy_loss = reinforce_loss(policy.log_prob(data['sample']), advantages)
        entropy = policy.entropy().mean()
        self._descend(policy_loss - self.entropy * entropy)
        for _ in range(self.value_steps):
            values = self.network.value(data['observation'])
            value_loss = clipped_value_loss(values, data['value'], data['returns'], clip=None)
            self._descend(value_loss)
        log_prob = self.network.policy(data['observation']).log_prob(data['sample']).detach()
        return dict(
            loss=(policy_loss + value_loss - self.entropy * entropy).item(),
            policy_loss=policy_loss.item(),
            value_loss=value_loss.item(),
            entropy=entropy.item(),
            approx_kl=estimate_kl(data['log_prob'], log_prob).mean().item(),
            explained_variance=explained_variance(data['value'], data['returns']),
        )
