import pytest
import torch
from torch.autograd import gradcheck

from fusionkd.evaluation import functional as fn


@pytest.mark.parametrize('size', [(41, 41), (64, 51), (150, 97)])
def test_same_as_torchmetrics(draw, size):
    image = pytest.importorskip('torchmetrics.functional.image')
    ir, vis, fused = draw(*size)
    expected = sum(image.visual_information_fidelity(fused, source, sigma_n_sq=2.0) for source in (ir, vis))
    assert float(fn.vif(ir, vis, fused, 255)) == pytest.approx(float(expected), abs=7e-10)


def test_known_values(draw):
    ir, vis, fused = draw(48, 60)
    flat = torch.full_like(ir, 90.0)
    assert float(fn.vif(ir, ir, ir, 255)) == pytest.approx(2, abs=1e-8)
    assert float(fn.vif(flat, flat, fused, 255)) == 2
    assert float(fn.vif(flat, vis, fused, 255) - 1) == pytest.approx(float(fn.vif(vis, vis, fused, 255)) / 2, abs=1e-12)
    assert float(fn.vif(ir, vis, flat, 255)) == pytest.approx(0, abs=1e-8)
    assert float(fn.vif(ir, vis, 255 - ir, 255)) < 0.5 * float(fn.vif(ir, vis, ir, 255))


def test_contrast_raises_it_beyond_one_and_the_cap_holds(draw):
    ir, *_ = draw(48, 60)
    ir = (ir - ir.mean()) / 2 + 120
    stretched = (ir - 120) * 2 + 120
    assert float(fn.vif(ir, ir, stretched, 255)) > 2.2
    assert float(fn.vif(ir, ir, stretched, 255, cap_gain=True)) == pytest.approx(2, abs=1e-4)


@pytest.mark.parametrize('cap_gain', [False, True])
def test_gradients(draw, cap_gain):
    images = [x.requires_grad_() for x in draw(41, 42)]
    assert gradcheck(lambda *xs: fn.vif(*xs, 255, cap_gain=cap_gain), images, fast_mode=True)


def test_gradient_of_flat_windows_is_finite(draw):
    images = draw(48, 60)
    for image in images:
        image[..., :24] = 80
        image.requires_grad_()
    fn.vif(*images, 255).sum().backward()
    assert all(x.grad.isfinite().all() and x.grad.any() for x in images)


def test_float32_comes_close(draw):
    images = draw(64, 64)
    assert float(fn.vif(*(x.float() for x in images), 255)) == pytest.approx(float(fn.vif(*images, 255)), abs=1e-3)


def test_too_small(draw):
    with pytest.raises(ValueError, match='VIF needs images of at least 41 x 41 pixels, got 40 x 60'):
        fn.vif(*draw(40, 60), 255)


def test_windows_beyond_the_border_never_count(draw, monkeypatch):
    """Memory that no window inside the image needs may hold anything, here the worst."""
    new_empty = torch.Tensor.new_empty

    def poisoned(self, *args, **kwargs):
        return new_empty(self, *args, **kwargs).fill_(float('nan'))

    ir, vis, fused = draw(70, 61)
    expected = float(fn.vif(ir, vis, fused, 255)), float(fn.ssim(ir, vis, fused, 255))
    monkeypatch.setattr(torch.Tensor, 'new_empty', poisoned)
    fused.requires_grad_()
    scores = fn.vif(ir, vis, fused, 255), fn.ssim(ir, vis, fused, 255)
    assert [s.item() for s in scores] == pytest.approx(expected, abs=1e-12)
    sum(s.sum() for s in scores).backward()
    assert fused.grad.isfinite().all()


def test_gradients_are_finite_where_windows_cross_a_border():
    """Sources of two channels and a fused image of one are laid out differently beyond the image."""
    ir, vis = torch.rand(2, 1, 1, 160, 160, dtype=torch.float64) * 255
    windows = fn.vif_windows(torch.cat([ir, vis], dim=1))
    fused = ((ir + vis) / 2).requires_grad_(True)
    fn.vif_scores(windows, fused).sum().backward()
    assert fused.grad.isfinite().all()


def test_capped_gain_counts_no_contrast_beyond_the_source():
    source = torch.rand(1, 1, 64, 64, dtype=torch.float64) * 80 + 80
    scores = {}
    for gain in (0.5, 0.9, 1.0, 1.5):
        fused = (source - 120) * gain + 120
        scores[gain] = [float(fn.vif_scores(fn.vif_windows(source), fused, cap_gain=c)) for c in (False, True)]
    assert scores[0.5][0] == pytest.approx(scores[0.5][1]) and scores[0.9][0] == pytest.approx(scores[0.9][1])
    assert scores[1.5][0] > 1.05 and scores[1.5][1] == pytest.approx(1, abs=1e-6)
    noisy = (source - 120) * 1.5 + 120 + 20 * torch.randn_like(source)
    assert float(fn.vif_scores(fn.vif_windows(source), noisy, cap_gain=True)) < 0.9
