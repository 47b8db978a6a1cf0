"""Lets a network settle on the statistics that it will be used with."""

from __future__ import annotations

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch.nn.modules.batchnorm import _BatchNorm

from fusionkd.registry import HOOKS


@HOOKS.register_module()
class FreezeNormHook(Hook):
    """In the last part of a training the student's batch norm uses its running statistics and leaves them (not from a paper).

    In training mode every batch is normalised by its own statistics, which for a few crops are far from those of whole
    images: a small network loses much of what it has learned when it is used. Trained on with the statistics of use, it gets
    that back.

    Args:
        begin: share of the training at which it begins, in [0, 1). Default 0.75.

    Raises:
        ValueError: a share outside its range.
    """

    def __init__(self, begin: float = 0.75):
        if not 0 <= begin < 1:
            raise ValueError(f'begin must be in [0, 1), got {begin}')
        self.begin = begin

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: dict | None = None) -> None:
        """Switch the norms to evaluation: the loop switches them back whenever it has validated."""
        if runner.iter < self.begin * runner.max_iters:
            return
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        for module in model.student.modules():
            if isinstance(module, _BatchNorm):
                module.eval()
