"""Calls the agent at the right time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from fusionkd.registry import HOOKS
from fusionkd.rl.scheduler import AgentScheduler


@HOOKS.register_module()
class AgentHook(Hook):
    """Every ``interval`` iterations: observe, pay the agent for its last decision, let it learn and decide again.

    The hook holds the timing; :class:`AgentScheduler` holds everything else.

    Args:
        agent: config of an agent.
        probe: config of :class:`Probe`.
        observation: types or configs of observations, concatenated. Default the student's performance, the gap to the
            teachers and progress.
        reward: config of a reward. Default the gain of the balanced score.
        actions: bounds ``(low, high)`` by control. Default ``(0, 2)`` for weights and ``(0, 1)`` for hard samples.
        smoothing: share of the old action that is kept. Default 0.
        interval: iterations per decision. Default 20.
    """

    def __init__(
        self,
        agent: dict,
        probe: dict,
        observation: Sequence[str | dict] = ('StudentPerformance', 'TeacherGap', 'Progress'),
        reward: dict | None = None,
        actions: Mapping[str, Sequence[float]] | None = None,
        smoothing: float = 0.0,
        interval: int = 20,
    ):
        self.interval = interval
        self.scheduler = AgentScheduler(agent, probe, observation, reward, actions, smoothing)
        self._resumed: dict | None = None

    def before_train(self, runner: Runner) -> None:
        """Set up, and decide for the first interval."""
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        self.scheduler.probe.check_disjoint(runner.train_dataloader.dataset, 'training')
        if runner._test_loop is not None:
            self.scheduler.probe.check_disjoint(runner.test_loop.dataloader.dataset, 'test')
        self.scheduler.setup(model, runner.work_dir)
        if self._resumed is not None:
            self.scheduler.load_state_dict(self._resumed)
        if not self.scheduler.acting:  # a new run, or one that had ended and is prolonged
            self.scheduler.decide(runner.iter, runner.max_iters)

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None, outputs: dict | None = None
    ) -> None:
        """Count the losses, and decide when the interval is over."""
        self.scheduler.record(outputs)
        step = runner.iter + 1
        if step % self.interval == 0 or step == runner.max_iters:
            record = self.scheduler.decide(step, runner.max_iters)
            runner.visualizer.add_scalars(record.scalars(), step=step)
            runner.logger.info(f'agent: {record}')

    def after_train(self, runner: Runner) -> None:
        """Draw what was decided."""
        self.scheduler.plot()

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Keep the agent."""
        checkpoint['agent'] = self.scheduler.state_dict()

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Restore the agent once it is set up."""
        if runner._resume:
            self._resumed = checkpoint.get('agent')
