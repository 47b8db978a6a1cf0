import numpy as np
import pytest
import torch

from fusionkd.evaluation import functional as fn


def test_spatial_frequency(draw):
    *_, fused = draw(11, 14)
    f = fused[0, 0].numpy()
    squares = [(np.diff(f, axis=a) ** 2).sum() for a in (0, 1)]
    assert float(fn.sf(fused, 255)) == pytest.approx(
        np.sqrt(squares[0] / (10 * 14) + squares[1] / (11 * 13)), abs=1e-12
    )
    assert float(fn.sf(fused, 255, divisor='pixels')) == pytest.approx(np.sqrt(sum(squares) / (11 * 14)), abs=1e-12)


def test_spatial_frequency_that_wraps_is_that_of_8_bits(draw):
    *_, fused = draw(9, 10)
    f = fused[0, 0].numpy().astype(np.uint8)
    expected = np.sqrt(sum(np.mean(np.diff(f, axis=a) ** 2) for a in (0, 1)))
    assert float(fn.sf(fused, 255, wrap=True)) == pytest.approx(expected, abs=1e-12)
    assert expected < float(fn.sf(fused, 255)) - 1


def test_spatial_frequency_pools_channels(draw):
    one, two, three = draw(9, 10)
    pooled = torch.cat([one, two, three], dim=1)
    squares = [fn.sf(x, 255) ** 2 for x in (one, two, three)]
    assert float(fn.sf(pooled, 255)) == pytest.approx(float(sum(squares) / 3) ** 0.5, abs=1e-12)


def test_average_gradient(draw):
    *_, fused = draw(11, 14)
    gy, gx = np.gradient(fused[0, 0].numpy())
    total = np.sqrt((gx**2 + gy**2) / 2).sum()
    assert float(fn.ag(fused, 255)) == pytest.approx(total / (11 * 14), abs=1e-12)
    assert float(fn.ag(fused, 255, divisor='inner')) == pytest.approx(total / (10 * 13), abs=1e-12)


def test_edge_intensity(draw):
    ndimage = pytest.importorskip('scipy.ndimage')
    *_, fused = draw(11, 14)
    gx, gy = (ndimage.sobel(fused[0, 0].numpy(), axis=a, mode='nearest') for a in (0, 1))
    assert float(fn.ei(fused, 255)) == pytest.approx(np.hypot(gx, gy).mean(), abs=1e-10)


@pytest.mark.parametrize('metric', [fn.sf, fn.ag, fn.ei])
def test_ramp_is_known_and_strips_do_not_show(metric):
    """Sized for several strips: a slope of 1 along y and 2 along x on every pixel."""
    y, x = torch.arange(300.0, dtype=torch.float64).view(-1, 1), torch.arange(400.0, dtype=torch.float64)
    image = (0.2 * y + 0.3 * x).view(1, 1, 300, 400)
    exact = {fn.sf: 0.13**0.5, fn.ag: 0.065**0.5}
    if metric in exact:
        assert float(metric(image, 255)) == pytest.approx(exact[metric], abs=1e-12)
    else:  # 8 times the gradient, less along the border that is repeated
        inner = metric(image, 255) * 300 * 400
        assert 8 * 0.13**0.5 * 298 * 398 < float(inner) < 8 * 0.13**0.5 * 300 * 400


@pytest.mark.parametrize('metric', [fn.sf, fn.ag])
def test_unknown_divisor(draw, metric):
    with pytest.raises(ValueError, match=r"unknown divisor 'all'; known: '.*', '.*'"):
        metric(draw(8, 8)[2], 255, divisor='all')
