"""What every loss that is a mean over samples promises."""

import pytest
import torch

from fusionkd.models import losses

IMAGE = [
    losses.L1Loss(),
    losses.SSIMLoss(),
    losses.GradientLoss(),
    losses.FrequencyLoss(),
    losses.LaplacianBandLoss(levels=2),
    losses.PerceptualLoss(layers=('conv1_2',), weights=None),
    losses.EncoderLoss(dict(type='ToyFuser'), ['body']),
]
SOURCES = [losses.IntensityLoss(), losses.JointGradientLoss(), losses.FusionLoss(window=11)]
FEATURES = [
    losses.FeatureLoss,
    losses.AttentionTransferLoss,
    losses.ChannelWiseLoss,
    losses.MarginLoss,
    losses.RelationLoss,
]


def named(loss):
    return type(loss).__name__ if isinstance(loss, torch.nn.Module) else loss.__name__


def images(count):
    return [torch.rand(3, 1, 24, 32) for _ in range(count)]


def bound(kind, channels=(3, 5)):
    loss = kind()
    if hasattr(loss, 'bind'):
        loss.bind(*channels)
    return loss.eval()


def check(loss, *arguments):
    each = loss.per_sample(*arguments)
    assert each.shape == (3,) and len(set(each.tolist())) == 3
    assert torch.equal(each.mean(), loss(*arguments))
    alone = [loss(*(x[i : i + 1] for x in arguments)) for i in range(3)]
    assert torch.allclose(each, torch.stack(alone), rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize('loss', IMAGE, ids=named)
def test_of_two_images(loss):
    check(loss, *images(2))


@pytest.mark.parametrize('loss', SOURCES, ids=named)
def test_of_an_image_and_its_sources(loss):
    check(loss, *images(3))


def test_of_weight_maps():
    check(losses.WeightMapLoss(), *images(4))
    check(losses.WeightMapTapLoss(), torch.randn(3, 2, 8, 8), torch.randn(3, 2, 8, 8))
    check(losses.WeightMapKLD(), torch.randn(3, 2, 8, 8))


@pytest.mark.parametrize('kind', FEATURES, ids=named)
def test_of_features(kind):
    check(bound(kind), torch.randn(3, 3, 8, 8), torch.randn(3, 5, 12, 16))


@pytest.mark.parametrize('loss', IMAGE, ids=named)
def test_equal_images_cost_nothing_and_others_pull_the_student_only(loss):
    fused, target = (x.requires_grad_() for x in images(2))
    assert loss(target, target).item() == pytest.approx(0, abs=1e-6)
    value = loss(fused, target.detach())
    assert value > 0
    value.backward()
    assert fused.grad.any() and target.grad is None
