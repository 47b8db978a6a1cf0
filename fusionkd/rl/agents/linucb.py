"""LinUCB, a contextual bandit over a grid of actions."""

from __future__ import annotations

import itertools

import numpy as np

from fusionkd.registry import AGENTS

from .base import BaseAgent


@AGENTS.register_module()
class LinUCBAgent(BaseAgent):
    """LinUCB (Li et al., WWW 2010) with one linear model shared by all actions.

    The arms are a grid over the unit box. The reward of an arm is modelled as linear in
    ``[1, a, a^2, a x tanh(observation)]``, so that what is learnt at one arm serves its neighbours: a training has fewer
    decisions than a model per arm would need. Rewards are divided by their running deviation.

    Args:
        levels: grid points per control. Default 5.
        alpha: width of the confidence bound. Default 0.5.
        ridge: regularisation. Default 1.
        discount: weight of the past at each decision; below 1 it forgets, as a student that changes demands.
            Default 0.98.
        seed: breaks ties. Default 0.
    """

    def __init__(self, levels: int = 5, alpha: float = 0.5, ridge: float = 1.0, discount: float = 0.98, seed: int = 0):
        if levels < 2:
            raise ValueError(f'levels must be at least 2, got {levels}')
        self.levels, self.alpha, self.ridge, self.discount = levels, alpha, ridge, discount
        self.rng = np.random.default_rng(seed)

    def setup(self, observation_size: int, initial_action: np.ndarray) -> None:
        """Lay out the arms."""
        super().setup(observation_size, initial_action)
        axis = np.linspace(0, 1, self.levels)
        self.arms = np.array(list(itertools.product(axis, repeat=self.action_size)))
        size = 1 + 2 * self.action_size + self.action_size * observation_size
        self.gram = np.zeros((size, size))
        self.moment = np.zeros(size)
        self.reward_square, self.count = 0.0, 0
        self.pending: np.ndarray | None = None

    def act(self, observation: np.ndarray, progress: float, explore: bool = True) -> np.ndarray:
        """The arm of the largest upper confidence bound, or of the largest mean without exploration."""
        features = self._features(self.arms, np.asarray(observation, dtype=np.float64))
        inverse = np.linalg.inv(self.gram + self.ridge * np.eye(len(self.moment)))
        mean = features @ (inverse @ self.moment)
        if not explore:
            return self.arms[int(mean.argmax())].copy()
        bound = mean + self.alpha * np.sqrt(np.einsum('ij,jk,ik->i', features, inverse, features))
        best = np.flatnonzero(bound >= bound.max() - 1e-12)
        arm = int(self.rng.choice(best))
        self.pending = features[arm]
        return self.arms[arm].copy()

    def observe(self, reward: float, next_observation: np.ndarray, done: bool) -> None:
        """Update the linear model."""
        if self.pending is None:
            raise RuntimeError('observe() without an action: call act() first')
        self.count += 1
        self.reward_square += (reward**2 - self.reward_square) / self.count
        scaled = reward / (np.sqrt(self.reward_square) + 1e-8)
        self.gram = self.discount * self.gram + np.outer(self.pending, self.pending)
        self.moment = self.discount * self.moment + scaled * self.pending
        self.pending = None

    def state_dict(self) -> dict:
        """Linear model, scale, generator."""
        return dict(
            gram=self.gram.copy(),
            moment=self.moment.copy(),
            reward_square=self.reward_square,
            count=self.count,
            pending=self.pending,
            rng=self.rng.bit_generator.state,
        )

    def load_state_dict(self, state: dict) -> None:
        """Restore :meth:`state_dict`."""
        self.gram, self.moment = state['gram'].copy(), state['moment'].copy()
        self.reward_square, self.count = state['reward_square'], state['count']
        self.pending = state['pending']
        self.rng.bit_generator.state = state['rng']

    def _features(self, arms: np.ndarray, observation: np.ndarray) -> np.ndarray:
        context = np.tanh(observation)
        crossed = (arms[:, :, None] * context).reshape(len(arms), -1)
        return np.concatenate([np.ones((len(arms), 1)), arms, arms**2, crossed], axis=1)
