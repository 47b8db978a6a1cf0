"""What an agent is paid."""

import itertools
import time

import numpy as np
import pytest

from fusionkd.registry import REWARDS
from fusionkd.rl.observations import Snapshot
from fusionkd.rl.rewards import check_grounded, expected_gain


def snapshot(score=0.5, **fields):
    return Snapshot(progress=0.5, score=dict(score=score, vif=0.4), **fields)


def build(kind, **options):
    return REWARDS.build(dict(type=kind, **options))


def test_score_gains_sum_to_the_gain_of_the_whole_training():
    curve = [0.1, 0.4, 0.35, 0.6]
    reward = build('ScoreGain')
    paid = [reward(snapshot(a), snapshot(b)) for a, b in itertools.pairwise(curve)]
    assert sum(paid) == pytest.approx(50) and paid[1] < 0
    with pytest.raises(KeyError, match='known: score, vif'):
        build('ScoreGain', score='ssim')(snapshot(), snapshot())


def test_a_learning_curve_is_expected_and_not_paid():
    k = np.arange(40)
    curve = 0.3 + 0.1 * np.log1p(k)
    plain, fair = build('ScoreGain'), build('ScoreGain', detrend=True)
    pairs = [(snapshot(a), snapshot(b)) for a, b in itertools.pairwise(curve)]
    raw = np.array([plain(*p) for p in pairs])
    detrended = np.array([fair(*p) for p in pairs])
    assert raw[4:].min() > 0.2 and np.abs(detrended[4:]).max() < 1e-6
    kicked = snapshot(curve[-1] + 0.05)  # what a decision adds to the curve is paid in full
    assert fair(snapshot(curve[-1]), kicked) == pytest.approx(5 - 100 * expected_gain(curve), abs=1e-6)
    assert expected_gain(curve[:3]) == 0
    copy = build('ScoreGain', detrend=True)
    copy.load_state_dict(fair.state_dict())
    assert copy(pairs[0][0], pairs[0][1]) == fair(pairs[0][0], pairs[0][1])


def test_generalisation_is_paid_on_the_degraded_pairs():
    reward = build('GeneralisationGain', every=3)
    assert [(r.what, r.every) for r in reward.readings()] == [('degraded', 3)]
    before, after = (snapshot(readings=dict(degraded=dict(score=s))) for s in (0.2, 0.25))
    assert reward(before, after) == pytest.approx(5)


def test_the_gap_is_closed_by_coming_nearer():
    reward = build('GapClosed')
    assert reward(snapshot(gaps=dict(a=0.03, b=0.01)), snapshot(gaps=dict(a=0.01, b=0.01))) == pytest.approx(10)
    assert reward(snapshot(), snapshot()) == 0


def test_paper_bs_score_is_a_weighted_sum_of_metrics_and_marked():
    reward = build('HybridFusionGain')
    key = reward.readings()[0].key
    before, after = (
        snapshot(readings={key: dict(VIF=v, Qabf=q, SSIM=s)}) for v, q, s in ((0.5, 0.4, 0.6), (0.8, 0.6, 0.9))
    )
    assert reward(before, after) == pytest.approx(100 * (0.3 + 1.5 * 0.2 + 0.3) / 3)
    assert 'contrast' in reward.hackable and not build('ScoreGain').hackable


def test_metrics_of_the_fused_image_alone_cannot_pay():
    for weights in (dict(EN=1.0), dict(AG=1.0, SF=0.5), dict(EN=1.0, VIF=0.0)):
        with pytest.raises(ValueError, match='noise raises them'):
            build('MetricGain', weights=weights)
    assert build('MetricGain', weights=dict(EN=1.0, VIF=1.0))
    with pytest.raises(ValueError, match='unknown metrics'):
        build('MetricGain', weights=dict(VIFF=1.0))


def test_a_weighted_sum():
    reward = build('Rewards', rewards=[dict(type='ScoreGain'), dict(type='Cost')], weights=[1, 0.5])
    assert reward(snapshot(0.5), snapshot(0.6, passes=2.0)) == pytest.approx(10 - 1)
    with pytest.raises(ValueError, match='alone pays an agent whatever'):
        build('Rewards', rewards=[dict(type='Cost'), dict(type='ScoreGain')], weights=[1, 0])
    with pytest.raises(ValueError, match='alone pays an agent whatever'):
        check_grounded(build('Cost'))
    with pytest.raises(ValueError, match='2 rewards and 1 weights'):
        build('Rewards', rewards=[dict(type='ScoreGain')] * 2, weights=[1])
    detrended = build('Rewards', rewards=[dict(type='ScoreGain', detrend=True)])
    detrended(snapshot(0.5), snapshot(0.6))
    assert detrended.state_dict()['rewards'][0]['seen'] == [0.5]


def test_cost_of_time_is_relative_to_the_mean_interval():
    reward = build('Cost', unit='time')
    assert reward(snapshot(), snapshot()) == pytest.approx(-1)
    time.sleep(0.02)
    assert reward(snapshot(), snapshot()) < -1
    with pytest.raises(ValueError, match="'passes', 'time'"):
        build('Cost', unit='hours')
