from math import exp

import pytest
import torch
import torch.nn.functional as F

from fusionkd.evaluation import evaluate
from fusionkd.models.losses import (
    FeatureLoss,
    FusionLoss,
    GradientLoss,
    IntensityLoss,
    JointGradientLoss,
    L1Loss,
    MetricLoss,
    PerceptualLoss,
    RelationLoss,
    SSIMLoss,
    WeightMapKLD,
)
from fusionkd.models.losses.perceptual import VGG19_LAYERS
from fusionkd.models.losses.ssim import ssim


def dense_ssim(x, y, window, sigma, data_range):
    """The published definition, with a dense two-dimensional window."""
    g = torch.tensor([exp(-((i - window // 2) ** 2) / (2 * sigma**2)) for i in range(window)], dtype=x.dtype)
    w = torch.outer(g, g)
    w = (w / w.sum()).expand(x.shape[1], 1, window, window)
    mean = lambda t: F.conv2d(t, w, groups=x.shape[1])  # noqa: E731
    mx, my = mean(x), mean(y)
    vx, vy, cov = mean(x * x) - mx**2, mean(y * y) - my**2, mean(x * y) - mx * my
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    return (((2 * mx * my + c1) * (2 * cov + c2)) / ((mx**2 + my**2 + c1) * (vx + vy + c2))).mean()


@pytest.mark.parametrize(('window', 'size'), [(48, (64, 80)), (11, (30, 20)), (24, (24, 31)), (48, (40, 52))])
def test_ssim_equals_the_dense_window(window, size):
    x = torch.rand(2, 3, *size, dtype=torch.float64)
    y = (x + 0.1 * torch.randn_like(x)).clamp(0, 1)
    expected = dense_ssim(x, y, min(window, *size), 1.5, 1)
    assert ssim(x, y, window).mean().item() == pytest.approx(expected.item(), abs=1e-6)


def test_ssim_of_identical_images_is_one_and_it_is_symmetric():
    x, y = torch.rand(2, 1, 1, 32, 32)
    assert SSIMLoss()(x, x).item() == pytest.approx(0, abs=1e-6)
    assert torch.allclose(ssim(x, y), ssim(y, x))


def images(channels=1, size=(56, 60)):
    return torch.rand(2, channels, *size), torch.rand(2, 1, *size), torch.rand(2, channels, *size)


@pytest.mark.parametrize('channels', [1, 3])
def test_fusion_loss_equals_its_published_parts(channels):
    fused, ir, vis = images(channels)
    f, i, v = (2 * x - 1 for x in (fused, ir, vis))
    gray = lambda x: x if x.shape[1] == 1 else (x * torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, True)  # noqa: E731
    fg, vg = gray(f), gray(v)
    kernel = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]]).view(1, 1, 3, 3)

    def slope(x, k):
        return F.conv2d(F.pad(x, (1, 1, 1, 1), mode='replicate'), k).abs()

    brighter = (i > v.mean(1, keepdim=True)).float()
    expected = (1 - dense_ssim(f, v, 48, 1.5, 2)) + (1 - dense_ssim(fg, i, 48, 1.5, 2))
    expected += 10 * F.l1_loss(brighter * i + (1 - brighter) * v, f)
    expected += 2 * (F.l1_loss(vg, fg) + 2 * F.l1_loss(i, fg)) / 2
    for k in (kernel, kernel.transpose(2, 3)):
        expected += 40 * F.l1_loss(slope(fg, k), torch.maximum(slope(vg, k), slope(i, k)))
    if channels == 3:
        for row in ((-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312)):
            plane = torch.tensor(row).view(1, 3, 1, 1)
            expected += 2 * F.l1_loss((f * plane).sum(1), (v * plane).sum(1))
    assert FusionLoss()(fused, ir, vis).item() == pytest.approx(0.1 * expected.item(), rel=1e-5)


def test_fusion_loss_weights_and_scale_are_linear():
    fused, ir, vis = images(3)
    parts = FusionLoss().parts(fused, ir, vis)
    assert set(parts) == {'ssim', 'maximum', 'consistency', 'gradient', 'colour'}
    only = dict.fromkeys(('ssim', 'maximum', 'consistency', 'colour', 'gradient'), 0.0)
    for name, part in parts.items():
        loss = FusionLoss(**only | {name: 3.0}, scale=0.5)
        assert loss(fused, ir, vis).item() == pytest.approx(1.5 * part.mean().item(), rel=1e-5)


def test_simple_terms_have_known_values():
    ir, vis = torch.full((1, 1, 8, 8), 0.2), torch.full((1, 1, 8, 8), 0.6)
    assert L1Loss()(ir, vis).item() == pytest.approx(0.4)
    assert IntensityLoss()(ir, ir, vis).item() == pytest.approx(0.4)
    assert IntensityLoss('mean')(ir, ir, vis).item() == pytest.approx(0.2)
    ramp = torch.linspace(0, 0.7, 8).expand(1, 1, 8, 8)
    assert JointGradientLoss()(ramp, ramp, vis).item() == pytest.approx(0)
    assert JointGradientLoss()(vis, ramp, vis).item() == pytest.approx((6 * 0.8 + 2 * 0.4) / 8, rel=1e-5)
    assert GradientLoss()(ramp, ramp.flip(-1)).item() == pytest.approx(2 * (6 * 0.8 + 2 * 0.4) / 8, rel=1e-5)
    assert JointGradientLoss()(ramp.flip(-1), ramp, vis).item() == pytest.approx(0, abs=1e-6)  # polarity is free here
    with pytest.raises(ValueError, match="'median'"):
        IntensityLoss('median')


def test_weight_map_kld_has_the_published_value():
    out = torch.zeros(1, 2, 4, 4)  # mean sigmoid(0) = 0.5, log-variance 0
    assert WeightMapKLD()(out).item() == pytest.approx(0.125)
    out[:, 1] = 1.0
    assert WeightMapKLD()(out).item() == pytest.approx(-0.5 * (1 + 1 - 0.25 - exp(1)), rel=1e-5)


def test_relation_needs_no_adapter_and_ignores_scale():
    feat = torch.randn(2, 6, 16, 16)
    assert RelationLoss()(3 * feat, feat).item() == pytest.approx(0, abs=1e-10)
    assert RelationLoss(4)(torch.randn(2, 3, 8, 8), feat) > 0.01


def test_feature_loss_adapts_channels_and_size():
    loss = FeatureLoss()
    loss.bind(3, 5)
    value = loss(torch.randn(2, 3, 8, 8), torch.randn(2, 5, 16, 16))
    value.backward()
    assert loss.adapter.weight.grad.any()


class TestPerceptual:
    def test_layers_are_the_convolutions_of_vgg19(self):
        assert (VGG19_LAYERS['conv1_1'], VGG19_LAYERS['conv4_2'], VGG19_LAYERS['conv5_4']) == (0, 21, 34)

    def test_zero_for_equal_images_and_gradient_for_the_student_only(self):
        loss = PerceptualLoss(layers=('conv1_2', 'conv2_1'), weights=None)
        x = torch.rand(1, 1, 32, 32)
        assert loss(x, x).item() == 0
        student, teacher = torch.rand(2, 1, 1, 32, 32).requires_grad_().unbind(0)
        student.retain_grad(), teacher.retain_grad()
        loss(student, teacher).backward()
        assert student.grad.any() and teacher.grad is None

    def test_random_features_are_always_the_same_and_leave_the_global_generator(self):
        x, y = torch.rand(2, 1, 1, 16, 16)
        torch.manual_seed(3)
        expected = torch.rand(1)
        torch.manual_seed(3)
        first = PerceptualLoss(layers=('conv1_2',), weights=None)(x, y)
        assert torch.equal(torch.rand(1), expected)
        assert torch.equal(first, PerceptualLoss(layers=('conv1_2',), weights=None)(x, y))
        assert not torch.equal(first, PerceptualLoss(layers=('conv1_2',), weights=None, seed=1)(x, y))

    def test_it_has_nothing_to_train_or_save(self):
        loss = PerceptualLoss(layers=('conv1_1',), weights=None)
        assert not list(loss.parameters()) and not loss.state_dict()
        assert loss.double()(torch.rand(1, 1, 8, 8).double(), torch.rand(1, 1, 8, 8).double()).dtype == torch.float64

    def test_local_weights_are_used_and_checked(self, tmp_path):
        state = {
            f'features.{k}': torch.zeros_like(v)
            for k, v in PerceptualLoss(weights=None).frozen['vgg'].state_dict().items()
        }
        torch.save(state | {'classifier.0.bias': torch.zeros(2)}, tmp_path / 'vgg19.pth')
        assert PerceptualLoss(weights=str(tmp_path / 'vgg19.pth'))(*torch.rand(2, 1, 1, 16, 16)).item() == 0
        torch.save({'x': torch.zeros(2)}, tmp_path / 'other.pth')
        with pytest.raises(ValueError, match='is not a VGG-19'):
            PerceptualLoss(weights=str(tmp_path / 'other.pth'))

    def test_no_network_falls_back_with_one_message(self, monkeypatch, caplog):
        import torchvision

        def offline(*args, **kwargs):
            raise OSError('no route to host')

        monkeypatch.setattr(torchvision.models.VGG19_Weights, 'get_state_dict', offline)
        messages = []
        monkeypatch.setattr('fusionkd.models.losses.perceptual.print_log', lambda text, *a, **k: messages.append(text))
        loss = PerceptualLoss(layers=('conv1_2',))
        x, y = torch.rand(2, 1, 1, 16, 16)
        assert torch.equal(loss(x, y), PerceptualLoss(layers=('conv1_2',), weights=None)(x, y))
        assert 'could not be downloaded (no route to host)' in messages[0]

    def test_unknown_layer(self):
        with pytest.raises(ValueError, match=r"\['conv9_1'\]; known: conv1_1"):
            PerceptualLoss(layers=('conv9_1',), weights=None)


@pytest.mark.parametrize('metric', ['VIF', 'Qabf', 'SSIM', 'SCD'])
def test_metric_loss_is_the_metric(metric):
    fused, ir, vis = ((x * 255).round() / 255 for x in images())
    scores = evaluate(ir, vis, fused, 'proper', [metric], data_range=1)[metric]
    assert -MetricLoss(metric)(fused, ir, vis).item() == pytest.approx(scores.mean().item(), abs=1e-4)


@pytest.mark.parametrize('metric', ['VIF', 'Qabf', 'SSIM', 'SCD', 'MI'])
def test_a_step_along_the_gradient_lowers_a_metric_loss(metric):
    _, ir, vis = images()
    fused = ((ir + vis) / 2).requires_grad_(True)
    loss = MetricLoss(metric)
    before = loss(fused, ir, vis)
    before.backward()
    stepped = (fused - 1e-3 * fused.grad / fused.grad.abs().amax()).detach()
    assert loss(stepped, ir, vis) < before


def test_metric_loss_says_what_it_cannot_do():
    with pytest.raises(ValueError, match="no differentiable metric 'EN'; known: VIF"):
        MetricLoss('EN')
    with pytest.raises(ValueError, match="space='y'"):
        MetricLoss('VIF')(*images(channels=3))
