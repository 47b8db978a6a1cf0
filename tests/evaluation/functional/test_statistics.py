import numpy as np
import pytest
import torch
from torch.autograd import gradcheck

from fusionkd.evaluation import functional as fn


@pytest.fixture
def images(draw):
    return draw(17, 13)


@pytest.fixture
def arrays(images):
    return [x[0, 0].numpy() for x in images]


def test_deviation_and_errors(images, arrays):
    ir, vis, fused = arrays
    assert float(fn.sd(images[2], 255)) == pytest.approx(fused.std(), abs=1e-11)
    errors = [((fused - s) ** 2).mean() for s in (ir, vis)]
    mse = np.mean(errors)
    assert float(fn.mse(*images, 255)) == pytest.approx(mse, rel=1e-12)
    assert float(fn.mse(*images, 255, scale=1)) == pytest.approx(mse / 255**2, rel=1e-12)
    rmse = np.mean([np.sqrt(e * 17 * 13) / (17 * 13) for e in errors])
    assert float(fn.rmse(*images, 255)) == pytest.approx(rmse, rel=1e-12)
    expected = {
        'peak_255': 10 * np.log10(255**2 / mse),
        'peak_fused': 10 * np.log10(fused.max() ** 2 / mse),
        'peak_255_over_unit': 20 * np.log10(255 / np.sqrt(mse / 255**2)),
        'rmse': 10 * np.log10(255**2 / rmse),
    }
    for form, value in expected.items():
        assert float(fn.psnr(*images, 255, form=form)) == pytest.approx(value, abs=1e-10), form


def test_correlations(images, arrays):
    ir, vis, fused = (x.ravel() for x in arrays)
    cc = np.mean([np.corrcoef(s, fused)[0, 1] for s in (ir, vis)])
    scd = np.corrcoef(fused - vis, ir)[0, 1] + np.corrcoef(fused - ir, vis)[0, 1]
    assert float(fn.cc(*images, 255)) == pytest.approx(cc, abs=1e-12)
    assert float(fn.scd(*images, 255)) == pytest.approx(scd, abs=1e-12)


def test_moments_of_images_and_of_histograms_agree(draw):
    ir, vis, fused = draw(40, 30, count=2, whole=True)
    source = fn.source_moments(torch.cat([ir, vis], dim=1))
    joint = fn.joint_histogram(fn.joint_index(source.images), fused.int())
    for one, other in zip(fn.moments(source, fused), fn.moments_from_counts(source, joint), strict=True):
        torch.testing.assert_close(torch.as_tensor(one), torch.as_tensor(other), rtol=1e-11, atol=1e-9)


@pytest.mark.parametrize('metric', [fn.scd, fn.cc, fn.mse])
def test_gradients(draw, metric):
    assert gradcheck(lambda *xs: metric(*xs, 255), [x.requires_grad_() for x in draw(4, 5)])


def test_flat_images_have_no_correlation(images):
    ir, vis, fused = images
    flat = torch.full_like(ir, 90.0)
    assert fn.cc(ir, vis, flat, 255).isnan().all() and fn.cc(ir, flat, fused, 255).isnan().all()
    half = fn.cc(ir, flat, fused, 255, undefined=0)
    r = np.corrcoef(ir.numpy().ravel(), fused.numpy().ravel())[0, 1]
    assert float(half) == pytest.approx(r / 2, abs=1e-12)


@pytest.mark.parametrize(('whole', 'offset'), [(True, 0), (True, 3), (False, 0.1)])  # the last one leaves rounding
def test_scd_of_a_copied_source_is_nan(draw, whole, offset):
    ir, vis, _ = draw(40, 30, whole=whole)
    assert fn.scd(ir, vis, ir + offset, 255).isnan().all() and fn.scd(ir, vis, vis + offset, 255).isnan().all()
    # With a number, the correlation that is left counts: what the copy lacks of the other source.
    r = np.corrcoef((ir - vis).numpy().ravel(), ir.numpy().ravel())[0, 1]
    assert float(fn.scd(ir, vis, ir + offset, 255, undefined=0)) == pytest.approx(r, abs=1e-9)


@pytest.mark.parametrize('form', ['peak_255', 'peak_fused', 'peak_255_over_unit', 'rmse'])
@pytest.mark.parametrize('level', [0, 90])
def test_psnr_of_identical_images_is_infinite(form, level):
    flat = torch.full((1, 1, 5, 5), float(level))
    assert fn.psnr(flat, flat, flat, 255, form=form).item() == float('inf')


def test_psnr_of_a_black_fused_image_with_its_own_peak(images):
    ir, vis, fused = images
    assert fn.psnr(ir, vis, 0 * fused, 255, form='peak_fused').item() == -float('inf')


def test_unknown_form(images):
    with pytest.raises(ValueError, match="unknown form 'best'; known: 'peak_255'"):
        fn.psnr(*images, 255, form='best')
