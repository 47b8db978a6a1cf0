"""Brings agent, observations, actions and reward together; independent of the Runner."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from mmengine.dist import all_reduce, broadcast_object_list, is_main_process

from fusionkd.fileio import atomic_path
from fusionkd.registry import AGENTS, OBSERVATIONS, REWARDS

from .actions import ActionSpace
from .observations import Snapshot
from .plots import plot_decisions
from .probe import Probe

if TYPE_CHECKING:
    from fusionkd.models.distillers import FusionDistiller


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
    """

    step: int
    observation: dict[str, float]
    reward: float | None
    score: float
    action: dict[str, float]
    learning: dict[str, float]

    def scalars(self) -> dict[str, float]:
        """Flat numbers for TensorBoard."""
        values = {'agent/score': self.score, **{f'agent/action/{k}': v for k, v in self.action.items()}}
        values |= {f'agent/learning/{k}': v for k, v in self.learning.items()}
        return values if self.reward is None else values | {'agent/reward': self.reward}

    def __str__(self) -> str:
        parts = [f'score {self.score:.4f}']
        parts += [] if self.reward is None else [f'reward {self.reward:+.3f}']
        parts += [f'{name} {value:.3f}' for name, value in self.action.items()]
        parts += [f'{name} {value:.3g}' for name, value in self.learning.items()]
        return ', '.join(parts)


class AgentScheduler:
    """Lets an agent set the controls of a distiller. Arguments as in :class:`AgentHook`.

    Every decision is a line of ``agent.jsonl`` in the run's folder, and :meth:`plot` draws them as ``agent.png``.
    """

    def __init__(
        self,
        agent: dict,
        probe: dict,
        observation: Sequence[str | dict],
        reward: dict | None = None,
        actions: Mapping[str, Sequence[float]] | None = None,
        smoothing: float = 0.0,
    ):
        self.agent = AGENTS.build(agent)
        self.observations = [OBSERVATIONS.build(dict(type=o) if isinstance(o, str) else o) for o in observation]
        self.reward = REWARDS.build(reward or dict(type='ScoreGain'))
        self.probe = Probe(**probe)
        self.bounds = actions
        self.smoothing = smoothing
        self.decisions: list[Decision] = []
        self.snapshot: Snapshot | None = None
        self.acting = False  # a decision is in force that was not paid for yet

    def setup(self, model: FusionDistiller, folder: str | Path) -> None:
        """Measure the start and size the agent.

        Args:
            model: whose controls are set.
            folder: for log and plot.

        Raises:
            ValueError: ``actions`` names a control that the model does not leave to an agent.
        """
        self.model = model
        self.folder = Path(folder)
        controls = model.controls()
        bounds = {name: (0.0, 1.0 if name == 'hard_strength' else 2.0) for name in controls}
        bounds = dict(self.bounds) if self.bounds is not None else bounds
        unknown = [name for name in bounds if name not in controls]
        if unknown:
            known = ', '.join(controls) or "none; give a term weight='agent'"
            raise ValueError(f'actions names {unknown}, which the distiller leaves to no agent; its controls: {known}')
        self.space = ActionSpace(bounds, controls, self.smoothing)
        self._reset_losses()
        self.probe.load(model)
        size = len(self._observe(self._take_snapshot(0.0)))
        self.agent.setup(size, self.space.unit)

    def record(self, logs: Mapping[str, torch.Tensor]) -> None:
        """Count the unweighted losses of one iteration, ``stat_<term>``."""
        for name, (total, count) in self._losses.items():
            if f'stat_{name}' in logs:
                self._losses[name] = (total + torch.as_tensor(logs[f'stat_{name}']).detach(), count + 1)

    def decide(self, step: int, max_steps: int) -> Decision:
        """Measure, pay, learn, and set the controls for the next interval.

        Args:
            step: iterations done.
            max_steps: iterations of the whole training; at the last one the episode ends and nothing is set.

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
            self.agent.observe(reward, vector, done)
            learning = self.agent.update()
        if not done:
            action = self.space.step(self._agreed(self.agent.act(vector, progress)))
            self.model.apply_action(action)
        self.snapshot = snapshot
        self.acting = not done
        self._reset_losses()
        decision = Decision(step, observation, reward, snapshot.score['score'], action, learning)
        self.decisions.append(decision)
        self._write_log()
        return decision

    def plot(self) -> None:
        """Draw all decisions of the run."""
        if is_main_process():
            plot_decisions([asdict(d) for d in self.decisions], self.folder / 'agent.png')

    def state_dict(self) -> dict:
        """Everything a resumed run needs to decide the same."""
        return dict(
            agent=self.agent.state_dict(),
            controls=self.space.values.tolist(),
            losses={name: (float(total), count) for name, (total, count) in self._losses.items()},
            snapshot=asdict(self.snapshot) if self.snapshot else None,
            acting=self.acting,
            decisions=[asdict(d) for d in self.decisions],
        )

    def load_state_dict(self, state: dict) -> None:
        """Restore :meth:`state_dict` after :meth:`setup`."""
        self.agent.load_state_dict(state['agent'])
        self.space.values = np.array(state['controls'])
        self.model.apply_action(dict(zip(self.space.names, state['controls'], strict=True)))
        self._losses = {name: (torch.tensor(total), count) for name, (total, count) in state['losses'].items()}
        self.snapshot = _snapshot(state['snapshot'])
        self.acting = state['acting']
        self.decisions = [Decision(**d) for d in state['decisions']]

    def _take_snapshot(self, progress: float) -> Snapshot:
        score, gaps = self.probe.measure(self.model)
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
            action=dict(zip(self.space.names, self.space.unit.tolist(), strict=True)),
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

    def _reset_losses(self) -> None:
        self._losses = {name: (torch.tensor(0.0), 0) for name in self.model.terms}

    def _write_log(self) -> None:
        if is_main_process():
            with atomic_path(self.folder / 'agent.jsonl') as temporary:
                lines = [json.dumps(asdict(d)) for d in self.decisions]
                temporary.write_text('\n'.join(lines) + '\n', encoding='utf-8')


def _snapshot(state: dict | None) -> Snapshot | None:
    if state is None:
        return None
    return Snapshot(**state | dict(previous=_snapshot(state['previous'])))
