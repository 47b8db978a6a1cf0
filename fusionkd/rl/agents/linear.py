"""What the linear contextual bandits share: arms, features and a discounted least-squares model of the reward."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fusionkd.rl.functional import RunningMoments

from .base import BaseAgent


@dataclass
class LinearModel:
    """Posterior of a Bayesian linear regression of the standardised reward, noise variance 1.

    Attributes:
        mean: of the weights, ``(F,)``.
        cholesky: lower factor of the precision, ``(F, F)``.
    """

    mean: Tensor
    cholesky: Tensor

    def deviation(self, features: Tensor) -> Tensor:
        """Standard deviation of the reward's mean for features ``(K, F)``; returns ``(K,)``."""
        return torch.linalg.solve_triangular(self.cholesky, features.T, upper=False).norm(dim=0)

    def sample(self, generator: torch.Generator, scale: float) -> Tensor:
        """Draw weights ``(F,)``; their deviation is multiplied by ``scale``."""
        noise = torch.randn(len(self.mean), 1, generator=generator, dtype=torch.float64)
        return self.mean + scale * torch.linalg.solve_triangular(self.cholesky.T, noise, upper=True)[:, 0]


class LinearBanditAgent(BaseAgent):
    """Chooses among the arms of a grid by a linear model of the reward; subclasses say in :meth:`score` how.

    The reward of an arm is linear in ``[1, x, a^2, products of x of different controls, x times tanh(observation)]``, where
    ``a`` are an arm's numbers and ``x`` its numbers and, for choices, one-hot vectors: what is learnt at one arm serves its
    neighbours, since a training has fewer decisions than a model per arm would need. Observations are normalised by
    running moments, rewards by their mean and deviation over the remembered past.

    Args:
        levels: grid points per number.
        ridge: regularisation.
        discount: weight of the past at each :meth:`observe` or :meth:`observe_many`; below 1 it forgets.
        seed: Default 0.
        frozen: as in :class:`BaseAgent`. Default False.
        init_from: as in :class:`BaseAgent`. Default none.

    Raises:
        ValueError: ridge not positive, discount not in (0, 1]; when set up, too large a grid.
    """

    def __init__(
        self,
        levels: int,
        ridge: float,
        discount: float,
        seed: int = 0,
        frozen: bool = False,
        init_from: str | None = None,
    ):
        super().__init__(seed, frozen, init_from)
        if not ridge > 0 or not 0 < discount <= 1:
            raise ValueError(f'ridge must be positive and discount in (0, 1], got {ridge} and {discount}')
        self.levels, self.ridge, self.discount = levels, ridge, discount

    def build(self) -> None:
        """Lay out the arms."""
        self.arms = self.space.grid(self.levels)
        arms = torch.as_tensor(self.arms)
        groups = [arms[:, i : i + 1] for i in range(self.space.box)]
        for i, options in enumerate(self.space.choices, start=self.space.box):
            groups.append(torch.nn.functional.one_hot(arms[:, i].long(), options).double())
        products = [(a[:, :, None] * b[:, None]).flatten(1) for i, a in enumerate(groups) for b in groups[i + 1 :]]
        self.coordinates = torch.cat(groups, dim=1)
        squares = arms[:, : self.space.box].square()
        self.own = torch.cat([torch.ones(len(arms), 1).double(), self.coordinates, squares, *products], dim=1)
        size = self.own.shape[1] + self.coordinates.shape[1] * self.observation_size
        self.moments = RunningMoments(self.observation_size)
        # discounted sums over decisions: of features f by f, of f times reward, of squared rewards; f starts with a 1
        self.gram = torch.zeros(size, size, dtype=torch.float64)
        self.moment = torch.zeros(size, dtype=torch.float64)
        self.square = torch.zeros((), dtype=torch.float64)
        self.regret = 0.0
        self.errors: list[float] = []

    def score(self, features: Tensor, model: LinearModel) -> Tensor:
        """Worth of each arm ``(K,)`` when exploring, for features ``(K, F)``; the largest is taken, ties at random."""
        raise NotImplementedError

    def decide(self, observations: Tensor, progress: float, explore: bool) -> tuple[np.ndarray, list[object]]:
        if not explore and self.gram[0, 0] == 0:
            return np.tile(self.space.initial, (len(observations), 1)), [None] * len(observations)
        if explore:
            self.see(observations)
        contexts = self.moments.normalise(observations).double().tanh()
        model = self._model()
        chosen, tickets = [], []
        for context in contexts:
            crossed = (self.coordinates[:, :, None] * context).flatten(1)
            features = torch.cat([self.own, crossed], dim=1)
            means = features @ model.mean
            if not explore:
                chosen.append(int(means.argmax()))
                tickets.append(None)
                continue
            worth = self.score(features, model)
            best = (worth >= worth.max() - 1e-12).nonzero()[:, 0]
            arm = int(best[torch.randint(len(best), (), generator=self.generator)])
            chosen.append(arm)
            tickets.append(dict(features=features[arm].clone(), gap=(means.max() - means[arm]).item()))
        return self.arms[chosen], tickets

    def see(self, observations: Tensor) -> None:
        self.moments.update(observations)

    def learn(self, ticket: dict, reward: float, following: Tensor, done: bool, truncated: bool) -> None:
        self.learn_many([ticket], torch.tensor([reward], dtype=torch.float64))

    def learn_many(self, tickets: list[dict], rewards: Tensor) -> None:
        features = torch.stack([ticket['features'] for ticket in tickets])
        mean, std = self._scale()
        errors = (rewards - mean) / std - features @ self._model().mean
        self.errors += errors.square().tolist()
        self.regret += sum(ticket['gap'] for ticket in tickets)
        self.gram = self.discount * self.gram + features.T @ features
        self.moment = self.discount * self.moment + features.T @ rewards
        self.square = self.discount * self.square + rewards.square().sum()

    def improve(self) -> dict[str, float]:
        """What was learnt: the model needs no further step."""
        if not self.errors:
            return {}
        loss = float(np.mean(self.errors))
        self.errors = []
        return dict(loss=loss, regret=self.regret)

    def state_dict(self) -> dict:
        own = dict(**self.policy_state(), regret=self.regret, errors=list(self.errors))
        return super().state_dict() | own

    def load_state_dict(self, state: dict) -> None:
        super().load_state_dict(state)
        self.load_policy_state(state)
        self.regret, self.errors = state['regret'], list(state['errors'])

    def policy_state(self) -> dict:
        """The linear model and the statistics of the observations."""
        model = dict(gram=self.gram, moment=self.moment, square=self.square)
        return copy.deepcopy(model) | dict(moments=self.moments.state_dict())

    def load_policy_state(self, state: dict) -> None:
        self.gram, self.moment, self.square = (state[key].clone() for key in ('gram', 'moment', 'square'))
        self.moments.load_state_dict(state['moments'])

    def layout(self) -> dict:
        return super().layout() | dict(levels=self.levels)

    def _scale(self) -> tuple[Tensor, Tensor]:
        """Mean and deviation of the rewards."""
        count = self.gram[0, 0].clamp(min=1e-12)
        mean = self.moment[0] / count
        std = (self.square / count - mean.square()).clamp(min=0).sqrt()
        return mean, std if std > 1e-8 else torch.ones_like(std)

    def _model(self) -> LinearModel:
        mean, std = self._scale()
        precision = self.gram + self.ridge * torch.eye(len(self.moment), dtype=torch.float64)
        cholesky = torch.linalg.cholesky(precision)
        target = (self.moment - mean * self.gram[:, 0]) / std
        return LinearModel(torch.cholesky_solve(target[:, None], cholesky)[:, 0], cholesky)
