"""What an agent does: values for the controls of a distiller, inside bounds, smoothed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np


class ActionSpace:
    """Maps an agent's action in the unit box to values of named controls.

    Args:
        bounds: ``(low, high)`` of each control, in the order of the action's elements.
        initial: values in force before the first decision.
        smoothing: share of the old value that is kept at each decision, in [0, 1). Default 0.

    Raises:
        ValueError: no control, or a bound with ``low >= high``.

    Example:
        >>> space = ActionSpace(dict(guide=(0, 2), hard_strength=(0, 1)), dict(guide=1, hard_strength=0.5))
        >>> {name: float(value) for name, value in space.step([0.5, 0.5]).items()}
        {'guide': 1.0, 'hard_strength': 0.5}
    """

    def __init__(self, bounds: Mapping[str, Sequence[float]], initial: Mapping[str, float], smoothing: float = 0.0):
        if not bounds:
            raise ValueError('an agent without controls has nothing to decide: give some term weight="agent"')
        for name, (low, high) in bounds.items():
            if not low < high:
                raise ValueError(f'control {name!r}: bounds must satisfy low < high, got ({low}, {high})')
        if not 0 <= smoothing < 1:
            raise ValueError(f'smoothing must be in [0, 1), got {smoothing}')
        self.names = list(bounds)
        self.low = np.array([bounds[n][0] for n in self.names], dtype=np.float64)
        self.high = np.array([bounds[n][1] for n in self.names], dtype=np.float64)
        self.smoothing = smoothing
        self.values = np.clip([float(initial[n]) for n in self.names], self.low, self.high)

    def __len__(self) -> int:
        return len(self.names)

    @property
    def unit(self) -> np.ndarray:
        """Values in force as an element of the unit box, ``(len(self),)``."""
        return (self.values - self.low) / (self.high - self.low)

    def step(self, action: Sequence[float]) -> dict[str, float]:
        """Take one decision.

        Args:
            action: ``(len(self),)``, clipped to [0, 1]: 0 is a control's lower bound, 1 its upper one.

        Returns:
            The new value of every control.
        """
        target = self.low + np.clip(np.asarray(action, dtype=np.float64), 0, 1) * (self.high - self.low)
        self.values = self.smoothing * self.values + (1 - self.smoothing) * target
        return dict(zip(self.names, self.values.tolist(), strict=True))
