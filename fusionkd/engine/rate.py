"""A factor on the learning rate that no schedule notices."""

from __future__ import annotations

from collections.abc import Sequence

from mmengine.optim import OptimWrapper, OptimWrapperDict
from torch.optim import Optimizer


class RateFactor:
    """Multiplies the scheduled learning rate while an optimiser steps, and puts it back right after.

    Schedules that compute a rate from the one before, logs and checkpoints therefore see the scheduled rate alone.

    Args:
        wrapper: of the Runner.

    Attributes:
        value: the factor. Default 1, which changes nothing.
    """

    def __init__(self, wrapper: OptimWrapper | OptimWrapperDict):
        self.value = 1.0
        wrappers: Sequence[OptimWrapper] = (
            list(wrapper.values()) if isinstance(wrapper, OptimWrapperDict) else [wrapper]
        )
        for each in wrappers:
            each.optimizer.register_step_pre_hook(self._scale)
            each.optimizer.register_step_post_hook(self._restore)

    def set(self, value: float) -> None:
        """Use another factor from now on.

        Raises:
            ValueError: it is not positive.
        """
        if value <= 0:
            raise ValueError(f'a factor on the learning rate must be positive, got {value}')
        self.value = float(value)

    def _scale(self, optimizer: Optimizer, *_: object) -> None:
        self._scheduled = [group['lr'] for group in optimizer.param_groups]
        for group in optimizer.param_groups:
            group['lr'] = group['lr'] * self.value

    def _restore(self, optimizer: Optimizer, *_: object) -> None:
        for group, rate in zip(optimizer.param_groups, self._scheduled, strict=True):
            group['lr'] = rate
