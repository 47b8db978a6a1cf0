import numpy as np
import pytest
import torch
from torch.autograd import gradcheck

from fusionkd.evaluation import functional as fn


@pytest.fixture
def skimage_ssim():
    metrics = pytest.importorskip('skimage.metrics')

    def score(images, **options):
        ir, vis, fused = (x[0, 0].numpy() for x in images)
        return sum(metrics.structural_similarity(fused, s, **options) for s in (ir, vis))

    return score


GAUSSIAN = dict(gaussian_weights=True, sigma=1.5, use_sample_covariance=False)


@pytest.mark.parametrize('size', [(7, 9), (40, 33)])
def test_uniform_window_is_that_of_skimage(draw, skimage_ssim, size):
    images = draw(*size)
    ours = fn.ssim(*images, 255, dynamic_range=2, window='uniform', reduction='sum')
    assert float(ours) == pytest.approx(skimage_ssim(images, data_range=2), abs=1e-9)


@pytest.mark.parametrize('dynamic_range', [1, 255])
def test_gaussian_window_is_that_of_skimage(draw, skimage_ssim, dynamic_range):
    images = draw(40, 33)
    ours = fn.ssim(*images, 255, dynamic_range=dynamic_range)
    expected = skimage_ssim(images, data_range=dynamic_range, **GAUSSIAN) / 2
    assert float(ours) == pytest.approx(expected, abs=1e-9)


def test_repeated_borders(draw, skimage_ssim):
    images = draw(12, 15)
    wide = [np.pad(x.numpy(), ((0, 0), (0, 0), (5, 5), (5, 5)), mode='edge') for x in images]
    ours = fn.ssim(*images, 255, dynamic_range=1, padding='replicate', reduction='sum')
    expected = skimage_ssim([torch.from_numpy(x) for x in wide], data_range=1, **GAUSSIAN)
    assert float(ours) == pytest.approx(expected, abs=1e-9)


def halve(x):
    """2 x 2 means; an odd side gets a zero on either end, and what is then left over is dropped."""
    x = np.pad(x, [(side % 2, side % 2) for side in x.shape])
    height, width = (side // 2 for side in x.shape)
    return x[: 2 * height, : 2 * width].reshape(height, 2, width, 2).mean((1, 3))


def multi_scale(source, fused, dynamic_range):
    """MS-SSIM of one source with plain loops over scales and scipy's filters."""
    correlate1d = pytest.importorskip('scipy.ndimage').correlate1d
    k = np.exp(-((np.arange(11) - 5) ** 2) / (2 * 1.5**2))
    k /= k.sum()

    def local(x):
        return correlate1d(correlate1d(x, k, axis=0), k, axis=1)[5:-5, 5:-5]

    c1, c2 = (0.01 * dynamic_range) ** 2, (0.03 * dynamic_range) ** 2
    score = 1.0
    for scale, weight in enumerate((0.0448, 0.2856, 0.3001, 0.2363, 0.1333)):
        m, n = local(source), local(fused)
        structure = (2 * (local(source * fused) - m * n) + c2) / (local(source**2) - m**2 + local(fused**2) - n**2 + c2)
        factor = structure * (2 * m * n + c1) / (m**2 + n**2 + c1) if scale == 4 else structure
        score *= max(factor.mean(), 0) ** weight
        source, fused = halve(source), halve(fused)
    return score


@pytest.mark.parametrize('size', [(176, 192), (161, 170)])
@pytest.mark.parametrize('dynamic_range', [1, 255])
def test_multi_scale(draw, size, dynamic_range):
    images = draw(*size)
    ir, vis, fused = (x[0, 0].numpy() for x in images)
    expected = sum(multi_scale(s, fused, dynamic_range) for s in (ir, vis))
    ours = fn.ms_ssim(*images, 255, dynamic_range=dynamic_range, reduction='sum')
    assert float(ours) == pytest.approx(expected, abs=1e-9)


def test_one_identical_source_scores_one(draw):
    ir, vis, _ = draw(161, 161)
    for metric in (fn.ssim, fn.ms_ssim):
        assert float(metric(ir, ir, ir, 255)) == pytest.approx(1, abs=1e-9)
        other = float(metric(ir, ir, vis, 255))
        assert float(metric(ir, vis, vis, 255, reduction='sum')) == pytest.approx(1 + other, abs=1e-9)


@pytest.mark.parametrize('options', [dict(), dict(window='uniform', dynamic_range=2), dict(padding='replicate')])
def test_gradients(draw, options):
    images = [x.requires_grad_() for x in draw(12, 13)]
    assert gradcheck(lambda *xs: fn.ssim(*xs, 255, **options), images, fast_mode=True)


def test_multi_scale_gradient(draw):
    images = [x.requires_grad_() for x in draw(161, 162)]
    assert gradcheck(lambda *xs: fn.ms_ssim(*xs, 255), images, fast_mode=True, atol=1e-7)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(window='box'), "unknown window 'box'; known: gaussian, uniform"),
        (dict(padding='zeros'), "unknown padding 'zeros'; known: valid, replicate"),
        (dict(reduction='max'), "unknown reduction 'max'; known: 'sum', 'mean'"),
    ],
)
def test_unknown_option(draw, options, message):
    with pytest.raises(ValueError, match=message):
        fn.ssim(*draw(12, 12), 255, **options)


def test_too_small(draw):
    with pytest.raises(ValueError, match='SSIM needs images of at least 11 x 11 pixels, got 12 x 10'):
        fn.ssim(*draw(12, 10), 255)
    with pytest.raises(ValueError, match='SSIM needs images of at least 7 x 7 pixels, got 6 x 12'):
        fn.ssim(*draw(6, 12), 255, window='uniform')
    with pytest.raises(ValueError, match='MS_SSIM needs images of at least 161 x 161 pixels, got 160 x 200'):
        fn.ms_ssim(*draw(160, 200), 255)
