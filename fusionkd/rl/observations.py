"""What an agent sees. Each observation is a few named numbers; agents normalise them online.

Paper A says that its agent sees the student's performance and its gap to the teacher, and no more. The numbers that stand
for both, and every other observation, are ours.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from fusionkd.registry import OBSERVATIONS

from .actions import Control
from .probe import Reading, check_metrics


@dataclass
class Snapshot:
    """The run at a moment of decision.

    Attributes:
        progress: share of the training that is over, in [0, 1].
        score: values of the student on the probe set, from :class:`Scorer`.
        gaps: mean absolute difference between student and teacher on the probe set, by teacher.
        teacher_scores: the teachers' values on the probe set.
        losses: mean unweighted loss of every term since the last decision, ``None`` for a term that was off.
        readings: values of every :class:`Reading` by its key, taken now or the last time it was due.
        action: controls in force, as elements of an :class:`ActionSpace`'s action.
        stage: index of the stage.
        stage_progress: share of it that is over, in [0, 1].
        passes: images the student fused since the last decision, by images trained on.
        previous: the snapshot of the decision before.
    """

    progress: float
    score: dict[str, float]
    gaps: dict[str, float] = field(default_factory=dict)
    teacher_scores: dict[str, dict[str, float]] = field(default_factory=dict)
    losses: dict[str, float | None] = field(default_factory=dict)
    readings: dict[str, dict[str, float]] = field(default_factory=dict)
    action: dict[str, float] = field(default_factory=dict)
    stage: int = 0
    stage_progress: float = 0.0
    passes: float = 1.0
    previous: Snapshot | None = None


@dataclass(frozen=True)
class Surroundings:
    """What an observation may know of a run before it begins.

    Attributes:
        controls: of the agent.
        stages: names of the stages in order; empty without a :class:`StageHook`.
        taps: ``(tap_s, tap_t)`` of the terms that have both.
    """

    controls: dict[str, Control]
    stages: tuple[str, ...] = ()
    taps: tuple[tuple[str, str], ...] = ()


class BaseObservation:
    """A few named numbers out of a :class:`Snapshot`."""

    def setup(self, surroundings: Surroundings) -> None:
        """Learn about the run. Raises ``ValueError`` where it has nothing to see."""

    def readings(self) -> list[Reading]:
        """What it needs measured; asked for after :meth:`setup`."""
        return []

    def __call__(self, snapshot: Snapshot) -> dict[str, float]:
        """The numbers, always the same names."""
        raise NotImplementedError(f'{type(self).__name__} must implement __call__')


@OBSERVATIONS.register_module()
class StudentPerformance(BaseObservation):
    """The student's balanced score on the probe set, its parts, and the change since the last decision."""

    def __call__(self, snapshot: Snapshot) -> dict[str, float]:
        """``student/<part>`` for every value of the scorer, and ``student/gain``."""
        before = snapshot.previous.score if snapshot.previous else snapshot.score
        values = {f'student/{name}': value for name, value in snapshot.score.items()}
        return values | {'student/gain': snapshot.score['score'] - before['score']}


@OBSERVATIONS.register_module()
class ProbeMetrics(BaseObservation):
    """Metrics of the ``cddfuse`` protocol on the probe set, means over the pairs.

    Args:
        metrics: names. Default VIF, Qabf, SSIM and MI; the parts of the balanced score cost nothing more, see
            :class:`StudentPerformance`.
        every: decisions from one measurement to the next. Default 4.

    Raises:
        ValueError: unknown names.
    """

    def __init__(self, metrics: Sequence[str] = ('VIF', 'Qabf', 'SSIM', 'MI'), every: int = 4):
        self.reading = Reading('metrics', check_metrics(metrics), every)

    def readings(self) -> list[Reading]:
        return [self.reading]

    def __call__(self, snapshot: Snapshot) -> dict[str, float]:
        """``metric/<name>``."""
        return {f'metric/{name}': value for name, value in snapshot.readings[self.reading.key].items()}


@OBSERVATIONS.register_module()
class TeacherGap(BaseObservation):
    """How far the student is from each teacher: in score (positive where the teacher is better) and in pixels."""

    def __call__(self, snapshot: Snapshot) -> dict[str, float]:
        """``gap/<teacher>/<part>`` and ``gap/<teacher>/pixels``."""
        values = {}
        for name, score in snapshot.teacher_scores.items():
            values |= {f'gap/{name}/{part}': value - snapshot.score[part] for part, value in score.items()}
            values[f'gap/{name}/pixels'] = snapshot.gaps[name]
        return values


@OBSERVATIONS.register_module()
class FeatureGap(BaseObservation):
    """How far the student's features are from each teacher's: 1 - linear CKA, which asks for no equal channels.

    Args:
        tap_s: path of a module of the student. Default those of the terms that compare features.
        tap_t: path of a module of the teachers.
        every: decisions from one measurement to the next. Default 2.

    Raises:
        ValueError: one tap without the other; later, no such module or no term with taps.
    """

    def __init__(self, tap_s: str | None = None, tap_t: str | None = None, every: int = 2):
        if (tap_s is None) != (tap_t is None):
            raise ValueError(f'FeatureGap needs both taps or none, got tap_s={tap_s!r} and tap_t={tap_t!r}')
        self.taps = [(tap_s, tap_t)] if tap_s is not None else []
        self.every = every

    def setup(self, surroundings: Surroundings) -> None:
        self.taps = self.taps or list(dict.fromkeys(surroundings.taps))
        if not self.taps:
            raise ValueError('FeatureGap: no term compares features; name modules with tap_s= and tap_t=')

    def readings(self) -> list[Reading]:
        return [Reading('features', taps, self.every) for taps in self.taps]

    def __call__(self, snapshot: Snapshot) -> dict[str, float]:
        """``gap/<teacher>/features/<tap_s>``, in [0, 1]."""
        return {
            f'gap/{name}/features/{reading.options[0]}': value
            for reading in self.readings()
            for name, value in snapshot.readings[reading.key].items()
        }


@OBSERVATIONS.register_module()
class GradientAlignment(BaseObservation):
    """Cosine of the gradients of guidance and self-learning on the student's last layers; 0 where one of them is off.

    Args:
        every: decisions from one measurement to the next. Default 4.
    """

    def __init__(self, every: int = 4):
        self.reading = Reading('alignment', every=every)

    def readings(self) -> list[Reading]:
        return [self.reading]

    def __call__(self, snapshot: Snapshot) -> dict[str, float]:
        """``alignment`` in [-1, 1]."""
        return {'alignment': snapshot.readings[self.reading.key]['cosine']}


@OBSERVATIONS.register_module()
class GeneralisationGap(BaseObservation):
    """Balanced score on the degraded probe set, and how much it is below that on the clean one.

    Args:
        every: decisions from one measurement to the next. Default 4.
    """

    def __init__(self, every: int = 4):
        self.reading = Reading('degraded', every=every)

    def readings(self) -> list[Reading]:
        return [self.reading]

    def __call__(self, snapshot: Snapshot) -> dict[str, float]:
        """``degraded/score`` and ``degraded/gap``."""
        score = snapshot.readings[self.reading.key]['score']
        return {'degraded/score': score, 'degraded/gap': snapshot.score['score'] - score}


@OBSERVATIONS.register_module()
class Progress(BaseObservation):
    """Share of the training that is over."""

    def __call__(self, snapshot: Snapshot) -> dict[str, float]:
        """``progress`` in [0, 1]."""
        return {'progress': snapshot.progress}


@OBSERVATIONS.register_module()
class CurrentStage(BaseObservation):
    """Which stage the training is in, and how much of it is over."""

    def setup(self, surroundings: Surroundings) -> None:
        if not surroundings.stages:
            raise ValueError('CurrentStage: the training has no stages; add a StageHook or leave the observation out')
        self.stages = surroundings.stages

    def __call__(self, snapshot: Snapshot) -> dict[str, float]:
        """``stage/<name>``, 1 for the current one and 0 for the others, and ``stage/progress``."""
        values = {f'stage/{name}': float(i == snapshot.stage) for i, name in enumerate(self.stages)}
        return values | {'stage/progress': snapshot.stage_progress}


@OBSERVATIONS.register_module()
class TermLosses(BaseObservation):
    """Every term's mean loss since the last decision on a signed logarithmic scale, and its change; 0 for one that was off.

    Args:
        scale: losses well below it are seen linearly, those above it by their logarithm. Default 1e-4.
    """

    def __init__(self, scale: float = 1e-4):
        if scale <= 0:
            raise ValueError(f'scale must be positive, got {scale}')
        self.scale = scale

    def __call__(self, snapshot: Snapshot) -> dict[str, float]:
        """``term/<name>`` and ``term/<name>/trend``."""
        values = {}
        for term in snapshot.losses:
            now, before = (self._compress(s.losses.get(term)) if s else None for s in (snapshot, snapshot.previous))
            values[f'term/{term}'] = now or 0.0
            values[f'term/{term}/trend'] = 0.0 if now is None or before is None else now - before
        return values

    def _compress(self, loss: float | None) -> float | None:
        return None if loss is None else math.asinh(loss / self.scale)


@OBSERVATIONS.register_module()
class LastAction(BaseObservation):
    """The controls in force."""

    def setup(self, surroundings: Surroundings) -> None:
        self.controls = surroundings.controls

    def __call__(self, snapshot: Snapshot) -> dict[str, float]:
        """``action/<control>`` in [0, 1]; of a choice ``action/<control>/<option>``, 1 for the one in force."""
        values = {}
        for name, control in self.controls.items():
            value = snapshot.action[name]
            if control.options:
                values |= {f'action/{name}/{option}': float(i == value) for i, option in enumerate(control.options)}
            else:
                values[f'action/{name}'] = value
        return values


SAMPLE_FEATURES = (
    *('ir/mean', 'vis/mean', 'ir/contrast', 'vis/contrast', 'ir/edges', 'vis/edges', 'edge_overlap'),
    *('loss', 'loss/trend', 'loss/known', 'progress'),
)


def pair_features(ir: Tensor, vis: Tensor) -> Tensor:
    """Cheap descriptions of source pairs (not from the paper).

    Args:
        ir: ``(N, 1, H, W)`` in [0, 1].
        vis: luma, same shape.

    Returns:
        ``(N, 7)``, the first of ``SAMPLE_FEATURES``: mean, standard deviation and mean absolute gradient of both, and the
        correlation of their gradient magnitudes, 0 where one is flat.
    """
    images = torch.cat([ir, vis], dim=1).double()
    dx = images[..., :-1, 1:] - images[..., :-1, :-1]
    dy = images[..., 1:, :-1] - images[..., :-1, :-1]
    edges = (dx.abs() + dy.abs()).flatten(2)
    flat = images.flatten(2)
    a, b = (edges - edges.mean(-1, keepdim=True)).unbind(1)
    scale = (a.square().sum(-1) * b.square().sum(-1)).sqrt()
    overlap = torch.where(scale > 0, (a * b).sum(-1) / scale.clamp(min=1e-12), torch.zeros_like(scale))
    return torch.cat([flat.mean(-1), flat.std(-1, correction=0), edges.mean(-1), overlap[:, None]], dim=1)
