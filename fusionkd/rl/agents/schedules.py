"""Schedules: the baselines that a learning agent must beat."""

from __future__ import annotations

import math
from collections.abc import Mapping
from fnmatch import fnmatchcase

import numpy as np
import torch
from torch import Tensor

from fusionkd.registry import AGENTS

from .base import BaseAgent


@AGENTS.register_module()
class FixedAgent(BaseAgent):
    """Leaves every control at its initial value."""

    def decide(self, observations: Tensor, progress: float, explore: bool) -> tuple[np.ndarray, list[object]]:
        return np.tile(self.space.initial, (len(observations), 1)), [None] * len(observations)


@AGENTS.register_module()
class RandomAgent(BaseAgent):
    """Draws uniformly from the whole action space; without exploration, the middle and the initial options.

    Args:
        seed: Default 0.
    """

    def __init__(self, seed: int = 0):
        super().__init__(seed)

    def decide(self, observations: Tensor, progress: float, explore: bool) -> tuple[np.ndarray, list[object]]:
        count, box = len(observations), self.space.box
        actions = np.tile(self.space.initial, (count, 1))
        actions[:, :box] = 0.5
        if explore:
            actions[:, :box] = torch.rand(count, box, generator=self.generator, dtype=torch.float64).numpy()
            for i, options in enumerate(self.space.choices, start=box):
                actions[:, i] = torch.randint(options, (count,), generator=self.generator).numpy()
        return actions, [None] * count


@AGENTS.register_module()
class LinearAgent(BaseAgent):
    """Moves controls along a straight line over the training; the others stay at their initial value.

    Args:
        start: value at the beginning of the training, by control.
        end: value at its end, for the same controls.

    Raises:
        ValueError: no control, or others in ``end`` than in ``start``; when set up, an unknown control, a value outside
            its bounds, or a control with options, which has nothing in between.

    Example:
        >>> from fusionkd.rl import ActionSpace, Control
        >>> agent = LinearAgent(start=dict(guide=2.0), end=dict(guide=0.0))
        >>> agent.setup(1, ActionSpace(dict(guide=Control(1, 0, 2))))
        >>> agent.act([0.0], progress=0.25).tolist()
        [0.75]
    """

    def __init__(self, start: Mapping[str, float], end: Mapping[str, float]):
        super().__init__()
        if not start or set(start) != set(end):
            raise ValueError(f'start and end must name the same controls, got {sorted(start)} and {sorted(end)}')
        self.start, self.end = start, end

    def build(self) -> None:
        chosen = [name for name in self.start if name in self.space.names[self.space.box :]]
        if chosen:
            raise ValueError(f'{chosen} have options, which cannot be annealed; leave them out')
        self.first, self.last = (self._point(values) for values in (self.start, self.end))

    def decide(self, observations: Tensor, progress: float, explore: bool) -> tuple[np.ndarray, list[object]]:
        share = self.share(min(max(progress, 0.0), 1.0))
        action = (1 - share) * self.first + share * self.last
        return np.tile(action, (len(observations), 1)), [None] * len(observations)

    def share(self, progress: float) -> float:
        """Part of the way from start to end."""
        return progress

    def _point(self, values: Mapping[str, float]) -> np.ndarray:
        action = self.space.initial.copy()
        for name, value in values.items():
            coordinate = self.space.encode(name, value)
            action[self.space.names.index(name)] = coordinate
        return action


@AGENTS.register_module()
class CosineAgent(LinearAgent):
    """As :class:`LinearAgent`, along half a cosine: slow at both ends (SGDR, Loshchilov and Hutter, ICLR 2017)."""

    def share(self, progress: float) -> float:
        """Part of the way from start to end."""
        return 0.5 * (1 - math.cos(math.pi * progress))


@AGENTS.register_module()
class GapProportionalAgent(BaseAgent):
    """Sets weights in proportion to the gap by which the teacher is still ahead (not from a paper).

    A gap of 0 or less, where the student has caught up, sets the lower bound; the gap ``full`` or more the upper one.

    Args:
        gaps: name of the observation that is the gap, by control; ``*`` stands for anything, as in
            ``dict(guide='gap/*/score')``, and the mean of several matches counts. Other controls keep their initial value.
        full: gap at which the upper bound is reached. Default the largest seen so far.

    Raises:
        ValueError: no control, or ``full`` not positive; when set up, a name without a match, an unknown control or one
            with options.
    """

    def __init__(self, gaps: Mapping[str, str], full: float | None = None):
        super().__init__()
        if not gaps:
            raise ValueError('gaps must name the observation that each control follows')
        if full is not None and not full > 0:
            raise ValueError(f'full must be positive, got {full}')
        self.gaps, self.full = gaps, full

    def build(self) -> None:
        numbers = self.space.names[: self.space.box]
        unknown = [name for name in self.gaps if name not in numbers]
        if unknown:
            raise ValueError(f'no controls {unknown} with a number; those are: {", ".join(numbers) or "none"}')
        self.columns = {}
        for control, pattern in self.gaps.items():
            found = [i for i, name in enumerate(self.names) if fnmatchcase(name, pattern)]
            if not found:
                raise ValueError(
                    f'no observation matches {pattern!r}; there are: {", ".join(self.names) or "no names"}'
                )
            self.columns[control] = found
        self.largest = dict.fromkeys(self.gaps, 0.0)

    def decide(self, observations: Tensor, progress: float, explore: bool) -> tuple[np.ndarray, list[object]]:
        actions = np.tile(self.space.initial, (len(observations), 1))
        for control, columns in self.columns.items():
            gaps = observations[:, columns].mean(1).numpy()
            self.largest[control] = max(self.largest[control], float(gaps.max()))
            full = self.full or self.largest[control] or 1.0
            actions[:, self.space.names.index(control)] = np.clip(gaps / full, 0, 1)
        return actions, [None] * len(observations)

    def state_dict(self) -> dict:
        return super().state_dict() | dict(largest=dict(self.largest))

    def load_state_dict(self, state: dict) -> None:
        super().load_state_dict(state)
        self.largest = dict(state['largest'])


@AGENTS.register_module()
class GridAgent(BaseAgent):
    """One point of a grid over the action space, all training long; the best of all points is the constant oracle.

    Args:
        point: which combination of ``space.grid(levels)``, from 0.
        levels: values per number. Default 3.

    Raises:
        ValueError: when set up, the grid has no such point; the message says how many it has.
    """

    def __init__(self, point: int, levels: int = 3):
        super().__init__()
        self.point, self.levels = point, levels

    def build(self) -> None:
        grid = self.space.grid(self.levels)
        if not 0 <= self.point < len(grid):
            raise ValueError(f'point must be in 0..{len(grid) - 1} for {self.levels} levels, got {self.point}')
        self.action = grid[self.point]

    def decide(self, observations: Tensor, progress: float, explore: bool) -> tuple[np.ndarray, list[object]]:
        return np.tile(self.action, (len(observations), 1)), [None] * len(observations)
