"""Calls the agent at the right time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

from mmengine.hooks import EMAHook, Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from fusionkd.engine.rate import RateFactor
from fusionkd.registry import HOOKS
from fusionkd.rl.actions import Control
from fusionkd.rl.samples import SampleScheduler
from fusionkd.rl.scheduler import AgentScheduler, Handle

from .stage_hook import StageHook

LR = Control(initial=1.0, low=0.5, high=2.0)
END_STAGE = Control(options=('go_on', 'end'))

HookType = TypeVar('HookType', bound=Hook)


@HOOKS.register_module()
class AgentHook(Hook):
    """Every ``interval`` iterations: observe, pay the agent for its last decision, let it learn and decide again.

    The hook holds the timing; :class:`AgentScheduler` and :class:`SampleScheduler` hold everything else.

    Args:
        agent: config of an agent.
        probe: config of a probe, by default a :class:`Probe`.
        observation: types or configs of observations, concatenated. Default the student's performance, the gap to the
            teachers and progress.
        reward: config of a reward. Default the gain of the balanced score.
        actions: by control ``(low, high)`` or ``(low, high, initial)``, or ``None`` for its own and for choices. Beside what
            the distiller leaves to an agent there are ``lr``, a factor on the scheduled learning rate (own bounds 0.5 to 2),
            and, with a :class:`StageHook`, ``end_stage``, which are only used when named. Default all controls of the
            distiller.
        smoothing: share of the old action that is kept. Default 0.
        interval: iterations per decision. Default 20.
        sample_agent: config of :class:`SampleScheduler`, for decisions about every sample of every batch; not from the
            paper. Default none.

    Raises:
        ValueError: ``interval`` below 1.
    """

    # After the averaged weights, which are measured, and StageHook; before checkpoints.
    priority = 85

    def __init__(
        self,
        agent: dict,
        probe: dict,
        observation: Sequence[str | dict] = ('StudentPerformance', 'TeacherGap', 'Progress'),
        reward: dict | None = None,
        actions: Mapping[str, Sequence[float] | None] | None = None,
        smoothing: float = 0.0,
        interval: int = 20,
        sample_agent: dict | None = None,
    ):
        if interval < 1:
            raise ValueError(f'interval must be 1 iteration or more, got {interval}')
        self.interval = interval
        self.scheduler = AgentScheduler(agent, probe, observation, reward, actions, smoothing)
        self.samples = SampleScheduler(**sample_agent) if sample_agent else None
        self._resumed: dict | None = None
        self._stage = 0

    def before_train(self, runner: Runner) -> None:
        """Set up, and decide for the first interval."""
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        self._check_probe(runner)
        stage_hook, ema = _find(runner, StageHook), _find(runner, EMAHook)
        stages = stage_hook.plan if stage_hook else None
        handles = dict(lr=Handle(LR, RateFactor(runner.optim_wrapper).set))
        if stages:
            handles['end_stage'] = Handle(END_STAGE, stages.request_end, event=True)
        averaged = ema.ema_model.module if ema else None
        self.scheduler.setup(model, runner.work_dir, averaged, handles, stages)
        if self.samples:
            self.samples.setup(model)
        if self._resumed is not None:
            self.scheduler.load_state_dict(self._resumed['scheduler'])
            if self.samples:
                self.samples.load_state_dict(self._resumed['samples'])
        self._stage = stages.index if stages else 0
        if not self.scheduler.acting:  # a new run, or one that had ended and is prolonged
            self.scheduler.decide(runner.iter, runner.max_iters)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: dict | None = None) -> None:
        """Decide for the samples of the batch."""
        if self.samples:
            self.samples.before_step(data_batch, runner.iter / runner.max_iters)

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None, outputs: dict | None = None
    ) -> None:
        """Count the losses, and decide when the interval is over."""
        self.scheduler.record(outputs, len(data_batch['data_samples']))
        if self.samples:
            self.samples.after_step()
        stages = self.scheduler.stages
        if stages and stages.index != self._stage:  # what the last stage fixed is the agent's again
            self._stage = stages.index
            self.scheduler.apply()
        step = runner.iter + 1
        if step % self.interval == 0 or step == runner.max_iters:
            record = self.scheduler.decide(step, runner.max_iters, self.samples.summary() if self.samples else None)
            runner.visualizer.add_scalars(record.scalars(), step=step)
            runner.logger.info(f'agent: {record}')

    def after_train(self, runner: Runner) -> None:
        """Draw what was decided."""
        self.scheduler.plot()

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Keep the agents."""
        checkpoint['agent'] = dict(scheduler=self.scheduler.state_dict())
        if self.samples:
            checkpoint['agent']['samples'] = self.samples.state_dict()

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Restore the agents once they are set up."""
        if runner._resume:
            self._resumed = checkpoint.get('agent')

    def _check_probe(self, runner: Runner) -> None:
        """The agent is paid on pairs that the run neither trains nor tests on."""
        self.scheduler.probe.check_disjoint(runner.train_dataloader.dataset, 'training')
        if runner._test_loop is not None:
            self.scheduler.probe.check_disjoint(runner.test_loop.dataloader.dataset, 'test')


def _find(runner: Runner, kind: type[HookType]) -> HookType | None:
    return next((hook for hook in runner.hooks if isinstance(hook, kind)), None)
