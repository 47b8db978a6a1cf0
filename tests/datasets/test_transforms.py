import numpy as np
import pytest
import torch

from fusionkd.datasets import PackFusionInputs, PhotometricJitter, RandomCropPair, RandomFlipPair, SensorNoise
from fusionkd.datasets.transforms import replay


@pytest.fixture
def results():
    index = np.arange(12 * 16, dtype=np.uint8).reshape(12, 16)
    return dict(ir=index, vis=np.dstack([index] * 3), name='x', set_name='s')


def aligned(results):
    return np.array_equal(results['ir'], results['vis'][..., 0])


@pytest.mark.parametrize('size', [8, (12, 16), (5, 7)])
def test_crops_are_joint(results, size):
    np.random.seed(0)
    corners = set()
    for _ in range(30):
        out = RandomCropPair(size)(dict(results))
        expected = (size, size) if isinstance(size, int) else size
        assert out['ir'].shape == expected and aligned(out)
        corners.add(int(out['ir'][0, 0]))
    assert (len(corners) == 1) == (size == (12, 16))


def test_small_images_are_extended_by_reflection(results):
    out = RandomCropPair(20)(results)
    assert out['ir'].shape == (20, 20) and out['vis'].shape == (20, 20, 3) and aligned(out)
    assert np.array_equal(out['ir'][12], out['ir'][11])


@pytest.mark.parametrize(('size', 'shape'), [(32, (64, 96)), ((20, 36), (61, 83)), (32, (32, 47))])
def test_of_several_windows_the_one_with_the_most_edges_is_taken(monkeypatch, size, shape):
    rng = np.random.RandomState(0)
    ir, vis = rng.randint(0, 40, shape).astype(np.uint8), rng.randint(0, 40, (*shape, 3)).astype(np.uint8)
    vis[:, shape[1] // 2 :] = np.minimum(vis[:, shape[1] // 2 :] * 4, 255)  # texture on the right
    crop = RandomCropPair(size, candidates=5)
    height, width = crop.size

    def edges(y, x):
        """Of pixels whose right and lower neighbours are in the window, too; the border hardly counts."""
        total = 0
        for image in (ir, vis[..., 1]):
            pixels = image[-(-y // 4) * 4 : y + height : 4, -(-x // 4) * 4 : x + width : 4].astype(float)
            total += abs(np.diff(pixels, axis=0)).sum() + abs(np.diff(pixels, axis=1)).sum()
        return total

    np.random.seed(0)
    ranks, lefts = [], []
    for _ in range(60):
        corners = crop._corners(*shape)
        monkeypatch.setattr(crop, '_corners', lambda *_, corners=corners: corners)
        ((_, y, x, *taken),) = crop(dict(ir=ir, vis=vis))['geometry']
        monkeypatch.undo()
        assert taken == [height, width] and (y, x) in corners
        ranks.append(sum(edges(*other) > edges(y, x) for other in corners))
        lefts.append(x)
    assert np.mean(ranks) < 0.6, 'of 0 to 4; 2 if drawn'
    assert np.mean(lefts) > 0.58 * (shape[1] - width) and len(set(lefts)) > 8, 'still drawn'


def test_a_share_of_the_windows_is_drawn_freely():
    ir = np.zeros((40, 400), np.uint8)
    ir[:, 380:] = np.random.RandomState(0).randint(0, 255, (40, 20))  # all edges are on the right
    np.random.seed(0)

    def mean_left(**options):
        crop = RandomCropPair(40, candidates=8, **options)
        return np.mean([crop(dict(ir=ir, vis=ir))['geometry'][0][2] for _ in range(300)])

    free, half, chosen = mean_left(prob=0), mean_left(prob=0.5), mean_left()
    assert abs(free - 180) < 20 and chosen > 215 and free + 10 < half < chosen - 10
    with pytest.raises(ValueError, match=r'prob must be in \[0, 1\], got 1.5'):
        RandomCropPair(8, candidates=2, prob=1.5)


def test_one_candidate_draws_as_ever_and_none_is_refused(results):
    np.random.seed(3)
    expected = [np.random.randint(5), np.random.randint(9)]
    np.random.seed(3)
    assert RandomCropPair(8)(results)['geometry'] == (('crop', *expected, 8, 8),)
    with pytest.raises(ValueError, match='candidates must be at least 1, got 0'):
        RandomCropPair(8, candidates=0)


def test_a_small_image_has_candidates_too(results):
    out = RandomCropPair((20, 8), candidates=4)(results)
    assert out['ir'].shape == (20, 8) and aligned(out)


def test_flips_are_joint(results):
    out = RandomFlipPair(1, 1)(dict(results))
    assert aligned(out) and np.array_equal(out['ir'], results['ir'][::-1, ::-1])
    assert np.array_equal(RandomFlipPair(0, 0)(dict(results))['ir'], results['ir'])


def test_jitter_is_separate_bounded_and_keeps_type(results):
    np.random.seed(0)
    out = PhotometricJitter()(dict(results))
    assert out['ir'].dtype == out['vis'].dtype == np.uint8 and not aligned(out)
    bound = 0.2 * 191 + 0.05 * 255 + 1
    assert np.abs(out['ir'].astype(int) - results['ir']).max() <= bound
    half = dict(ir=np.full((2, 2), 0.5, np.float32), vis=np.full((2, 2), 0.5, np.float32))
    out = PhotometricJitter()(half)
    assert out['ir'].dtype == np.float32 and 0.3 < out['ir'][0, 0] < 0.7


def test_noise_has_the_promised_strength_and_is_separate():
    np.random.seed(0)
    torch.manual_seed(0)
    flat = np.full((64, 64), 100, np.uint8)
    runs = [SensorNoise(sigma=4, share=0.6)(dict(ir=flat, vis=np.dstack([flat] * 3))) for _ in range(200)]
    strength = np.array([[r['ir'].std(), r['vis'][..., 0].std()] for r in runs])
    assert runs[0]['ir'].dtype == np.uint8 and flat.std() == 0
    assert 0.5 < (strength > 0).mean() < 0.62  # a strength far below half a level is rounded away
    assert 3 < strength.max() < 4.3
    assert abs(np.corrcoef(strength.T)[0, 1]) < 0.25
    assert all(np.ptp(r['vis'].astype(int), axis=2).max() == 0 for r in runs), 'noise must have no colour'
    half = SensorNoise(share=1)(dict(ir=np.full((8, 8), 0.5, np.float32), vis=np.full((8, 8), 0.5, np.float32)))
    assert half['ir'].dtype == np.float32 and abs(half['ir'] - 0.5).max() < 0.1


def test_packing(results):
    out = PackFusionInputs()(results)
    assert out['inputs']['ir'].shape == (1, 12, 16) and out['inputs']['vis'].shape == (3, 12, 16)
    assert out['inputs']['ir'].dtype == torch.uint8
    assert out['data_samples'].metainfo == dict(name='x', set_name='s')


def test_geometry_is_written_down_and_can_be_replayed(results):
    np.random.seed(0)
    whole = results['ir'].copy()
    for size in (8, (20, 10), (12, 16)):
        out = RandomFlipPair(0.5, 0.5)(RandomFlipPair(0.5, 0.5)(RandomCropPair(size)(dict(results))))
        assert np.array_equal(replay(whole, out['geometry']), out['ir'])
        assert np.array_equal(replay(np.dstack([whole] * 3), out['geometry']), out['vis'])
        packed = PackFusionInputs()(out)
        assert packed['data_samples'].metainfo['geometry'] == out['geometry'] and 'geometry' not in results
    assert replay(whole) is whole
