from collections import Counter

import pytest
import torch

from fusionkd.hard_samples import MIXED, SEEN, HardSampleGenerator, known_degradations
from fusionkd.registry import HARD_SAMPLES


def same(first, second):
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.fixture
def calls(monkeypatch):
    """Three operations that do nothing but note (name, strengths); one per stage, registered out of order."""
    noted = []

    def note(name, stage):
        def op(ir, vis, strength, generator):
            noted.append((name, strength.tolist()))
            return ir, vis

        if stage is not None:
            op.stage = stage
        return op

    for name, stage in (('last', 'compression'), ('unstaged', None), ('first', 'scene')):
        monkeypatch.setitem(HARD_SAMPLES.module_dict, name, note(name, stage))
    return noted


THREE = ('last', 'unstaged', 'first')


def test_the_same_seed_draws_the_same_and_clean_pairs_stay_clean(scenes):
    before = [x.clone() for x in scenes]
    first, second = HardSampleGenerator(seed=3), HardSampleGenerator(seed=3)
    a = first(*scenes)
    assert same(a, second(*scenes)) and same(scenes, before)
    assert not torch.equal(first(*scenes)[1], a[1])


def test_it_leaves_the_global_generator_alone(scenes):
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    HardSampleGenerator(known_degradations(), compose=3)(*scenes)
    assert torch.equal(torch.rand(1), expected)


def test_its_state_goes_on_from_a_checkpoint(scenes, tmp_path):
    generator = HardSampleGenerator(compose=2, strength='agent')
    generator.set_strength(0.8)
    generator.set_op('noise')
    generator(*scenes)
    torch.save(generator.state_dict(), tmp_path / 'state.pth')
    expected = [generator(*scenes) for _ in range(2)]
    other = HardSampleGenerator(compose=2, strength='agent', seed=99)
    other.load_state_dict(torch.load(tmp_path / 'state.pth', weights_only=True))
    assert all(same(other(*scenes), pair) for pair in expected)
    assert other.op == 'noise' and other.high == 0.8


def test_it_moves_with_its_model():
    model = torch.nn.Sequential(HardSampleGenerator()).to(memory_format=torch.channels_last).to('cpu')
    assert not list(model.parameters()) and not list(model.buffers())


def test_no_gradient_is_kept(scenes):
    ir, vis = (x.clone().requires_grad_() for x in scenes)
    assert not any(x.requires_grad for x in HardSampleGenerator()(ir, vis))


def test_operations_are_drawn_by_weight(scenes, calls):
    generator = HardSampleGenerator(THREE, weights=dict(first=3, last=0))
    counts = Counter()
    for _ in range(100):
        generator(*scenes)
    for name, strengths in calls:
        counts[name] += len(strengths)
    assert counts['last'] == 0 and counts.total() == 400
    assert 0.67 < counts['first'] / 400 < 0.83


def test_strengths_are_drawn_in_their_range(scenes, calls):
    generator = HardSampleGenerator(['first'], strength=(0.2, 0.6))
    for _ in range(50):
        generator(*scenes)
    strengths = torch.tensor([s for _, row in calls for s in row])
    assert 0.2 <= strengths.min() < 0.23 and 0.57 < strengths.max() <= 0.6


def test_composed_operations_go_from_the_scene_to_the_file(scenes, calls):
    HardSampleGenerator(THREE, compose=3)(*scenes)
    assert [name for name, _ in calls] == ['first', 'unstaged', 'last']
    assert calls[0][1] == calls[1][1] == calls[2][1]
    calls.clear()
    for _ in range(30):
        HardSampleGenerator(THREE, compose=2, seed=_)(*scenes)
    assert sum(len(strengths) for _, strengths in calls) == 30 * 4 * 2


def test_composing_does_more_than_one_operation(scenes):
    generator = HardSampleGenerator(['noise', 'brightness'], strength=0.5, compose=2)
    ir, vis = generator(*scenes)
    assert (ir != scenes[0]).float().mean() > 0.5
    assert ((vis - scenes[1]).mean((1, 2, 3)).abs() > 0.02).all()


def test_strength_and_operation_per_sample(scenes, calls):
    generator = HardSampleGenerator(THREE, compose=2)
    generator(*scenes, strength=torch.tensor([0.1, 0.2, 0.3, 7.0]), op=['last', 'first', 'last', 'last'])
    noted = dict(calls)
    assert noted['first'] == pytest.approx([0.2]) and noted['last'] == pytest.approx([0.1, 0.3, 1.0])
    assert 'unstaged' not in noted
    calls.clear()
    generator(*scenes, op=['first', MIXED, MIXED, 'first'])
    assert sum(len(strengths) for _, strengths in calls) == 1 + 2 + 2 + 1


def test_strength_zero_for_every_sample_is_the_identity(scenes):
    assert same(HardSampleGenerator(compose=3)(*scenes, strength=torch.zeros(4)), scenes)


def test_an_agent_sets_strength_and_operation(scenes, calls):
    generator = HardSampleGenerator(THREE, strength='agent')
    assert generator.by_agent and generator.high == 0.5 and not HardSampleGenerator().by_agent
    generator.set_strength(7)
    generator.set_op('first')
    generator(*scenes)
    assert calls == [('first', [1.0] * 4)]
    generator.set_op(MIXED)
    for _ in range(20):
        generator(*scenes)
    assert {name for name, _ in calls} == set(THREE)
    with pytest.raises(ValueError, match=r"unknown operations \['fog'\]; of this generator: first, unstaged, last"):
        generator.set_op('fog')


def test_the_default_leaves_operations_for_tests():
    assert sorted(HardSampleGenerator().ops) == sorted(SEEN)


def test_bad_options(scenes):
    with pytest.raises(ValueError, match=r"unknown degradations \['fog'\]; known: anisotropic_blur, blur"):
        HardSampleGenerator(ops=['blur', 'fog'])
    for strength in (1.5, (0.6, 0.2), (-0.1, 0.5)):
        with pytest.raises(ValueError, match='strength must be in'):
            HardSampleGenerator(strength=strength)
    for compose in (0, 3):
        with pytest.raises(ValueError, match='compose must be 1 to 2'):
            HardSampleGenerator(['blur', 'noise', 'jpeg'], compose=compose, weights=dict(jpeg=0))
    for weights in (dict(rain=1), dict(blur=-1)):
        with pytest.raises(ValueError, match='give numbers >= 0 for some of'):
            HardSampleGenerator(['blur'], weights=weights)
    generator = HardSampleGenerator(['blur', 'noise'])
    with pytest.raises(ValueError, match=r'strength must be of shape \(4,\), got \(2,\)'):
        generator(*scenes, strength=torch.ones(2))
    with pytest.raises(ValueError, match='4 samples need as many operations, got 1'):
        generator(*scenes, op=['blur'])
    with pytest.raises(ValueError, match=r"unknown operations \['jpeg'\]"):
        generator(*scenes, op=['jpeg'] * 4)
