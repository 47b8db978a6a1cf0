"""Gray images are those of the libraries that the public implementations read images with, pixel by pixel."""

import cv2
import numpy as np
import pytest
import torch

from fusionkd.evaluation.images import GRAY_METHODS, quantise, to_gray


@pytest.fixture(scope='module')
def colours():
    """Random colours, grays, and colours whose weighted sum is a whole number or half of one: ``(H, W, 3)``."""
    rng = np.random.default_rng(0)
    random = rng.integers(0, 256, (200_000, 3))
    gray = np.repeat(np.arange(256), 3).reshape(-1, 3)
    halves = random[(random @ [299, 587, 114]) % 500 == 0]
    assert len(halves) > 100
    return np.concatenate([random, gray, halves]).astype(np.uint8)[:, None]


def ours(colours, method):
    image = torch.from_numpy(colours.transpose(2, 0, 1).copy())[None]
    return to_gray(image, method)[0, 0].numpy()


def test_exact(colours):
    sums = colours.astype(np.int64) @ [299, 587, 114]
    np.testing.assert_array_equal(ours(colours, 'exact'), (sums + 500) // 1000)


def test_opencv_on_floating_images(colours):
    bgr = colours[..., ::-1].astype(np.float32)
    expected = np.round(cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY))
    np.testing.assert_array_equal(ours(colours, 'opencv'), expected)


def test_pillow(colours):
    image = pytest.importorskip('PIL.Image')
    np.testing.assert_array_equal(ours(colours, 'pillow'), np.asarray(image.fromarray(colours).convert('L')))


def test_matlab_has_the_weights_of_its_own_matrix(colours):
    weights = np.linalg.inv([[1, 0.956, 0.621], [1, -0.272, -0.647], [1, -1.106, 1.703]])[0]
    np.testing.assert_array_equal(ours(colours, 'matlab'), np.floor(colours @ weights + 0.5))


def test_truncation(colours):
    expected = (colours.astype(np.float64) @ [0.2989, 0.5870, 0.1140]).astype(np.uint8)
    different = ours(colours, 'truncate') != expected
    # Whole sums come out as themselves or just below, as numpy's build has it.
    assert not different[(colours.astype(np.int64) @ [2989, 5870, 1140]) % 10000 != 0].any()


def test_truncation_of_floating_images_keeps_their_precision():
    image = torch.rand(1, 3, 20, 20) * 255
    expected = (0.2989 * image[:, 0] + 0.5870 * image[:, 1] + 0.1140 * image[:, 2]).floor()
    assert torch.equal(to_gray(image, 'truncate')[:, 0], expected.to(torch.uint8))


@pytest.mark.parametrize('method', GRAY_METHODS)
def test_one_channel_stays_as_it_is(method):
    whole = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    assert torch.equal(to_gray(whole, method), whole)
    assert torch.equal(to_gray(whole.float() / 3, method), (whole.float() / 3).double())


def test_methods_differ(colours):
    results = [ours(colours, method) for method in GRAY_METHODS]
    for i, one in enumerate(results):
        for other in results[i + 1 :]:
            assert (one != other).any() and (np.abs(one.astype(int) - other) <= 1).all()


def test_rounding_is_not_truncation():
    levels = torch.tensor([0.49, 0.51, 254.4, 254.6, 1.5, 2.5])
    assert quantise(levels).tolist() == [0, 1, 254, 255, 2, 2]
