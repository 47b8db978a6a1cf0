"""Brings agent, observations, actions and reward together; independent of the Runner."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from mmengine.dist import all_reduce, broadcast_object_list, is_main_process
from mmengine.logging import print_log
from torch import nn

from fusionkd.fileio import atomic_path
from fusionkd.registry import AGENTS, OBSERVATIONS, PROBES, REWARDS

from .actions import ActionSpace, Control
from .observations import Snapshot, Surroundings
from .plots import plot_decisions
from .probe import Probe, merge_readings
from .rewards import check_grounded

if TYPE_CHECKING:
    from fusionkd.engine.stages import StagePlan
    from fusionkd.models.distillers import FusionDistiller


@dataclass(frozen=True)
class Handle:
    """A control that is not the distiller's.

    Attributes:
        control: its range.
        apply: sets it.
        event: it counts at the moment of the decision and is not in force afterwards. Default False.
    """

    control: Control
    apply: Callable[[float | str], None]
    event: bool = False


@dataclass
class Decision:
    """One line of the agent's log.

    Attributes:
        step: iterations done when it was taken.
        observation: what the agent saw, by name.
        reward: what it was paid for the decision before; ``None`` for the first.
        score: balanced score of the student on the probe set.
        action: value of every control from now on; the last decision of a run has none.
        learning: what the agent logged if it learnt at this moment.
        stage: name of the stage; empty without stages.
        samples: of decisions about single samples since the last decision: means of controls, shares of options, and what
            their agent logged.
    """

    step: int
    observation: dict[str, float]
    reward: float | None
    score: float
    action: dict[str, float | str]
    learning: dict[str, float]
    stage: str = ''
    samples: dict[str, float] = field(default_factory=dict)

    def scalars(self) -> dict[str, float]:
        """Flat numbers for TensorBoard."""
        numbers = {k: v for k, v in self.action.items() if not isinstance(v, str)}
        values = {'agent/score': self.score, **{f'agent/action/{k}': v for k, v in numbers.items()}}
        values |= {f'agent/learning/{k}': v for k, v in self.learning.items()}
        values |= {f'agent/samples/{k}': v for k, v in self.samples.items()}
        return values if self.reward is None else values | {'agent/reward': self.reward}

    def __str__(self) -> str:
        parts = [f'stage {self.stage}'] if self.stage else []
        parts += [f'score {self.score:.4f}']
        parts += [] if self.reward is None else [f'reward {self.reward:+.3f}']
        parts += [f'{name} {v if isinstance(v, str) else f"{v:.3f}"}' for name, v in self.action.items()]
        parts += [f'{name} {value:.3g}' for name, value in self.learning.items()]
        return ', '.join(parts)


@dataclass(frozen=True)
class Transition:
    """One step of an episode, to be learnt from later and elsewhere.

    Attributes:
        observation: what the agent saw.
        ticket: what it kept about its decision.
        reward: for it.
        following: what it saw next.
        done: the training was over.
    """

    observation: np.ndarray
    ticket: object
    reward: float
    following: np.ndarray
    done: bool


class AgentScheduler:
    """Lets an agent set the controls of a distiller. Arguments as in :class:`AgentHook`.

    Every decision is a line of ``agent.jsonl`` in the run's folder, and :meth:`plot` draws them as ``agent.png``.

    Attributes:
        journal: a list receives every :class:`Transition` instead of the agent, which then learns nothing. Default
            ``None``.
    """

    def __init__(
        self,
        agent: dict,
        probe: dict,
        observation: Sequence[str | dict],
        reward: dict | None = None,
        actions: Mapping[str, Sequence[float] | None] | None = None,
        smoothing: float = 0.0,
    ):
        self.agent = AGENTS.build(agent)
        self.observations = [OBSERVATIONS.build(dict(type=o) if isinstance(o, str) else o) for o in observation]
        self.reward = REWARDS.build(reward or dict(type='ScoreGain'))
        check_grounded(self.reward)
        if self.reward.hackable:
            print_log(f'reward {type(self.reward).__name__} can be hacked: {self.reward.hackable}', 'current', level=30)
        self.probe: Probe = PROBES.build(dict(type='Probe') | probe)
        self.actions = actions
        self.smoothing = smoothing
        self.decisions: list[Decision] = []
        self.snapshot: Snapshot | None = None
        self.acting = False  # a decision is in force that was not paid for yet
        self.journal: list[Transition] | None = None

    def setup(
        self,
        model: FusionDistiller,
        folder: str | Path,
        averaged: FusionDistiller | None = None,
        handles: Mapping[str, Handle] | None = None,
        stages: StagePlan | None = None,
    ) -> None:
        """Measure the start and size the agent.

        Args:
            model: whose controls are set.
            folder: for log and plot.
            averaged: the same with averaged weights, which is measured instead if the probe says so. Default none.
            handles: controls beside the model's, by name; the agent has those that ``actions`` names. Default none.
            stages: of the training; controls that a stage fixes are not set. Default none.

        Raises:
            ValueError: ``actions`` names a control that there is not, or an observation or reward has nothing to measure.
        """
        self.model = model
        self.folder = Path(folder)
        self.measured = averaged if averaged is not None and self.probe.averaged else model
        self.handles = dict(handles or {})
        self.stages = stages
        self.space = self._action_space()
        self._reset_interval()
        self._count_passes(model.student)
        taps = tuple((t.tap_s, t.tap_t) for t in model.terms.values() if t.tap_s is not None and t.tap_t is not None)
        surroundings = Surroundings(self.space.controls, stages.names if stages else (), taps)
        for observation in self.observations:
            observation.setup(surroundings)
        self.readings = merge_readings([r for part in (*self.observations, self.reward) for r in part.readings()])
        self.probe.load(model)
        for reading in self.readings:
            self.probe.prepare(reading, model)
        names = list(self._observe(self._take_snapshot(0.0)))
        self.agent.setup(len(names), self.space, names)

    def record(self, logs: Mapping[str, torch.Tensor], images: int = 0) -> None:
        """Count one iteration.

        Args:
            logs: of the distiller; ``stat_<term>`` are the unweighted losses.
            images: it trained on.
        """
        self._images += images
        for name, (total, count) in self._losses.items():
            if f'stat_{name}' in logs:
                self._losses[name] = (total + torch.as_tensor(logs[f'stat_{name}']).detach(), count + 1)

    def decide(self, step: int, max_steps: int, samples: Mapping[str, float] | None = None) -> Decision:
        """Measure, pay, learn, and set the controls for the next interval.

        Args:
            step: iterations done.
            max_steps: iterations of the whole training; at the last one the episode ends and nothing is set.
            samples: for the log, what was decided about single samples.

        Returns:
            What happened.
        """
        done = step >= max_steps
        progress = step / max_steps
        snapshot = self._take_snapshot(progress)
        observation = self._observe(snapshot)
        vector = np.array(list(observation.values()), dtype=np.float64)
        reward, learning, action = None, {}, {}
        if self.acting:
            reward = self.reward(self.snapshot, snapshot)
            learning = self._pay(reward, vector, done)
        stage = self.stages.name if self.stages else ''
        if not done:
            self.seen = vector
            action = self.space.step(self._agreed(self.agent.act(vector, progress, explore=True)))
            self.apply(decided=True)
        self.snapshot = snapshot
        self.acting = not done
        self._reset_interval()
        score = snapshot.score['score']
        decision = Decision(step, observation, reward, score, action, learning, stage, dict(samples or {}))
        self.decisions.append(decision)
        self._write_log()
        return decision

    def apply(self, decided: bool = False) -> None:
        """Set the controls to the values in force, except those that the stage fixes.

        Args:
            decided: they are new, so events count. Default False.
        """
        fixed = self.stages.fixed if self.stages else ()
        values = {name: value for name, value in self.space.values.items() if name not in fixed}
        self.model.apply_action({name: value for name, value in values.items() if name not in self.handles})
        for name in self.handles.keys() & values.keys():
            if decided or not self.handles[name].event:
                self.handles[name].apply(values[name])

    def plot(self) -> None:
        """Draw all decisions of the run; nothing of an episode, whose folder is thrown away."""
        if is_main_process() and self.journal is None:
            plot_decisions([asdict(d) for d in self.decisions], self.folder / 'agent.png')

    def state_dict(self) -> dict:
        """Everything a resumed run needs to decide the same."""
        return dict(
            agent=self.agent.state_dict(),
            reward=self.reward.state_dict(),
            space=self.space.state_dict(),
            losses={name: (float(total), count) for name, (total, count) in self._losses.items()},
            passes=self._passes,
            images=self._images,
            snapshot=asdict(self.snapshot) if self.snapshot else None,
            seen=self.seen.tolist() if self.acting else None,
            acting=self.acting,
            decisions=[asdict(d) for d in self.decisions],
        )

    def load_state_dict(self, state: dict) -> None:
        """Restore :meth:`state_dict` after :meth:`setup`."""
        self.agent.load_state_dict(state['agent'])
        self.reward.load_state_dict(state['reward'])
        self.space.load_state_dict(state['space'])
        self._losses = {name: (torch.tensor(total), count) for name, (total, count) in state['losses'].items()}
        self._passes, self._images = state['passes'], state['images']
        self.snapshot = _snapshot(state['snapshot'])
        self.seen = np.array(state['seen']) if state['seen'] is not None else None
        self.acting = state['acting']
        self.decisions = [Decision(**d) for d in state['decisions']]
        self.apply()

    def _action_space(self) -> ActionSpace:
        offered = self.model.controls() | {name: handle.control for name, handle in self.handles.items()}
        wanted = self.actions if self.actions is not None else dict.fromkeys(self.model.controls())
        unknown = [name for name in wanted if name not in offered]
        if unknown:
            known = ', '.join(offered) or "none; give a term weight='agent'"
            raise ValueError(f'actions names {unknown}, which nothing leaves to an agent; there are: {known}')
        wanted = {
            name: wanted[name] for name in offered if name in wanted
        }  # a config that was dumped has another order
        return ActionSpace(bounded(offered, wanted), smoothing=self.smoothing)

    def _pay(self, reward: float, vector: np.ndarray, done: bool) -> dict[str, float]:
        if self.journal is not None:
            self.journal.append(Transition(self.seen, self.agent.pending, reward, vector, done))
            self.agent.pending = None
            return {}
        self.agent.observe(reward, vector, done)
        return self.agent.update()

    def _take_snapshot(self, progress: float) -> Snapshot:
        student = self.measured.student
        passes = self._passes / self._images if self._images else 1.0  # gradients on the probe set do not count
        score, gaps = self.probe.measure(student)
        readings = {}
        for reading in self.readings:
            due = self.snapshot is None or len(self.decisions) % reading.every == 0 or progress >= 1
            readings[reading.key] = (
                self.probe.read(reading, self.model, student) if due else self.snapshot.readings[reading.key]
            )
        losses = {}
        for name, (total, count) in self._losses.items():
            mean = torch.as_tensor(float(total) / count if count else float('nan'))
            all_reduce(mean, 'mean')
            losses[name] = None if mean.isnan() else float(mean)
        return Snapshot(
            progress=progress,
            score=score,
            gaps=gaps,
            teacher_scores=self.probe.teacher_scores,
            losses=losses,
            readings=readings,
            action=dict(zip(self.space.names, self.space.unit.tolist(), strict=True)),
            stage=self.stages.index if self.stages else 0,
            stage_progress=self.stages.progress(progress) if self.stages else 0.0,
            passes=passes,
            previous=replace(self.snapshot, previous=None) if self.snapshot else None,
        )

    def _observe(self, snapshot: Snapshot) -> dict[str, float]:
        values: dict[str, float] = {}
        for observation in self.observations:
            values |= observation(snapshot)
        return values

    def _agreed(self, action: np.ndarray) -> np.ndarray:
        """The same action in every process: rank 0's."""
        box = [action]
        broadcast_object_list(box, src=0)
        return box[0]

    def _count_passes(self, student: nn.Module) -> None:
        """Count the images that the student fuses while it trains."""

        def count(module: nn.Module, inputs: tuple, output: torch.Tensor) -> None:
            if module.training:
                self._passes += len(inputs[0])

        student.register_forward_hook(count)

    def _reset_interval(self) -> None:
        self._losses = {name: (torch.tensor(0.0), 0) for name in self.model.terms}
        self._passes = self._images = 0

    def _write_log(self) -> None:
        if is_main_process():
            with atomic_path(self.folder / 'agent.jsonl') as temporary:
                lines = [json.dumps(asdict(d)) for d in self.decisions]
                temporary.write_text('\n'.join(lines) + '\n', encoding='utf-8')


def bounded(controls: Mapping[str, Control], actions: Mapping[str, Sequence[float] | None]) -> dict[str, Control]:
    """Controls with the bounds that a config gives them.

    Args:
        controls: that there are.
        actions: those that are wanted, with ``(low, high)``, ``(low, high, initial)`` or ``None`` for their own; an own
            initial value outside is moved to the bound.

    Raises:
        ValueError: numbers for a control with options, not two or three of them, or an initial value outside.
    """
    found = {}
    for name, numbers in actions.items():
        control = controls[name]
        if numbers is not None:
            if control.options or len(numbers) not in (2, 3):
                raise ValueError(
                    f'actions: {name}={numbers!r}; expected (low, high) or (low, high, initial) of a number'
                )
            low, high, *initial = numbers
            control = Control(*(initial or [min(max(control.initial, low), high)]), low, high)
        found[name] = control
    return found


def _snapshot(state: dict | None) -> Snapshot | None:
    if state is None:
        return None
    return Snapshot(**state | dict(previous=_snapshot(state['previous'])))
