"""What an agent is paid for a decision. Paper A publishes no reward; all of these are ours."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import numpy as np

from fusionkd.evaluation import METRICS
from fusionkd.registry import REWARDS

from .observations import Snapshot
from .probe import Reading, check_metrics


class BaseReward:
    """Pays for the decision taken between two snapshots.

    Attributes:
        grounded: compares fused images with their sources or a teacher; at least one part of a reward must.
        hackable: why an agent can raise it with worse images; empty for those of which no way is known.
    """

    grounded = True
    hackable = ''

    def readings(self) -> list[Reading]:
        """What it needs measured."""
        return []

    def __call__(self, before: Snapshot, after: Snapshot) -> float:
        """Reward of the decision taken between two snapshots."""
        raise NotImplementedError(f'{type(self).__name__} must implement __call__')

    def state_dict(self) -> dict:
        """What a resumed run needs to pay the same."""
        return {}

    def load_state_dict(self, state: dict) -> None:
        """Restore :meth:`state_dict`."""


@REWARDS.register_module()
class ScoreGain(BaseReward):
    """Gain of the student's score on the probe set since the last decision.

    The sum of all rewards is the gain over the whole training, so that nothing but the student's end counts.

    Args:
        score: ``'score'``, the balanced score, or one of its parts; a part alone can be hacked. Default ``'score'``.
        scale: multiplies the gain. Default 100: a gain of 0.01 is worth 1.
        detrend: pay only what is above the gain that the scores so far let expect. A student gains most at first whatever an
            agent does, which buries what its decisions change; rewards then no longer sum to the whole gain. Default False.
    """

    def __init__(self, score: str = 'score', scale: float = 100.0, detrend: bool = False):
        self.score = score
        self.scale = scale
        self.detrend = detrend
        self.seen: list[float] = []

    def __call__(self, before: Snapshot, after: Snapshot) -> float:
        """Reward of the decision taken between two snapshots.

        Raises:
            KeyError: the scorer has no such value; the message lists those it has.
        """
        return self.scale * self._gain(before.score, after.score)

    def state_dict(self) -> dict:
        return dict(seen=list(self.seen))

    def load_state_dict(self, state: dict) -> None:
        self.seen = list(state['seen'])

    def _gain(self, before: Mapping[str, float], after: Mapping[str, float]) -> float:
        if self.score not in after:
            raise KeyError(f'unknown score {self.score!r}; known: {", ".join(after)}')
        gain = after[self.score] - before[self.score]
        if not self.detrend:
            return gain
        self.seen.append(before[self.score])
        return gain - expected_gain(self.seen)


def expected_gain(scores: Sequence[float]) -> float:
    """What the next score is expected to add to the last one of a learning curve.

    Least squares of ``a + b log(1 + k) + c k``, score k of the curve, with recent scores counting more (their weight halves
    in a quarter of the curve); not from a paper. Gains are taken to be 0 before four scores are known.

    Args:
        scores: measured so far, oldest first.
    """
    n = len(scores)
    if n < 4:
        return 0.0
    k = np.arange(n + 1.0)
    design = np.stack([np.ones(n + 1), np.log1p(k), k], axis=1)
    weight = np.sqrt(0.5 ** ((n - 1 - k[:-1]) / (n / 4)))
    fit = np.linalg.lstsq(design[:-1] * weight[:, None], np.asarray(scores) * weight, rcond=None)[0]
    return float((design[-1] - design[-2]) @ fit)


@REWARDS.register_module()
class GeneralisationGain(ScoreGain):
    """:class:`ScoreGain` on the probe set degraded by operations that training never uses.

    Args:
        score: see :class:`ScoreGain`.
        scale: see :class:`ScoreGain`.
        every: decisions from one measurement to the next; the gain is paid when it was measured. Default 1.
    """

    def __init__(self, score: str = 'score', scale: float = 100.0, every: int = 1):
        super().__init__(score, scale)
        self.reading = Reading('degraded', every=every)

    def readings(self) -> list[Reading]:
        return [self.reading]

    def __call__(self, before: Snapshot, after: Snapshot) -> float:
        return self.scale * self._gain(before.readings[self.reading.key], after.readings[self.reading.key])


@REWARDS.register_module()
class GapClosed(BaseReward):
    """How much closer the student came to its teachers' images on the probe set, mean over teachers.

    Args:
        scale: multiplies the change of the mean absolute difference. Default 1000.
    """

    hackable = 'a teacher is copied with its faults'

    def __init__(self, scale: float = 1000.0):
        self.scale = scale

    def __call__(self, before: Snapshot, after: Snapshot) -> float:
        """Reward of the decision taken between two snapshots; 0 without teachers."""
        if not after.gaps:
            return 0.0
        return self.scale * sum(before.gaps[name] - gap for name, gap in after.gaps.items()) / len(after.gaps)


@REWARDS.register_module()
class MetricGain(BaseReward):
    """Gain of a weighted sum of metrics of the ``cddfuse`` protocol on the probe set since the last decision.

    Args:
        weights: by metric; give those that are better when lower a negative one.
        scale: multiplies the gain. Default 100.
        every: decisions from one measurement to the next; the gain is paid when it was measured. Default 1.

    Raises:
        ValueError: unknown metrics, or only such as see the fused image alone: noise raises them.
    """

    hackable = 'raw metrics have no cap: contrast enhancement raises VIF, and a copied source can beat sound fusions'

    def __init__(self, weights: Mapping[str, float], scale: float = 100.0, every: int = 1):
        self.weights = dict(weights)
        self.scale = scale
        self.reading = Reading('metrics', check_metrics(list(weights)), every)
        if not any(METRICS[name].needs_sources and weight for name, weight in weights.items()):
            raise ValueError(
                f'{", ".join(weights)} alone cannot pay an agent: they see only the fused image, and noise raises them. '
                'Add metrics that compare it with the sources, such as VIF or Qabf'
            )

    def readings(self) -> list[Reading]:
        return [self.reading]

    def __call__(self, before: Snapshot, after: Snapshot) -> float:
        old, new = (s.readings[self.reading.key] for s in (before, after))
        return self.scale * sum(weight * (new[name] - old[name]) for name, weight in self.weights.items())


@REWARDS.register_module()
class HybridFusionGain(MetricGain):
    """Gain of (VIF + 1.5 Qabf + SSIM) / 3, the score of paper B's loss search (arXiv 2602.20851).

    Args:
        scale: see :class:`MetricGain`.
        every: see :class:`MetricGain`.
    """

    def __init__(self, scale: float = 100.0, every: int = 1):
        super().__init__(dict(VIF=1 / 3, Qabf=0.5, SSIM=1 / 3), scale, every)


@REWARDS.register_module()
class Cost(BaseReward):
    """Minus what the last interval cost.

    Args:
        unit: ``'passes'``: images the student fused for each image trained on, 1 in plain training; ``'time'``: seconds
            relative to the mean interval so far, which depends on the machine and is not the same after a resume. Default
            ``'passes'``.
        scale: multiplies the cost. Default 1.

    Raises:
        ValueError: another unit.
    """

    grounded = False
    hackable = 'a student that learns nothing is cheap'

    def __init__(self, unit: str = 'passes', scale: float = 1.0):
        if unit not in ('passes', 'time'):
            raise ValueError(f"unit={unit!r}; known: 'passes', 'time'")
        self.unit = unit
        self.scale = scale
        self.seconds, self.count = 0.0, 0
        self.began = time.perf_counter()

    def __call__(self, before: Snapshot, after: Snapshot) -> float:
        if self.unit == 'passes':
            return -self.scale * after.passes
        now = time.perf_counter()
        seconds, self.began = now - self.began, now
        self.seconds, self.count = self.seconds + seconds, self.count + 1
        return -self.scale * seconds * self.count / self.seconds

    def state_dict(self) -> dict:
        return dict(seconds=self.seconds, count=self.count)

    def load_state_dict(self, state: dict) -> None:
        self.seconds, self.count = state['seconds'], state['count']


@REWARDS.register_module()
class Rewards(BaseReward):
    """Weighted sum of rewards.

    Args:
        rewards: configs of rewards.
        weights: of each. Default 1 for all.

    Raises:
        ValueError: no reward, another number of weights, or none that compares images with anything.
    """

    def __init__(self, rewards: Sequence[dict], weights: Sequence[float] | None = None):
        self.rewards = [REWARDS.build(dict(reward)) for reward in rewards]
        self.weights = list(weights) if weights is not None else [1.0] * len(self.rewards)
        if not self.rewards or len(self.weights) != len(self.rewards):
            raise ValueError(f'Rewards: {len(self.rewards)} rewards and {len(self.weights)} weights')
        self.grounded = any(r.grounded and w for r, w in zip(self.rewards, self.weights, strict=True))
        check_grounded(self)
        self.hackable = '; '.join(dict.fromkeys(r.hackable for r in self.rewards if r.hackable and r.grounded))

    def readings(self) -> list[Reading]:
        return [reading for reward in self.rewards for reading in reward.readings()]

    def __call__(self, before: Snapshot, after: Snapshot) -> float:
        return sum(w * r(before, after) for w, r in zip(self.weights, self.rewards, strict=True))

    def state_dict(self) -> dict:
        return dict(rewards=[reward.state_dict() for reward in self.rewards])

    def load_state_dict(self, state: dict) -> None:
        for reward, part in zip(self.rewards, state['rewards'], strict=True):
            reward.load_state_dict(part)


def check_grounded(reward: BaseReward) -> None:
    """Refuse a reward that compares no image with anything.

    Raises:
        ValueError: it does not.
    """
    if not reward.grounded:
        raise ValueError(
            f'{type(reward).__name__} alone pays an agent whatever the images are like; add one that compares them with '
            'their sources, such as ScoreGain'
        )
