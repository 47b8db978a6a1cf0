import pytest
import torch

from fusionkd.hard_samples import AdversarialHardSampleGenerator, HardSampleGenerator, degradation
from fusionkd.registry import HARD_SAMPLES

NAMES = [f'add{i}' for i in range(6)]
WEAK, PEAK = 'add4', 0.7


@pytest.fixture(autouse=True)
def marks(monkeypatch):
    """Operations that write their index into ir and their strength into vis, so that a hardness can read them back."""
    for i, name in enumerate(NAMES):

        @degradation('sensor')
        def op(ir, vis, strength, generator, i=i):
            s = strength.view(-1, 1, 1, 1)
            return torch.full_like(ir, i / 10), torch.zeros_like(vis) + s

        monkeypatch.setitem(HARD_SAMPLES.module_dict, name, op)


@pytest.fixture
def pair():
    return torch.rand(8, 1, 4, 4), torch.rand(8, 1, 4, 4)


class Student:
    """Finds one operation at one strength hardest; scenes differ much more than operations do."""

    def __init__(self, weak=WEAK, peak=PEAK):
        self.weak, self.peak, self.calls = NAMES.index(weak) / 10, peak, 0

    def __call__(self, ir, vis, hard_ir, hard_vis):
        self.calls += 1
        right = (hard_ir[:, 0, 0, 0] - self.weak).abs() < 0.01
        return 100 * ir.mean((1, 2, 3)) + right.float() - (hard_vis[:, 0, 0, 0] - self.peak).abs()


def test_it_finds_the_weak_operation_and_its_strength(pair):
    generator = AdversarialHardSampleGenerator(NAMES, every=1)
    for _ in range(15):
        generator.search(*pair, Student())
    found = generator.found()
    assert max(found, key=lambda name: found[name][0]) == WEAK
    assert found[WEAK][0] > 0.7 and found[WEAK][1] == pytest.approx(PEAK, abs=0.1)
    ir, _ = generator(*pair)
    assert (ir - NAMES.index(WEAK) / 10).abs().lt(0.01).float().mean() >= 0.5


def test_it_follows_a_student_that_changes(pair):
    generator = AdversarialHardSampleGenerator(NAMES, every=1)
    for weak, peak in (('add4', 0.8), ('add1', 0.2)):
        for _ in range(25):
            generator.search(*pair, Student(weak, peak))
        found = generator.found()
        assert found[weak][0] > 0.5 and found[weak][1] == pytest.approx(peak, abs=0.15)


def test_a_search_is_harder_than_as_many_random_draws(pair):
    searched = AdversarialHardSampleGenerator(NAMES, every=1)
    random = HardSampleGenerator(NAMES)
    student = Student()
    gain = []
    for _ in range(20):
        best = torch.stack([student(*pair, *random(*pair)) for _ in range(searched.budget)]).amax(0)
        gain.append((student(*pair, *searched.search(*pair, student)) - best).mean())
    assert torch.stack(gain[5:]).mean() > 0.1


def test_the_hardest_candidate_of_each_sample_is_returned(pair):
    rated = []

    def hardness(ir, vis, hard_ir, hard_vis):
        rated.append(hard_vis[:, 0, 0, 0])
        return rated[-1]

    _, vis = AdversarialHardSampleGenerator(NAMES, every=1).search(*pair, hardness)
    assert torch.equal(vis[:, 0, 0, 0], torch.stack(rated).amax(0))


@pytest.mark.parametrize(('budget', 'rounds', 'every'), [(6, 2, 4), (7, 3, 1), (2, 1, 3)])
def test_the_budget_is_kept(pair, budget, rounds, every):
    student = Student()
    generator = AdversarialHardSampleGenerator(NAMES, budget=budget, rounds=rounds, every=every)
    calls = []
    for _ in range(2 * every):
        generator.search(*pair, student)
        calls.append(student.calls)
    assert calls == [budget] * every + [2 * budget] * every


def test_strengths_stay_within_their_bounds(pair):
    seen = []

    def hardness(ir, vis, hard_ir, hard_vis):
        seen.append(hard_vis[:, 0, 0, 0])
        return hard_vis.mean((1, 2, 3))

    generator = AdversarialHardSampleGenerator(NAMES, strength=(0.2, 0.6), every=1)
    for _ in range(10):
        generator.search(*pair, hardness)
    strengths = torch.stack(seen)
    assert strengths.min() >= 0.2 - 1e-6 and strengths.max() <= 0.6 + 1e-6
    assert max(strength for _, strength in generator.found().values()) > 0.5


def test_an_agent_sets_the_upper_bound_and_the_operation(pair):
    generator = AdversarialHardSampleGenerator(NAMES, strength='agent', every=1)
    assert generator.by_agent and (generator.low, generator.high) == (0.0, 0.5)
    generator.set_strength(0.3)
    generator.set_op('add2')
    share = generator.share.clone()
    ir, vis = generator.search(*pair, lambda ir, vis, hard_ir, hard_vis: hard_vis.mean((1, 2, 3)))
    assert vis.max() <= 0.3 + 1e-6 and torch.allclose(ir, torch.tensor(0.2))
    assert torch.equal(generator.share, share)
    generator.set_strength(0.0)
    assert torch.equal(generator.search(*pair, Student())[0], pair[0])


def test_composed_operations(pair):
    generator = AdversarialHardSampleGenerator(['noise', 'gamma', *NAMES], compose=2, every=1)
    for _ in range(5):
        hard = generator.search(*pair, Student())
    assert generator.share.sum().item() == pytest.approx(1, abs=1e-5) and hard[0].shape == pair[0].shape


def test_weights_of_zero_are_never_searched(pair):
    generator = AdversarialHardSampleGenerator(NAMES, every=1, weights={WEAK: 0})
    for _ in range(5):
        ir, _ = generator.search(*pair, Student())
        assert ((ir - NAMES.index(WEAK) / 10).abs() > 0.01).all()


def test_it_goes_on_exactly_from_a_checkpoint(pair, tmp_path):
    generator = AdversarialHardSampleGenerator(NAMES, every=3)
    for _ in range(5):
        generator.search(*pair, Student())
    torch.save(generator.state_dict(), tmp_path / 'state.pth')
    expected = [generator.search(*pair, Student()) for _ in range(4)]
    other = AdversarialHardSampleGenerator(NAMES, every=3, seed=9)
    other.load_state_dict(torch.load(tmp_path / 'state.pth', weights_only=True))
    for pair_there in expected:
        assert all(torch.equal(a, b) for a, b in zip(other.search(*pair, Student()), pair_there, strict=True))
    assert other.found() == generator.found()


def test_no_gradient_and_no_global_numbers(pair):
    torch.manual_seed(0)
    state = torch.get_rng_state()

    def hardness(ir, vis, hard_ir, hard_vis):
        assert not torch.is_grad_enabled()
        return hard_ir.mean((1, 2, 3))

    AdversarialHardSampleGenerator(NAMES).search(*pair, hardness)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_hardness_that_is_not_a_number_chooses_nothing(pair):
    generator = AdversarialHardSampleGenerator(NAMES, every=1)
    hard = generator.search(*pair, lambda *images: torch.full((8,), torch.nan))
    assert all(torch.equal(h, c) for h, c in zip(hard, pair, strict=True))
    assert all(torch.isfinite(torch.tensor(v)).all() for v in generator.found().values())


def test_bad_options(pair):
    with pytest.raises(ValueError, match='2 candidates in each of its rounds, got budget 3, rounds 2'):
        AdversarialHardSampleGenerator(NAMES, budget=3)
    for options in (dict(every=0), dict(rate=0), dict(explore=1.5)):
        with pytest.raises(ValueError, match='every >= 1, rate in'):
            AdversarialHardSampleGenerator(NAMES, **options)
    with pytest.raises(ValueError, match=r'hardness must return shape \(8,\), got \(\)'):
        AdversarialHardSampleGenerator(NAMES).search(*pair, lambda *images: torch.tensor(1.0))
