from itertools import pairwise

import pytest
import torch

from fusionkd.datasets.scenes import render_scene
from fusionkd.hard_samples import HardSampleGenerator, degradations

OPS = {name: getattr(degradations, name) for name in ('blur', 'brightness', 'contrast', 'noise')}
LEVELS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)


@pytest.fixture(scope='module')
def scenes():
    scenes = [render_scene(i, 20, (64, 96)) for i in range(4)]
    ir = torch.stack([torch.from_numpy(s.ir)[None] for s in scenes]) / 255
    vis = torch.stack([torch.from_numpy(s.vis[..., 1].copy())[None] for s in scenes]) / 255
    return ir, vis


def degrade(op, pair, strength, seed=0):
    n = len(pair[0])
    return op(*pair, torch.full((n,), strength), torch.Generator().manual_seed(seed))


@pytest.mark.parametrize('name', OPS)
def test_strength_zero_is_the_identity(name, scenes):
    for clean, hard in zip(scenes, degrade(OPS[name], scenes, 0.0), strict=True):
        assert torch.allclose(clean, hard, atol=1e-7)


@pytest.mark.parametrize('name', OPS)
@pytest.mark.parametrize('seed', range(4))
def test_severity_rises_with_strength_for_every_sample(name, seed, scenes):
    damage = []
    for strength in LEVELS:
        hard = degrade(OPS[name], scenes, strength, seed)
        damage.append(sum((h - c).square().mean(dim=(1, 2, 3)) for h, c in zip(hard, scenes, strict=True)))
    for milder, harder in pairwise(damage):
        assert (harder > milder).all(), damage


@pytest.mark.parametrize('name', OPS)
def test_shape_range_and_strength_per_sample(name, scenes):
    strength = torch.tensor([0.0, 1.0, 0.0, 1.0])
    hard = OPS[name](*scenes, strength, torch.Generator().manual_seed(1))
    for clean, result in zip(scenes, hard, strict=True):
        assert result.shape == clean.shape and result.min() >= 0 and result.max() <= 1
        assert torch.allclose(result[::2], clean[::2], atol=1e-7)
    changed = sum((h - c).abs().amax(dim=(1, 2, 3)) for h, c in zip(hard, scenes, strict=True))
    assert (changed[1::2] > 0.01).all()


def test_ranges_at_full_strength():
    gray = torch.full((64, 1, 16, 16), 0.5)
    ones = torch.ones(64)
    _, vis = OPS['brightness'](gray, gray, ones, torch.Generator().manual_seed(0))
    assert set(vis.flatten().unique().tolist()) == {0.25, 0.75}
    step = torch.cat([torch.zeros(64, 1, 16, 8), torch.ones(64, 1, 16, 8)], dim=-1)
    ir, vis = OPS['contrast'](step, step, ones, torch.Generator())
    assert (ir.max() - ir.min()).item() == pytest.approx(0.6, abs=1e-6)
    assert (vis.max() - vis.min()).item() == pytest.approx(0.7, abs=1e-6)
    ir, vis = OPS['noise'](gray, gray, ones, torch.Generator().manual_seed(0))
    assert (ir - gray).std().item() == pytest.approx(20 / 255, rel=0.05)
    assert not torch.equal(ir, vis)


def test_blur_reaches_ir_vis_or_both():
    step = torch.cat([torch.zeros(32, 1, 16, 8), torch.ones(32, 1, 16, 8)], dim=-1)
    ir, vis = OPS['blur'](step, step, torch.ones(32), torch.Generator().manual_seed(0))
    cases = {((a != s).any().item(), (b != s).any().item()) for a, b, s in zip(ir, vis, step, strict=True)}
    assert cases == {(True, False), (False, True), (True, True)}


class TestGenerator:
    def test_the_same_seed_draws_the_same_and_clean_pairs_stay_clean(self, scenes):
        before = [x.clone() for x in scenes]
        first, second = HardSampleGenerator(seed=3), HardSampleGenerator(seed=3)
        a, b = first(*scenes), second(*scenes)
        assert all(torch.equal(x, y) for x, y in zip(a, b, strict=True))
        assert all(torch.equal(x, y) for x, y in zip(scenes, before, strict=True))
        assert not torch.equal(first(*scenes)[1], a[1])

    def test_it_leaves_the_global_generator_alone(self, scenes):
        torch.manual_seed(0)
        expected = torch.rand(1)
        torch.manual_seed(0)
        HardSampleGenerator()(*scenes)
        assert torch.equal(torch.rand(1), expected)

    def test_its_state_goes_on_from_a_checkpoint(self, scenes):
        generator = HardSampleGenerator()
        generator(*scenes)
        state = generator.state_dict()
        expected = generator(*scenes)
        other = HardSampleGenerator(seed=99)
        other.load_state_dict(state)
        assert all(torch.equal(x, y) for x, y in zip(other(*scenes), expected, strict=True))

    def test_every_operation_is_drawn(self, scenes):
        drawn = set()
        for name in OPS:
            only = HardSampleGenerator(ops=[name], strength=1.0)
            hard = only(*scenes)
            drawn.add(tuple(torch.equal(h, c) for h, c in zip(hard, scenes, strict=True)))
            assert any(not torch.equal(h, c) for h, c in zip(hard, scenes, strict=True)), name
        counts = torch.zeros(4)
        generator = HardSampleGenerator(strength=1.0)
        for i, op in enumerate(list(generator.ops)):

            def count(ir, vis, strength, g, i=i):
                counts[i] += len(ir)
                return ir, vis

            generator.ops[op] = count
        for _ in range(50):
            generator(*scenes)
        assert counts.sum() == 200 and (counts > 25).all()

    def test_an_agent_sets_the_strength(self, scenes):
        generator = HardSampleGenerator(strength='agent')
        assert generator.by_agent and generator.high == 0.5
        generator.set_strength(0.0)
        assert all(torch.allclose(h, c, atol=1e-7) for h, c in zip(generator(*scenes), scenes, strict=True))
        generator.set_strength(7)
        assert generator.high == 1.0

    def test_bad_options(self):
        with pytest.raises(ValueError, match=r"unknown degradations \['fog'\]; known: blur, brightness"):
            HardSampleGenerator(ops=['blur', 'fog'])
        for strength in (1.5, (0.6, 0.2), (-0.1, 0.5)):
            with pytest.raises(ValueError, match='strength must be in'):
                HardSampleGenerator(strength=strength)
