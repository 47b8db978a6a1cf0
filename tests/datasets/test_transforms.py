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
