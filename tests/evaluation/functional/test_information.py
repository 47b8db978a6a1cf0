import math

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck

from fusionkd.evaluation import functional as fn


def flat(image):
    return image.round().long().flatten().tolist()


def test_entropy_is_that_of_skimage(draw):
    measure = pytest.importorskip('skimage.measure')
    *_, fused = draw(20, 24, whole=True)
    assert float(fn.en(fused, 255)) == pytest.approx(measure.shannon_entropy(fused.numpy()), abs=1e-12)


def test_entropy_offset_is_inside_the_logarithm():
    image = torch.tensor([0.0, 0, 0, 255]).view(1, 1, 2, 2)
    expected = -0.75 * math.log2(0.75 + 1e-7) - 0.25 * math.log2(0.25 + 1e-7)
    assert float(fn.en(image, 255, offset=1e-7)) == pytest.approx(expected, abs=1e-14)


def test_mutual_information_is_that_of_sklearn(draw):
    cluster = pytest.importorskip('sklearn.metrics')
    images = ir, vis, fused = draw(30, 26, whole=True)
    expected = sum(cluster.mutual_info_score(flat(s), flat(fused)) for s in (ir, vis))
    assert float(fn.mi(*images, 255)) == pytest.approx(expected, abs=1e-12)
    assert float(fn.mi(*images, 255, unit='bits')) == pytest.approx(expected / math.log(2), abs=1e-12)
    expected = sum(cluster.normalized_mutual_info_score(flat(s), flat(fused)) for s in (ir, vis))
    assert float(fn.nmi(*images, 255)) == pytest.approx(expected, abs=1e-12)


def test_saturation_merges_two_levels_in_the_joint_histogram_only():
    source = torch.tensor([253.0, 254, 255, 255]).view(1, 1, 2, 2)
    # Merged, the joint histogram has a pair of three and a single one; the marginal ones keep 1, 1, 2.
    of_one, of_both = 1.5, 2 - 0.75 * math.log2(3)
    assert float(fn.mi(source, source, source, 255, 'bits', saturate=True)) == pytest.approx(2 * (2 * of_one - of_both))
    assert float(fn.mi(source, source, source, 255, 'bits')) == pytest.approx(2 * of_one)


def test_cross_entropy_skips_levels_that_the_fused_image_lacks():
    source, fused = torch.tensor([[0.0, 0, 1, 2]]), torch.tensor([[0.0, 1, 1, 1]])
    images = [x.view(1, 1, 2, 2) for x in (source, source, fused)]
    assert float(fn.ce(*images, 255)) == pytest.approx(0.5 * math.log2(0.5 / 0.25) + 0.25 * math.log2(0.25 / 0.75))


def window_nmi(x, y):
    """One window of FMI in the words of its paper: a joint distribution between two margins with their correlation."""
    if (x == y).all():
        return 1.0
    p, q = ((z - z.min()) / np.ptp(z) if np.ptp(z) else np.ones(9) for z in (x, y))
    p, q = p / p.sum(), q / q.sum()
    both, k = np.outer(p, q), np.arange(1, 10)
    c = np.corrcoef(p, q)[0, 1] if p.std() and q.std() else 0.0
    if c:
        below = np.add.outer(p.cumsum(), q.cumsum()) - 1
        bound = np.minimum.outer(p.cumsum(), q.cumsum()) if c > 0 else np.maximum(below, 0)
        bound = np.diff(np.diff(np.pad(bound, ((1, 0), (1, 0))), axis=0), axis=1)
        spread = [math.sqrt((z * k**2).sum() - (z * k).sum() ** 2) for z in (p, q)]
        share = c / ((k @ bound @ k - (p @ k) * (q @ k)) / (spread[0] * spread[1]))
        both = share * bound + (1 - share) * both

    def entropy(z):
        z = z[np.abs(z) > 1e-15]
        return -(z * np.log2(np.abs(z))).sum()

    margins = entropy(p) + entropy(q)
    return 2 * (margins - entropy(both)) / margins


@pytest.mark.parametrize('feature', ['pixel', 'gradient'])
def test_feature_information_window_by_window(draw, feature):
    images = draw(7, 9)
    arrays = [x[0, 0].numpy() for x in images]
    if feature == 'gradient':
        arrays = [np.gradient(x, axis=1) for x in arrays]
    windows = [np.lib.stride_tricks.sliding_window_view(x, (3, 3)).reshape(-1, 3, 3) for x in arrays]
    windows = [w.transpose(0, 2, 1).reshape(-1, 9) for w in windows]
    expected = np.mean([[window_nmi(s, f) for s, f in zip(source, windows[2], strict=True)] for source in windows[:2]])
    assert float(fn.fmi(*images, 255, feature=feature)) == pytest.approx(expected, abs=1e-9)


def test_soft_histogram_of_whole_levels_is_the_hard_one(draw):
    images = draw(12, 14, count=2, whole=True)
    torch.testing.assert_close(fn.soft_mi(*images, 255), fn.mi(*images, 255), rtol=0, atol=1e-10)


@pytest.mark.parametrize('bins', [8, 33])
def test_soft_histogram_gradient(draw, bins):
    images = [x.requires_grad_() for x in draw(5, 6)]
    assert gradcheck(lambda *xs: fn.soft_mi(*xs, 255, bins=bins), images)


def test_soft_histogram_gradient_points_to_the_sources(draw):
    ir, vis, fused = draw(24, 24)
    fused.requires_grad_()
    before = fn.soft_mi(ir, vis, fused, 255, bins=16).sum()
    before.backward()
    step = 2 * fused.grad / fused.grad.abs().max()
    assert float(fn.soft_mi(ir, vis, fused.detach() + step, 255, bins=16)) > before.item() + 1e-3


@pytest.mark.parametrize(
    ('call', 'message'),
    [
        (lambda x: fn.mi(x, x, x, 255, unit='bit'), "unknown unit 'bit'; known: nats, bits"),
        (lambda x: fn.soft_mi(x, x, x, 255, bins=1), 'at least 2 bins, got 1'),
        (lambda x: fn.fmi(x, x, x, 255, feature='edge'), "unknown feature 'edge'"),
        (lambda x: fn.fmi(*3 * [x[..., :2]], 255), 'FMI needs images of at least 3 x 3 pixels, got 8 x 2'),
    ],
)
def test_bad_options(draw, call, message):
    with pytest.raises(ValueError, match=message):
        call(draw(8, 8)[0])
