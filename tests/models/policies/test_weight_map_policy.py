"""Image fusion as a policy, with its discriminator and its judge."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch.distributions import Normal, kl_divergence

from fusionkd.models.discriminators import FusionDiscriminator
from fusionkd.models.fusers import WeightMapFuser
from fusionkd.models.judges import FusionJudge
from fusionkd.models.policies import FuserResponder, WeightMapPolicy
from fusionkd.ops import blend_pyramids


@pytest.fixture
def world():
    """A student whose logits vary, and two pairs that differ everywhere."""
    network = WeightMapFuser(backbone=dict(type='UNet', width=2)).eval()
    smooth = F.interpolate(torch.rand(2, 2, 6, 8), size=(48, 64), mode='bilinear')
    queries = dict(ir=0.6 + 0.4 * smooth[:, :1], vis=0.4 * smooth[:, 1:])
    return network, queries


def test_log_probabilities_are_those_of_normal_cells(world):
    network, queries = world
    policy = WeightMapPolicy(cell=8, std=0.3)
    answers = policy.sample(network, queries, 3)
    log_prob, mask = policy.log_prob(network, queries, answers)
    means = F.avg_pool2d(3 * torch.tanh(network.logits(queries['ir'], queries['vis'])[0] / 3), 8)
    expected = Normal(means, 0.3).log_prob(answers['cells'])
    assert log_prob.shape == (2, 3, 6 * 8) and (mask == 1).all()
    assert torch.allclose(log_prob, expected.flatten(2), atol=1e-5)
    log_prob.sum().backward()
    assert all(p.grad is not None for p in network.backbone.out.parameters())


def test_draws_have_the_spread_and_the_mean_they_say(world):
    network, queries = world
    torch.manual_seed(0)
    answers = WeightMapPolicy(cell=16, std=0.4).sample(network, queries, 400)
    cells = answers['cells']
    means = F.avg_pool2d(3 * torch.tanh(network.logits(queries['ir'], queries['vis'])[0] / 3), 16)
    assert cells.std(1).mean().item() == pytest.approx(0.4, abs=0.01)
    assert (cells.mean(1, keepdim=True) - means).abs().mean() < 0.03


def test_without_noise_an_answer_is_what_is_deployed(world):
    network, queries = world
    policy = WeightMapPolicy(std=1e-6)
    fused = policy.render(network, queries, policy.sample(network, queries, 2))
    expected = network.fuse(queries['ir'], queries['vis']).clamp(0, 1)[:, None]
    assert fused.shape == (2, 2, 1, 48, 64) and torch.allclose(fused, expected.expand_as(fused), atol=1e-4)
    (sample, _) = policy.predict(network, queries | dict(cbcr=None), None)
    assert torch.allclose(sample.fused, expected[0, 0], atol=1e-6)


def test_a_teacher_enters_by_the_map_that_reproduces_it(world):
    network, queries = world
    ir, vis = queries['ir'], queries['vis']
    weight = torch.where(torch.arange(64) < 32, 0.8, 0.2).expand_as(ir)
    image = blend_pyramids(ir, vis, weight, network.levels)[:, None]
    errors = []
    for steps in (0, 20):
        policy = WeightMapPolicy(cell=4, noise=False, steps=steps)
        answers = policy.project(network, queries, image.expand(-1, 2, -1, -1, -1))
        assert torch.equal(answers['cells'][:, 0], answers['cells'][:, 1])
        errors.append((policy.render(network, queries, answers) - image).square().mean().sqrt().item())
    assert errors[1] < 0.7 * errors[0]
    inner = answers['weight'][0, 0, 8:-8]
    assert inner[:, 8:24].mean() > 0.7 and inner[:, 40:-8].mean() < 0.3
    copy = WeightMapPolicy(cell=4, noise=False, steps=0).project(network, queries, ir[:, None])
    top = 3 * math.tanh(math.log(0.99 / 0.01) / 3)  # clipped, not infinite
    assert copy['cells'].max().item() == pytest.approx(top, abs=0.05)
    noisy = WeightMapPolicy(cell=4, std=0.5, steps=20).project(network, queries, image.expand(-1, 50, -1, -1, -1))
    assert (noisy['cells'] - answers['cells'][:, :1]).std().item() == pytest.approx(0.5, abs=0.02)


def test_a_teacher_stays_within_reach(world):
    network, queries = world
    options = dict(cell=8, std=0.3, noise=False)
    far, near = (
        WeightMapPolicy(**options, **more).project(network, queries, queries['ir'][:, None])['cells'][:, 0]
        for more in ({}, dict(reach=1.5))
    )
    own = F.avg_pool2d(3 * torch.tanh(network.logits(queries['ir'], queries['vis'])[0] / 3), 8)[:, 0]
    assert (far - own).abs().max() > 0.6
    assert torch.allclose(near, own + (far - own).clamp(-0.45, 0.45), atol=1e-6)
    with pytest.raises(ValueError, match='reach=0'):
        WeightMapPolicy(reach=0)


def test_the_divergence_is_exact(world):
    network, queries = world
    policy = WeightMapPolicy(cell=8, std=0.3)
    answers = policy.sample(network, queries, 2)
    assert policy.divergence(network, network, queries, answers).abs().max() < 1e-9
    other = WeightMapFuser(backbone=dict(type='UNet', width=2)).eval()
    means = [F.avg_pool2d(3 * torch.tanh(n.logits(**queries)[0] / 3), 8) for n in (network, other)]
    expected = kl_divergence(*(Normal(mean, 0.3) for mean in means)).flatten(2).expand(-1, 2, -1)
    found = policy.divergence(network, other, queries, answers)
    assert torch.allclose(found, expected, atol=1e-5) and found.requires_grad


def test_where_the_sources_are_alike_the_students_weight_stands(world):
    network, queries = world
    queries = dict(ir=queries['ir'], vis=queries['ir'])
    answers = WeightMapPolicy(noise=False).project(network, queries, torch.rand(2, 1, 1, 48, 64))
    assert torch.allclose(answers['weight'], network.weight_map(**queries)[0], atol=1e-5)


def test_sizes_and_numbers_are_checked():
    with pytest.raises(ValueError, match='50 x 48 cannot be cut into cells of 8'):
        WeightMapPolicy().queries(dict(ir=torch.zeros(1, 1, 50, 48), vis=torch.zeros(1, 1, 50, 48)))
    with pytest.raises(ValueError, match='std=0'):
        WeightMapPolicy(std=0)


def test_a_frozen_fuser_answers_with_its_image(world):
    _, queries = world
    torch.manual_seed(0)
    responder = FuserResponder(dict(type='ToyFuser', name='toy')).eval()
    found = responder.respond(queries, 3)
    assert responder.name == 'toy' and found.shape == (2, 3, 1, 48, 64)
    expected = responder.network(queries['ir'], queries['vis'])
    assert torch.allclose(found[:, 2], expected)


def test_the_discriminator_learns_who_prefers_infrared(world):
    _, queries = world
    torch.manual_seed(0)
    network = FusionDiscriminator(width=4)
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-2)
    images = [w * queries['ir'] + (1 - w) * queries['vis'] for w in (0.7, 0.3)]
    outputs = torch.stack(images, dim=1)
    for _ in range(60):
        logits = network(queries, outputs)
        loss = F.softplus(-logits[:, 0]).mean() + F.softplus(logits[:, 1]).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    logits = network(queries, outputs)
    assert logits.shape == (2, 2) and (logits[:, 0] > 0).all() and (logits[:, 1] < 0).all()
    again = network({key: value[1:] for key, value in queries.items()}, outputs[1:])
    assert torch.allclose(again, logits[1:], atol=1e-5)  # queries do not mix


def test_the_discriminator_speaks_of_cells(world):
    _, queries = world
    networks = {}
    for cell in (None, 8, 16):
        torch.manual_seed(0)
        networks[cell] = FusionDiscriminator(width=4, cell=cell)
    outputs = torch.stack([queries['ir'], queries['vis'], queries['ir']], dim=1)
    logits = {cell: network(queries, outputs) for cell, network in networks.items()}
    assert logits[8].shape == (2, 3, 6 * 8) and logits[16].shape == (2, 3, 3 * 4)
    assert torch.allclose(logits[8].mean(2), logits[None], atol=1e-5)
    assert torch.allclose(logits[8].unflatten(2, (6, 8))[0, 1, :2, :2].mean(), logits[16][0, 1, 0], atol=1e-5)
    with pytest.raises(ValueError, match='multiple of 8, the step of the last layer, got 12'):
        FusionDiscriminator(cell=12)


def test_the_judge_compares_quality():
    torch.manual_seed(0)
    ir, vis = torch.rand(2, 2, 1, 12, 12).unbind(0)
    queries = dict(ir=F.interpolate(ir, size=(96, 96)), vis=F.interpolate(vis, size=(96, 96)))
    good = torch.maximum(queries['ir'], queries['vis'])
    images = [
        good,
        (good + 0.05 * torch.randn_like(good)).clamp(0, 1),
        (good + 0.2 * torch.randn_like(good)).clamp(0, 1),
    ]
    images.append((queries['ir'] + queries['vis']) / 2 * 0)  # black
    outputs = torch.stack(images, dim=1)
    judge = FusionJudge()
    quality = judge.quality(queries, outputs)
    assert quality.shape == (2, 4) and (quality[:, :-1] > quality[:, 1:]).all()
    assert judge(queries, outputs, None).tolist() == [[1, 1, 0, 0]] * 2
    assert FusionJudge('teacher')(queries, outputs, outputs[:, 1:3]).tolist() != [[1, 1, 0, 0]] * 2
    shuffled = outputs[:, [3, 0, 2, 1]]  # the teachers come last
    assert FusionJudge('best_teacher')(queries, shuffled, shuffled[:, 2:]).tolist() == [[0, 1, 0, 0]] * 2
    assert FusionJudge('teacher')(queries, shuffled, shuffled[:, 2:]).tolist() == [[0, 1, 0, 1]] * 2
    assert FusionJudge('teacher', margin=9)(queries, shuffled, shuffled[:, 2:]).sum() == 0
    with pytest.raises(ValueError, match="use 'median'"):
        FusionJudge('teacher')(queries, outputs, None)
    with pytest.raises(ValueError, match="versus='other'"):
        FusionJudge('other')
