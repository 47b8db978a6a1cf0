"""Discriminators that have stopped to teach."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from statistics import mean

SEPARABLE, CONSTANT = 'separable', 'constant'


class CollapseDetector:
    """Says when a discriminator's reward no longer tells answers of the student apart (not from the paper).

    * ``'separable'``: it is always right, and all of the student's answers to a query earn the same similarity reward:
      nothing the student could draw would change it.
    * ``'constant'``: it is right half of the time and says the same of everything.

    Args:
        window: updates over which is averaged. Default 50.
        right: accuracy from which it is always right. Default 0.99.
        chance: distance of the accuracy from one half up to which it is chance. Default 0.02.
        spread: standard deviation of D up to which it says the same of everything. Default 0.01.
    """

    def __init__(self, window: int = 50, right: float = 0.99, chance: float = 0.02, spread: float = 0.01):
        self.window, self.right, self.chance, self.spread = window, right, chance, spread
        self.seen: dict[str, deque[float]] = {name: deque(maxlen=window) for name in ('accuracy', 'spread', 'constant')}

    def update(self, stats: Mapping[str, float]) -> str | None:
        """Count an update.

        Args:
            stats: some of ``accuracy`` in [0, 1], ``spread`` (standard deviation of D) and ``constant`` (share of queries
                whose student answers all earn the same similarity); each is averaged over those that were given.

        Returns:
            ``'separable'``, ``'constant'`` or ``None``; always ``None`` before a whole window was seen.
        """
        for name, values in self.seen.items():
            if name in stats:
                values.append(float(stats[name]))
        if len(self.seen['accuracy']) < self.window:
            return None
        accuracy, spread = mean(self.seen['accuracy']), mean(self.seen['spread'])
        constant = self.seen['constant']
        if accuracy >= self.right and constant and mean(constant) >= self.right:
            return SEPARABLE
        if abs(accuracy - 0.5) <= self.chance and spread <= self.spread:
            return CONSTANT
        return None

    def state_dict(self) -> dict[str, list[float]]:
        """What was seen."""
        return {name: list(values) for name, values in self.seen.items()}

    def load_state_dict(self, state: Mapping[str, list[float]]) -> None:
        """Go on from :meth:`state_dict`."""
        self.seen = {name: deque(values, maxlen=self.window) for name, values in state.items()}
