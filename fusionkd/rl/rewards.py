"""What an agent is paid."""

from __future__ import annotations

from fusionkd.registry import REWARDS

from .observations import Snapshot


@REWARDS.register_module()
class ScoreGain:
    """Gain of the student's score on the probe set since the last decision (not from the paper, which has none).

    The sum of all rewards is the gain over the whole training, so that nothing but the student's end counts.

    Args:
        score: ``'score'``, the balanced score, or one of its parts; a part alone can be hacked. Default ``'score'``.
        scale: multiplies the gain. Default 100: a gain of 0.01 is worth 1.
    """

    def __init__(self, score: str = 'score', scale: float = 100.0):
        self.score = score
        self.scale = scale

    def __call__(self, before: Snapshot, after: Snapshot) -> float:
        """Reward of the decision taken between two snapshots.

        Raises:
            KeyError: the scorer has no such value; the message lists those it has.
        """
        if self.score not in after.score:
            raise KeyError(f'unknown score {self.score!r}; known: {", ".join(after.score)}')
        return self.scale * (after.score[self.score] - before.score[self.score])


@REWARDS.register_module()
class GapClosed:
    """How much closer the student came to its teachers' images on the probe set, mean over teachers.

    Args:
        scale: multiplies the change of the mean absolute difference. Default 1000.
    """

    def __init__(self, scale: float = 1000.0):
        self.scale = scale

    def __call__(self, before: Snapshot, after: Snapshot) -> float:
        """Reward of the decision taken between two snapshots; 0 without teachers."""
        if not after.gaps:
            return 0.0
        return self.scale * sum(before.gaps[name] - gap for name, gap in after.gaps.items()) / len(after.gaps)
