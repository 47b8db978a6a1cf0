"""The pairs on which an agent measures the student."""

import copy

import pytest
import torch

from fusionkd.evaluation import Scorer, evaluate
from fusionkd.models.distillers import FusionDistiller
from fusionkd.rl.probe import Probe, Reading, linear_cka, merge_readings

SCENES = dict(
    type='SyntheticScenes', num=4, size=(48, 64), seed=3, name='probe', pipeline=[dict(type='PackFusionInputs')]
)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return FusionDistiller(
        student=dict(type='ToyFuser'),
        teachers=[dict(type='ToyFuser', channels=3, name='t')],
        terms=[
            dict(name='self', loss=dict(type='FusionLoss', window=11), on='hard'),
            dict(name='guide', loss=dict(type='L1Loss'), weight='agent'),
        ],
        hard_samples=dict(type='HardSampleGenerator', ops=['blur', 'noise']),
    )


@pytest.fixture
def probe(model):
    probe = Probe(SCENES, num=2, size=48, degraded=dict(ops=['rain', 'dead_pixels'], strength=0.8))
    probe.load(model)
    return probe


def read(probe, model, *reading, student=None):
    reading = Reading(*reading)
    probe.prepare(reading, model)
    return probe.read(reading, model, student or model.student)


def test_readings_are_merged_by_what_they_measure():
    readings = [Reading('degraded', every=4), Reading('metrics', ('VIF',), 2), Reading('degraded', every=3)]
    assert merge_readings(readings) == [Reading('degraded', every=3), Reading('metrics', ('VIF',), 2)]
    with pytest.raises(ValueError, match='every=0'):
        merge_readings([Reading('degraded', every=0)])


def test_scores_and_gaps(model, probe):
    score, gaps = probe.measure(model.student)
    model.student.eval()
    with torch.no_grad():
        fused, taught = (n.fuse(probe.ir, probe.vis) for n in (model.student, model.teachers['t']))
    assert score == Scorer(probe.ir, probe.vis)(fused)
    assert gaps['t'] == pytest.approx(float((fused - taught).abs().mean()))
    assert probe.ir.shape == (2, 1, 48, 48)


def test_metrics_are_those_of_the_protocol(model, probe):
    probe.measure(model.student)
    values = read(probe, model, 'metrics', ('VIF', 'MI'))
    fused = model.student.eval().fuse(probe.ir, probe.vis).detach()
    expected = evaluate(probe.ir, probe.vis, fused.clamp(0, 1), 'cddfuse', ['VIF', 'MI'], 1)
    assert values == pytest.approx({k: float(v.mean()) for k, v in expected.items()})


def test_degraded_pairs_are_fixed_unseen_and_harder(model, probe):
    clean, _ = probe.measure(model.student)
    first, second = (read(probe, model, 'degraded') for _ in range(2))
    assert first == second and first['score'] < clean['score']
    with pytest.raises(ValueError, match='which training uses'):
        Probe(SCENES, degraded=dict(ops=['noise']))._prepare_degraded(Reading('degraded'), model)
    with pytest.raises(ValueError, match='give the probe degraded='):
        Probe(SCENES)._prepare_degraded(Reading('degraded'), model)
    with pytest.raises(ValueError, match=r'strength in \(0, 1\]'):
        Probe(SCENES, degraded=dict(ops=['rain'], strength=0))


def test_a_network_is_nearer_to_itself_than_to_another(model, probe):
    assert read(probe, model, 'features', ('body', 'body'))['t'] > 1e-3
    own = read(probe, model, 'features', ('body', 'body'), student=model.teachers['t'])
    assert own['t'] == pytest.approx(0, abs=1e-9)
    with pytest.raises(ValueError, match=r"the student has no module 'neck' to tap; some of its modules: body"):
        read(probe, model, 'features', ('neck', 'body'))
    with pytest.raises(ValueError, match="the teacher 't' has no module"):
        read(probe, model, 'features', ('body', 'neck'))


def test_alignment_is_the_models_and_changes_nothing(model, probe):
    before = copy.deepcopy(model.state_dict())
    value = read(probe, model, 'alignment')['cosine']
    assert -1 <= value <= 1 and value != 0
    assert all(torch.equal(v, model.state_dict()[k]) for k, v in before.items() if torch.is_tensor(v))
    assert all(p.grad is None for p in model.student.parameters())


def test_cka_knows_rotations_and_scales():
    torch.manual_seed(0)
    x = torch.randn(64, 5)
    q = torch.linalg.qr(torch.randn(5, 5))[0]
    assert linear_cka(x, 3 * x @ q + 7) == pytest.approx(1)
    assert linear_cka(x, torch.randn(64, 3)) < 0.3
    assert linear_cka(x, torch.ones(64, 2)) == 0


def test_the_probe_has_pairs_of_its_own(probe):
    from fusionkd.datasets import SyntheticScenes

    with pytest.raises(ValueError, match='2 probe pairs are also test pairs'):
        probe.check_disjoint(SyntheticScenes(num=4, size=(48, 64), seed=3), 'test')
    probe.check_disjoint(SyntheticScenes(num=4, size=(48, 64), seed=4), 'test')
    with pytest.raises(ValueError, match='has 4 pairs, 9 were asked for'):
        _ = Probe(SCENES, num=9).dataset
