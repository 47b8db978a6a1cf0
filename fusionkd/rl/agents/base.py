"""The interface of every agent and schedule."""

from __future__ import annotations

import numpy as np


class BaseAgent:
    """Decides, once per interval, an action in the unit box.

    The life of an agent: :meth:`setup` once, then for every decision :meth:`act`, one interval of training,
    :meth:`observe`, :meth:`update`. Agents draw from generators of their own and never from the global ones.
    """

    observation_size: int
    action_size: int

    def setup(self, observation_size: int, initial_action: np.ndarray) -> None:
        """Learn the sizes.

        Args:
            observation_size: length of the observations.
            initial_action: action in the unit box that leaves all controls at their initial values; its length is
                that of every action.
        """
        self.observation_size = observation_size
        self.action_size = len(initial_action)
        self.initial_action = np.asarray(initial_action, dtype=np.float64)

    def act(self, observation: np.ndarray, progress: float, explore: bool = True) -> np.ndarray:
        """Decide.

        Args:
            observation: ``(observation_size,)``.
            progress: share of the training that is over, in [0, 1]; schedules look at nothing else.
            explore: sample, as training needs it; otherwise the best action. Default True.

        Returns:
            ``(action_size,)`` in [0, 1].
        """
        raise NotImplementedError(f'{type(self).__name__} must implement act')

    def observe(self, reward: float, next_observation: np.ndarray, done: bool) -> None:
        """Receive what the last action led to. Schedules ignore it."""

    def update(self) -> dict[str, float]:
        """Learn if enough was observed, and return what to log; empty otherwise."""
        return {}

    def state_dict(self) -> dict:
        """Everything a resumed run needs to take the same decisions."""
        return {}

    def load_state_dict(self, state: dict) -> None:
        """Restore :meth:`state_dict`; called after :meth:`setup`."""
