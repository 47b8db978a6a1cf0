"""What an agent sees. Each observation is a few named numbers; agents normalise them online."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from fusionkd.registry import OBSERVATIONS


@dataclass
class Snapshot:
    """The run at a moment of decision.

    Attributes:
        progress: share of the training that is over, in [0, 1].
        score: values of the student on the probe set, from :class:`Scorer`.
        gaps: mean absolute difference between student and teacher on the probe set, by teacher.
        teacher_scores: the teachers' values on the probe set.
        losses: mean unweighted loss of every term since the last decision, ``None`` for a term that was off.
        previous: the snapshot of the decision before.
        action: controls in force, as elements of the unit box.
    """

    progress: float
    score: dict[str, float]
    gaps: dict[str, float] = field(default_factory=dict)
    teacher_scores: dict[str, dict[str, float]] = field(default_factory=dict)
    losses: dict[str, float | None] = field(default_factory=dict)
    action: dict[str, float] = field(default_factory=dict)
    previous: Snapshot | None = None


@OBSERVATIONS.register_module()
class StudentPerformance:
    """The student's balanced score on the probe set, its parts, and the change since the last decision."""

    def __call__(self, snapshot: Snapshot) -> dict[str, float]:
        """``student/<part>`` for every value of the scorer, and ``student/gain``."""
        before = snapshot.previous.score if snapshot.previous else snapshot.score
        values = {f'student/{name}': value for name, value in snapshot.score.items()}
        return values | {'student/gain': snapshot.score['score'] - before['score']}


@OBSERVATIONS.register_module()
class TeacherGap:
    """How far the student is from each teacher: in score (positive where the teacher is better) and in pixels."""

    def __call__(self, snapshot: Snapshot) -> dict[str, float]:
        """``gap/<teacher>/<part>`` and ``gap/<teacher>/pixels``."""
        values = {}
        for name, score in snapshot.teacher_scores.items():
            values |= {f'gap/{name}/{part}': value - snapshot.score[part] for part, value in score.items()}
            values[f'gap/{name}/pixels'] = snapshot.gaps[name]
        return values


@OBSERVATIONS.register_module()
class Progress:
    """Share of the training that is over."""

    def __call__(self, snapshot: Snapshot) -> dict[str, float]:
        """``progress`` in [0, 1]."""
        return {'progress': snapshot.progress}


@OBSERVATIONS.register_module()
class TermLosses:
    """Logarithm of every term's loss since the last decision, and its change; 0 for a term that was off."""

    def __call__(self, snapshot: Snapshot) -> dict[str, float]:
        """``term/<name>`` and ``term/<name>/trend``."""
        values = {}
        for term in snapshot.losses:
            now, before = (self._log(s.losses[term]) if s else None for s in (snapshot, snapshot.previous))
            values[f'term/{term}'] = now or 0.0
            values[f'term/{term}/trend'] = 0.0 if now is None or before is None else now - before
        return values

    @staticmethod
    def _log(loss: float | None) -> float | None:
        return None if loss is None else math.log(max(loss, 1e-12))


@OBSERVATIONS.register_module()
class LastAction:
    """The controls in force."""

    def __call__(self, snapshot: Snapshot) -> dict[str, float]:
        """``action/<control>`` in [0, 1]."""
        return {f'action/{name}': value for name, value in snapshot.action.items()}
