"""Lowers the weight of a term."""

from __future__ import annotations

import math

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from fusionkd.registry import HOOKS


@HOOKS.register_module()
class FadeHook(Hook):
    """Fades the weight of a term on a cosine from what the recipe says to a share of it.

    Args:
        term: name of the term.
        begin: share of the training at which it begins to fade, in [0, 1). Default 0.
        floor: share of the weight that is left at the end, in [0, 1]. Default 0.1.

    Raises:
        ValueError: a number outside its range; no such term, or one whose weight is left to an agent.
    """

    # After StageHook, which puts the recipe's weights in force when a stage begins.
    priority = 86

    def __init__(self, term: str, begin: float = 0.0, floor: float = 0.1):
        if not 0 <= begin < 1 or not 0 <= floor <= 1:
            raise ValueError(f'begin must be in [0, 1) and floor in [0, 1], got {begin} and {floor}')
        self.term = term
        self.begin = begin
        self.floor = floor

    def before_train(self, runner: Runner) -> None:
        """Find the term and its weight."""
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        if self.term not in model.terms:
            raise ValueError(f'FadeHook fades {self.term!r}; the terms of the model are: {", ".join(model.terms)}')
        self._term = model.terms[self.term]
        if self._term.by_agent:
            raise ValueError(f'the weight of {self.term!r} is left to an agent; remove FadeHook or give it a number')
        self._weight = self._term.weight

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: dict | None = None) -> None:
        """Set the weight of this iteration."""
        self._term.weight = self._weight * fade(runner.iter / runner.max_iters, self.begin, self.floor)


def fade(progress: float, begin: float, floor: float) -> float:
    """1 until ``begin``, then down to ``floor`` at 1 on half a cosine."""
    share = min(max((progress - begin) / (1 - begin), 0.0), 1.0)
    return floor + (1 - floor) * (1 + math.cos(math.pi * share)) / 2
