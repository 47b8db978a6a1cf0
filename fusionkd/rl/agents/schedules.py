"""Schedules: the baselines that a learning agent must beat."""

from __future__ import annotations

import numpy as np

from fusionkd.registry import AGENTS

from .base import BaseAgent


@AGENTS.register_module()
class FixedAgent(BaseAgent):
    """Leaves every control at its initial value."""

    def act(self, observation: np.ndarray, progress: float, explore: bool = True) -> np.ndarray:
        """The initial action."""
        return self.initial_action.copy()


@AGENTS.register_module()
class RandomAgent(BaseAgent):
    """Draws uniformly from the whole action space.

    Args:
        seed: Default 0.
    """

    def __init__(self, seed: int = 0):
        self.rng = np.random.default_rng(seed)

    def act(self, observation: np.ndarray, progress: float, explore: bool = True) -> np.ndarray:
        """A uniform draw; the centre of the box without exploration."""
        return self.rng.random(self.action_size) if explore else np.full(self.action_size, 0.5)

    def state_dict(self) -> dict:
        """State of the generator."""
        return dict(rng=self.rng.bit_generator.state)

    def load_state_dict(self, state: dict) -> None:
        """Go on drawing."""
        self.rng.bit_generator.state = state['rng']
