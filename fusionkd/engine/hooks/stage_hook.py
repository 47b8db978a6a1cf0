"""Goes through the stages of a training."""

from __future__ import annotations

from collections.abc import Sequence

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from fusionkd.engine.stages import StagePlan
from fusionkd.registry import HOOKS


@HOOKS.register_module()
class StageHook(Hook):
    """Fixes weights of terms and hard samples for stretches of the training; an agent's control of them rests meanwhile.

    An :class:`AgentHook` may end a stage early: give it ``end_stage=None`` among its ``actions``.

    Args:
        stages: configs of :class:`Stage`.
        min_length: see :class:`StagePlan`. Default 0.05.

    Example:
        >>> hook = StageHook([
        ...     dict(name='warmup', until=0.1, weights=dict(guide=2.0), hard=dict(strength=0.0)),
        ...     dict(name='distil', until=0.8),
        ...     dict(name='refine', weights=dict(guide=0.0)),
        ... ])
        >>> hook.plan.names
        ('warmup', 'distil', 'refine')
    """

    # Before AgentHook, whose decisions know the stage, and after the averaged weights.
    priority = 84

    def __init__(self, stages: Sequence[dict], min_length: float = 0.05):
        self.plan = StagePlan(stages, min_length)
        self._resumed: dict | None = None

    def before_train(self, runner: Runner) -> None:
        """Begin, or go on."""
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        self.plan.setup(model)
        if self._resumed is not None:
            self.plan.load_state_dict(self._resumed)
        runner.logger.info(f'stage {self.plan.name}')

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None, outputs: dict | None = None
    ) -> None:
        """Go to the next stage when it is time."""
        if self.plan.update((runner.iter + 1) / runner.max_iters):
            runner.logger.info(f'stage {self.plan.name} from iteration {runner.iter + 1}')
        runner.message_hub.update_scalar('train/stage', self.plan.index)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Keep the stage."""
        checkpoint['stages'] = self.plan.state_dict()

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Restore the stage once the training begins."""
        if runner._resume:
            self._resumed = checkpoint.get('stages')
