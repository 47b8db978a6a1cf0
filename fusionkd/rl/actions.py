"""What an agent does: values for the controls of a distiller, inside bounds, smoothed."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True)
class Control:
    """One thing an agent may set: a number in ``[low, high]``, or, with ``options``, one of several names.

    Attributes:
        initial: value in force before the first decision; with options the index of one of them. Default 0.
        low: lower bound of a number. Default 0.
        high: upper bound of a number. Default 1.
        options: names to choose from; empty for a number. Default empty.

    Raises:
        ValueError: ``low >= high``, an initial value outside, or options that are fewer than two or not distinct.

    Example:
        >>> Control(1.0, 0.0, 2.0).options
        ()
        >>> Control(options=('blur', 'noise')).options[0]
        'blur'
    """

    initial: float = 0.0
    low: float = 0.0
    high: float = 1.0
    options: tuple[str, ...] = ()

    def __post_init__(self):
        if self.options:
            if len(set(self.options)) < max(2, len(self.options)):
                raise ValueError(f'options must be at least two distinct names, got {self.options}')
            if self.initial not in range(len(self.options)):
                raise ValueError(f'initial must be the index of one of {self.options}, got {self.initial}')
        elif not self.low < self.high:
            raise ValueError(f'bounds must satisfy low < high, got ({self.low}, {self.high})')
        elif not self.low <= self.initial <= self.high:
            raise ValueError(f'initial must be in [{self.low}, {self.high}], got {self.initial}')


class ActionSpace:
    """Maps an agent's action to values of named controls.

    An action holds the numbers first, as elements of the unit box (0 is a control's lower bound, 1 its upper one), then
    the choices, as indices of their options: ``(box + len(choices),)``.

    Args:
        controls: what may be set, by name.
        bounds: ``(low, high)`` by name, instead of the control's own; an initial value outside is moved to the bound.
            Default none.
        smoothing: share of the old value that numbers keep at each decision, in [0, 1). Default 0.

    Attributes:
        names: of the controls in the order of an action's elements.
        controls: by name, in that order, with the bounds that hold.
        box: how many numbers.
        choices: how many options each choice has.
        initial: action that leaves every control at its initial value, ``(len(self),)``.

    Raises:
        ValueError: no control, bounds for an unknown control or for a choice, or bounds with ``low >= high``.

    Example:
        >>> space = ActionSpace(dict(guide=Control(1, 0, 2), op=Control(options=('blur', 'noise'))))
        >>> space.step([0.25, 1])
        {'guide': 0.5, 'op': 'noise'}
        >>> space.unit.tolist()
        [0.25, 1.0]
    """

    def __init__(
        self,
        controls: Mapping[str, Control],
        bounds: Mapping[str, tuple[float, float]] | None = None,
        smoothing: float = 0.0,
    ):
        if not controls:
            raise ValueError("an agent without controls has nothing to decide: give some term weight='agent'")
        if not 0 <= smoothing < 1:
            raise ValueError(f'smoothing must be in [0, 1), got {smoothing}')
        bounds = bounds or {}
        unknown = [name for name in bounds if name not in controls or controls[name].options]
        if unknown:
            known = ', '.join(name for name, control in controls.items() if not control.options) or 'none'
            raise ValueError(f'bounds for {unknown}, which are not controls with a number; those are: {known}')
        numbers = {name: _bounded(name, c, bounds.get(name)) for name, c in controls.items() if not c.options}
        self.controls = numbers | {name: control for name, control in controls.items() if control.options}
        self.names = list(self.controls)
        self.box = len(numbers)
        self.choices = tuple(len(control.options) for control in list(self.controls.values())[self.box :])
        self.low = np.array([control.low for control in numbers.values()], dtype=np.float64)
        self.high = np.array([control.high for control in numbers.values()], dtype=np.float64)
        self.smoothing = smoothing
        self.initial = np.array([self._encode(name, c.initial) for name, c in self.controls.items()], dtype=np.float64)
        self.unit = self.initial.copy()

    def __len__(self) -> int:
        return len(self.names)

    @property
    def values(self) -> dict[str, float | str]:
        """Values in force, by name; a choice as the name of its option."""
        return {name: values[0] for name, values in self.decode(self.unit[None]).items()}

    def encode(self, name: str, value: float | str) -> float:
        """Element of an action that stands for a value of one control.

        Args:
            name: of the control.
            value: a number inside the control's bounds, or the name of an option.

        Raises:
            ValueError: no such control, a value outside the bounds, or no such option.
        """
        if name not in self.controls:
            raise ValueError(f'no control {name!r}; there are: {", ".join(self.names)}')
        control = self.controls[name]
        if control.options:
            if value not in control.options:
                raise ValueError(f'control {name!r} has no option {value!r}; it has: {", ".join(control.options)}')
            return float(control.options.index(value))
        if not control.low <= value <= control.high:
            raise ValueError(f'control {name!r} must be in [{control.low}, {control.high}], got {value}')
        return self._encode(name, value)

    def step(self, action: Sequence[float]) -> dict[str, float | str]:
        """Take one decision.

        Args:
            action: ``(len(self),)``; numbers are clipped to [0, 1], indices rounded and clipped to the options.

        Returns:
            The new value of every control; a choice comes out as the name of its option.
        """
        target = self._clip(np.asarray(action, dtype=np.float64)[None])[0]
        kept = self.smoothing * self.unit[: self.box]
        self.unit = np.concatenate([kept + (1 - self.smoothing) * target[: self.box], target[self.box :]])
        return self.values

    def decode(self, actions: np.ndarray) -> dict[str, list]:
        """Values of many actions, each taken by itself: nothing is smoothed and nothing stays in force.

        Args:
            actions: ``(N, len(self))``.

        Returns:
            N values by control: floats, or names of options.
        """
        actions = self._clip(np.asarray(actions, dtype=np.float64))
        numbers = self.low + actions[:, : self.box] * (self.high - self.low)
        values = dict(zip(self.names, numbers.T.tolist(), strict=False))
        for name, column in zip(self.names[self.box :], actions[:, self.box :].T.astype(int), strict=True):
            values[name] = [self.controls[name].options[i] for i in column]
        return values

    def grid(self, levels: int, limit: int = 20000) -> np.ndarray:
        """All combinations of evenly spaced numbers and of options.

        Args:
            levels: values per number, from the lower bound to the upper one; at least 2.
            limit: most combinations allowed. Default 20000.

        Returns:
            ``(K, len(self))`` actions; the last control changes fastest.

        Raises:
            ValueError: fewer than two levels, or more than ``limit`` combinations.
        """
        if levels < 2:
            raise ValueError(f'levels must be at least 2, got {levels}')
        count = levels**self.box * math.prod(self.choices)
        if count > limit:
            raise ValueError(f'{levels} levels of {self.names} make {count} combinations, more than {limit}: use fewer')
        axes = [np.linspace(0, 1, levels)] * self.box + [np.arange(float(n)) for n in self.choices]
        return np.array(list(itertools.product(*axes)))

    def state_dict(self) -> dict:
        """Values in force."""
        return dict(unit=self.unit.tolist())

    def load_state_dict(self, state: dict) -> None:
        """Restore :meth:`state_dict`.

        Raises:
            ValueError: the state is of a space with another number of controls.
        """
        if len(state['unit']) != len(self):
            raise ValueError(f'the state has {len(state["unit"])} controls, this space {len(self)}: {self.names}')
        self.unit = np.array(state['unit'], dtype=np.float64)

    def _encode(self, name: str, value: float) -> float:
        control = self.controls[name]
        return float(value) if control.options else (value - control.low) / (control.high - control.low)

    def _clip(self, actions: np.ndarray) -> np.ndarray:
        if actions.shape[-1] != len(self):
            raise ValueError(f'an action has {len(self)} elements ({", ".join(self.names)}), got {actions.shape[-1]}')
        indices = np.clip(np.rint(actions[:, self.box :]), 0, np.array(self.choices) - 1)
        return np.concatenate([np.clip(actions[:, : self.box], 0, 1), indices], axis=1)


def _bounded(name: str, control: Control, bounds: tuple[float, float] | None) -> Control:
    if bounds is None:
        return control
    low, high = bounds
    if not low < high:
        raise ValueError(f'control {name!r}: bounds must satisfy low < high, got ({low}, {high})')
    return replace(control, initial=min(max(control.initial, low), high), low=low, high=high)
