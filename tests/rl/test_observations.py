"""What an agent sees."""

import pytest
import torch

from fusionkd.registry import OBSERVATIONS
from fusionkd.rl.actions import Control
from fusionkd.rl.observations import SAMPLE_FEATURES, Snapshot, Surroundings, pair_features

CONTROLS = dict(guide=Control(1, 0, 2), op=Control(options=('blur', 'noise')))


def build(kind, surroundings=None, **options):
    observation = OBSERVATIONS.build(dict(type=kind, **options))
    observation.setup(surroundings or Surroundings(CONTROLS, ('warmup', 'distil'), (('body', 'body'),)))
    return observation


def snapshot(**fields):
    return Snapshot(**dict(progress=0.25, score=dict(score=0.5, vif=0.3)) | fields)


def test_student_and_gap():
    now = snapshot(
        teacher_scores=dict(t=dict(score=0.7, vif=0.2)),
        gaps=dict(t=0.01),
        previous=snapshot(score=dict(score=0.4, vif=1)),
    )
    assert build('StudentPerformance')(now) == pytest.approx(
        {'student/score': 0.5, 'student/vif': 0.3, 'student/gain': 0.1}
    )
    assert build('TeacherGap')(now) == pytest.approx({'gap/t/score': 0.2, 'gap/t/vif': -0.1, 'gap/t/pixels': 0.01})
    assert build('Progress')(now) == {'progress': 0.25}


def test_losses_keep_their_sign_and_their_size():
    def seen(loss, before=None):
        previous = snapshot(losses=dict(a=before)) if before is not None else None
        return build('TermLosses')(snapshot(losses=dict(a=loss), previous=previous))

    values = [seen(x)['term/a'] for x in (-10, -0.1, -1e-5, 1e-5, 0.1, 10)]
    assert values == sorted(values) and len(set(values)) == 6
    assert values[0] == -values[-1]
    assert seen(0.02, before=0.01)['term/a/trend'] == pytest.approx(0.693, abs=0.01)  # a doubling
    assert seen(-0.02, before=-0.01)['term/a/trend'] == pytest.approx(-0.693, abs=0.01)
    assert seen(None, before=0.01) == {'term/a': 0.0, 'term/a/trend': 0.0}
    with pytest.raises(ValueError, match='scale must be positive'):
        build('TermLosses', scale=0)


def test_the_action_in_force_with_its_options():
    seen = build('LastAction')(snapshot(action=dict(guide=0.3, op=1.0)))
    assert seen == {'action/guide': 0.3, 'action/op/blur': 0.0, 'action/op/noise': 1.0}


def test_stages():
    seen = build('CurrentStage')(snapshot(stage=1, stage_progress=0.5))
    assert seen == {'stage/warmup': 0.0, 'stage/distil': 1.0, 'stage/progress': 0.5}
    with pytest.raises(ValueError, match='add a StageHook'):
        build('CurrentStage', Surroundings(CONTROLS))


def test_what_costs_something_says_how_often():
    readings = {
        'metrics:VIF:MI': dict(VIF=0.8, MI=2.0),
        'degraded': dict(score=0.2),
        'alignment': dict(cosine=-0.5),
        'features:body:body': dict(t=0.4),
        'features:a:b': dict(t=0.1),
    }
    now = snapshot(readings=readings)
    cases = {
        ('ProbeMetrics', 4): (dict(metrics=('VIF', 'MI')), {'metric/VIF': 0.8, 'metric/MI': 2.0}),
        ('GeneralisationGap', 3): (dict(every=3), {'degraded/score': 0.2, 'degraded/gap': 0.3}),
        ('GradientAlignment', 4): ({}, {'alignment': -0.5}),
        ('FeatureGap', 2): ({}, {'gap/t/features/body': 0.4}),
        ('FeatureGap', 5): (dict(tap_s='a', tap_t='b', every=5), {'gap/t/features/a': 0.1}),
    }
    for (kind, every), (options, expected) in cases.items():
        observation = build(kind, **options)
        assert [r.every for r in observation.readings()] == [every]
        assert {r.key for r in observation.readings()} <= set(readings)
        assert observation(now) == pytest.approx(expected)
    with pytest.raises(ValueError, match='no term compares features'):
        build('FeatureGap', Surroundings(CONTROLS))
    with pytest.raises(ValueError, match='both taps or none'):
        build('FeatureGap', tap_s='a')
    with pytest.raises(ValueError, match=r"unknown metrics \['VIFF'\]; known: EN"):
        build('ProbeMetrics', metrics=['VIFF'])


def test_features_of_a_pair():
    torch.manual_seed(0)
    image = torch.rand(1, 1, 16, 16)
    flat = torch.full((1, 1, 16, 16), 0.25)
    ir, vis = torch.cat([image, flat, image]), torch.cat([image, image, 1 - image])
    features = pair_features(ir, vis)
    assert features.shape == (3, 7) and len(SAMPLE_FEATURES) == 11
    mean_ir, mean_vis, std_ir, std_vis, edges_ir, edges_vis, overlap = features.T
    assert mean_ir[1] == pytest.approx(0.25) and std_ir[1] == edges_ir[1] == overlap[1] == 0
    assert mean_vis[2] == pytest.approx(1 - float(mean_ir[0])) and std_vis[0] == pytest.approx(
        float(image.std(correction=0))
    )
    assert overlap[0] == pytest.approx(1) and overlap[2] == pytest.approx(1)  # of magnitudes
    assert edges_vis[0] == edges_ir[0] > 0
