"""EXP3.S, a bandit that assumes nothing about where rewards come from."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from fusionkd.registry import AGENTS
from fusionkd.rl.functional import RunningMoments

from .base import BaseAgent


@AGENTS.register_module()
class EXP3Agent(BaseAgent):
    """EXP3.S (Auer et al., SIAM Journal on Computing 2002, section 8) over a grid of actions; blind to the observation.

    EXP3 needs rewards in [0, 1]: they are standardised by running moments and mapped by the normal distribution function,
    so that neither scale nor outliers matter. With ``share`` 0 it is EXP3, which competes with the best constant arm; above
    0 every arm keeps some weight, so that it can follow an optimum that moves.

    Args:
        levels: grid points per number. Default 3: each arm has to be tried.
        explore: share of uniformly drawn arms, the paper's gamma, in (0, 1]; also the learning rate. Default 0.1.
        share: the paper's alpha, in [0, 1); its optimum is about one over the number of decisions. Default 0.01.
        seed: Default 0.
        frozen: as in :class:`BaseAgent`. Default False.
        init_from: as in :class:`BaseAgent`. Default none.

    Raises:
        ValueError: an option outside its range; when set up, too large a grid.
    """

    def __init__(
        self,
        levels: int = 3,
        explore: float = 0.1,
        share: float = 0.01,
        seed: int = 0,
        frozen: bool = False,
        init_from: str | None = None,
    ):
        super().__init__(seed, frozen, init_from)
        if not 0 < explore <= 1 or not 0 <= share < 1:
            raise ValueError(f'explore must be in (0, 1] and share in [0, 1), got {explore} and {share}')
        self.levels, self.explore, self.share = levels, explore, share

    def build(self) -> None:
        """Lay out the arms."""
        self.arms = self.space.grid(self.levels)
        self.log_weights = torch.zeros(len(self.arms), dtype=torch.float64)
        self.rewards = RunningMoments(1)
        self.gains = torch.zeros(len(self.arms), dtype=torch.float64)  # estimated sum of rewards of each arm
        self.collected, self.decisions, self.logged = 0.0, 0, 0

    def decide(self, observations: Tensor, progress: float, explore: bool) -> tuple[np.ndarray, list[object]]:
        count = len(observations)
        if not explore:
            return np.tile(self.arms[int(self.log_weights.argmax())], (count, 1)), [None] * count
        probabilities = self._probabilities()
        chosen = torch.multinomial(probabilities, count, replacement=True, generator=self.generator)
        tickets = [dict(arm=arm, probability=probabilities[arm].item()) for arm in chosen.tolist()]
        return self.arms[chosen.numpy()], tickets

    def learn(self, ticket: dict, reward: float, following: Tensor, done: bool, truncated: bool) -> None:
        self.learn_many([ticket], torch.tensor([reward], dtype=torch.float64))

    def learn_many(self, tickets: list[dict], rewards: Tensor) -> None:
        self.rewards.update(rewards[:, None])
        standard = self.rewards.normalise(rewards[:, None])[:, 0]
        arms = len(self.arms)
        for ticket, reward in zip(tickets, torch.special.ndtr(standard).tolist(), strict=True):
            estimate = reward / ticket['probability']
            total = self.log_weights.logsumexp(0)
            self.log_weights[ticket['arm']] += self.explore * estimate / arms
            if self.share:
                self.log_weights = torch.logaddexp(self.log_weights, total + 1 + math.log(self.share / arms))
            self.log_weights -= self.log_weights.max().clone()
            self.gains[ticket['arm']] += estimate
            self.collected += reward
        self.decisions += len(tickets)

    def improve(self) -> dict[str, float]:
        """What was learnt: the weights need no further step."""
        if self.logged == self.decisions:
            return {}
        self.logged = self.decisions
        probabilities = self._probabilities()
        return dict(
            regret=self.gains.max().item() - self.collected,
            entropy=-(probabilities * probabilities.log()).sum().item(),
        )

    def state_dict(self) -> dict:
        own = dict(
            **self.policy_state(),
            gains=self.gains.clone(),
            collected=self.collected,
            decisions=self.decisions,
            logged=self.logged,
        )
        return super().state_dict() | own

    def load_state_dict(self, state: dict) -> None:
        super().load_state_dict(state)
        self.load_policy_state(state)
        self.gains = state['gains'].clone()
        self.collected, self.decisions, self.logged = state['collected'], state['decisions'], state['logged']

    def policy_state(self) -> dict:
        """Weights of the arms and the statistics of the rewards."""
        return dict(log_weights=self.log_weights.clone(), rewards=self.rewards.state_dict())

    def load_policy_state(self, state: dict) -> None:
        self.log_weights = state['log_weights'].clone()
        self.rewards.load_state_dict(state['rewards'])

    def layout(self) -> dict:
        return super().layout() | dict(levels=self.levels)

    def _probabilities(self) -> Tensor:
        return (1 - self.explore) * self.log_weights.softmax(0) + self.explore / len(self.arms)
