"""Averaged weights."""

from __future__ import annotations

from mmengine.hooks import EMAHook
from mmengine.model import MomentumAnnealingEMA
from mmengine.runner import Runner
from torch import Tensor

from fusionkd.registry import HOOKS, MODELS


@MODELS.register_module()
class TensorEMA(MomentumAnnealingEMA):
    """mmengine's average with an annealed momentum, of a model whose extra states need not be tensors."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.avg_parameters = {k: v for k, v in self.avg_parameters.items() if isinstance(v, Tensor)}


@HOOKS.register_module()
class StudentEMAHook(EMAHook):
    """mmengine's exponential moving average of the weights; validation, the student file and what is left at the end are it.

    mmengine's own hook puts the average aside before the student file is written, and again before a test of loaded weights.

    Args:
        ema_type: Default ``'TensorEMA'``: its share of new weights begins at 1 and falls to ``momentum``.
        momentum: share of the new weights in the end. Default 0.02.
        gamma: after this many iterations it is one half. Default 20.
        update_buffers: average batch norm's statistics, too. Default True.
    """

    # After the student file and before the checkpoint, in which weights and average change places.
    priority = 80

    def __init__(
        self,
        ema_type: str = 'TensorEMA',
        momentum: float = 0.02,
        gamma: int = 20,
        update_buffers: bool = True,
    ):
        super().__init__(ema_type=ema_type, momentum=momentum, gamma=gamma, update_buffers=update_buffers)

    def after_train(self, runner: Runner) -> None:
        """Leave the average in the model."""
        self._swap_ema_parameters()

    def before_test_epoch(self, runner: Runner) -> None:
        """Test what is in the model."""

    def after_test_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Leave the model alone."""
