import pytest
import torch

from fusionkd.models.fusers import WeightMapFuser
from fusionkd.models.losses import WeightMapKLD, WeightMapLoss, WeightMapTapLoss
from fusionkd.models.losses.weight_map import project_weight_map


def sources():
    ir, vis = torch.rand(2, 2, 1, 24, 32)
    return ir, vis


def blend(w, ir, vis):
    return w * ir + (1 - w) * vis


@pytest.mark.parametrize('share', [0.0, 0.3, 1.0, 1.4, -0.2])
def test_projection_finds_the_share_that_made_the_image(share):
    ir, vis = sources()
    found, confidence = project_weight_map(blend(share, ir, vis), ir, vis, ridge=1e-8)
    assert torch.allclose(found, torch.full_like(found, share), atol=1e-3)
    assert confidence.min() > 0.99


def test_projection_is_least_squares_in_each_window():
    ir, vis, image = torch.rand(3, 1, 1, 5, 5, dtype=torch.float64)
    found, _ = project_weight_map(image, ir, vis, window=5, ridge=1e-12)
    d, e = (ir - vis).flatten(), (image - vis).flatten()
    expected = torch.linalg.lstsq(d[:, None], e[:, None]).solution.item()
    assert found[0, 0, 2, 2].item() == pytest.approx(expected, rel=1e-6)


def test_equal_sources_say_nothing():
    ir, _ = sources()
    weight, confidence = project_weight_map(ir + 0.1, ir, ir)
    assert torch.allclose(weight, torch.full_like(weight, 0.5)) and not confidence.any()
    assert WeightMapLoss()(torch.rand_like(ir), torch.rand_like(ir), ir, ir).item() == 0


def test_loss_is_the_distance_of_the_shares():
    ir, vis = sources()
    loss = WeightMapLoss(ridge=1e-8)
    assert loss(blend(0.7, ir, vis), blend(0.2, ir, vis), ir, vis).item() == pytest.approx(0.5, abs=1e-3)
    image = torch.rand_like(ir)
    assert loss(image, image, ir, vis).item() == pytest.approx(0, abs=1e-6)


def test_beyond_an_end_the_teacher_is_clipped_and_the_student_is_free():
    ir, vis = sources()
    loss = WeightMapLoss(ridge=1e-8)

    def value(student, teacher):
        return loss(blend(student, ir, vis), blend(teacher, ir, vis), ir, vis).item()

    assert value(1.2, 1.5) == pytest.approx(0, abs=1e-4) and value(-3.0, -0.5) == pytest.approx(0, abs=1e-4)
    assert value(0.9, 1.5) == pytest.approx(0.1, abs=1e-3) and value(0.1, -0.5) == pytest.approx(0.1, abs=1e-3)
    assert value(1.2, 0.8) == pytest.approx(0.4, abs=1e-3)


def test_gradient_reaches_the_student():
    ir, vis = sources()
    fused = torch.rand_like(ir).requires_grad_()
    WeightMapLoss()(fused, torch.rand_like(ir), ir, vis).backward()
    assert fused.grad.isfinite().all() and fused.grad.any()


def test_two_weight_map_networks_are_compared_at_their_backbones():
    torch.manual_seed(0)
    a, b = (WeightMapFuser(backbone=dict(type='UNet', width=2)) for _ in range(2))
    ir, vis = (x.expand(2, 1, 32, 32) for x in torch.rand(2, 1, 1, 32, 32))
    maps = [net.weight_map(ir, vis)[0] for net in (a.eval(), b.eval())]
    taps = [net.backbone(torch.cat([vis, ir], 1) * 2 - 1) for net in (a, b)]
    expected = (maps[0] - maps[1]).abs().mean()
    assert WeightMapTapLoss()(*taps).item() == pytest.approx(expected.item(), rel=1e-4)
    padded = torch.nn.functional.pad(taps[1], (0, 8, 0, 8))
    assert WeightMapTapLoss()(taps[0], padded).item() == pytest.approx(expected.item(), rel=1e-4)


def test_what_does_not_fit_is_said():
    with pytest.raises(ValueError, match='window must be odd'):
        WeightMapLoss(window=4)
    with pytest.raises(ValueError, match="space='y'"):
        WeightMapLoss()(*torch.rand(4, 1, 3, 8, 8))
    with pytest.raises(ValueError, match=r'WeightMapTapLoss is for backbones .* the taps have \(2, 48\)'):
        WeightMapTapLoss().bind(2, 48)
    with pytest.raises(ValueError, match='WeightMapKLD is for backbones'):
        WeightMapKLD().bind(4, None)
