"""Keeps the random generators of a run."""

from mmengine.hooks import Hook
from mmengine.runner import Runner

from fusionkd.engine.loops import random_state, set_random_state
from fusionkd.registry import HOOKS


@HOOKS.register_module()
class RandomStateHook(Hook):
    """Puts the random states into checkpoints and hands them to the loop that resumes; validation leaves no trace.

    Only rank 0's generators are kept.
    """

    priority = 'VERY_HIGH'

    def __init__(self):
        self._before_val: dict | None = None

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Add the states; within validation, where mmengine saves the best and again the last one, those before it."""
        checkpoint['random_state'] = self._before_val or random_state()

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Hand the states to the training loop, which restores them before its first batch."""
        if runner._resume:
            runner.train_loop.random_state = checkpoint.get('random_state')

    def before_val(self, runner: Runner) -> None:
        """Remember the states."""
        self._before_val = random_state()

    def after_val(self, runner: Runner) -> None:
        """Go on as if there had been no validation."""
        set_random_state(self._before_val)
        self._before_val = None
