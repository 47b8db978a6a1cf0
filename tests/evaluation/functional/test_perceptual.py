"""Qcv and Qcb against numpy, with centred spectra and two-dimensional filters."""

import numpy as np
import pytest
import torch

from fusionkd.evaluation import functional as fn


def stretch(x):
    return np.floor((x - x.min()) / np.ptp(x) * 255 + 0.5)


def in_spectrum(x, response):
    """Filter with a response given over cycles per image, zero in the middle."""
    height, width = x.shape
    v, u = (np.arange(n) - n // 2 for n in (height, width))
    spectrum = np.fft.fftshift(np.fft.fft2(x)) * response(*np.meshgrid(2 * v / height, 2 * u / width, indexing='ij'))
    return np.fft.ifft2(np.fft.ifftshift(spectrum)).real


def qcv_by_region(ir, vis, fused):
    convolve2d = pytest.importorskip('scipy.signal').convolve2d
    ir, vis, fused = (stretch(x) for x in (ir, vis, fused))
    height, width = fused.shape

    def sensitivity(v, u):
        r = np.hypot(v * height / 8, u * width / 8)
        return 2.6 * (0.0192 + 0.144 * r) * np.exp(-((0.144 * r) ** 1.1))

    above = below = 0.0
    kernel = np.outer([1, 2, 1], [1, 0, -1])
    for source in (ir, vis):
        strength = np.hypot(convolve2d(source, kernel, mode='same'), convolve2d(source, kernel.T, mode='same'))
        difference = in_spectrum(source - fused, sensitivity)
        for top in range(0, height, 16):
            for left in range(0, width, 16):
                region = np.s_[top : top + 16, left : left + 16]
                saliency = (strength[region] ** 5).sum()
                above += saliency * (difference[region] ** 2).sum() / 256
                below += saliency
    return above / below


def qcb_by_pixel(ir, vis, fused):
    convolve2d = pytest.importorskip('scipy.signal').convolve2d
    height, width = fused.shape

    def sensitivity(v, u):
        r = np.hypot(v * height / 30, u * width / 30)
        return np.exp(-((r / 15.3870) ** 2)) - 0.7622 * np.exp(-((r / 1.3456) ** 2))

    def contrast(x):
        x = in_spectrum(stretch(x), sensitivity)
        y = np.arange(-15, 16)
        means = []
        for sigma in (2, 4):
            window = np.exp(-(y[:, None] ** 2 + y**2) / (2 * sigma**2)) / (2 * np.pi * sigma**2)
            means.append(convolve2d(x, window, mode='same'))
        c = np.abs(means[0] / means[1] - 1)
        return c**3 / (c**2 + 1e-4)

    a, b, f = (contrast(x) for x in (ir, vis, fused))
    kept = [np.minimum(s, f) / np.maximum(s, f) for s in (a, b)]
    return ((a**2 * kept[0] + b**2 * kept[1]) / (a**2 + b**2)).mean()


@pytest.mark.parametrize('size', [(32, 48), (35, 41)])
@pytest.mark.parametrize(('metric', 'oracle'), [(fn.qcv, qcv_by_region), (fn.qcb, qcb_by_pixel)])
def test_same_as_numpy(draw, metric, oracle, size):
    images = draw(*size)
    expected = oracle(*(x[0, 0].numpy() for x in images))
    assert float(metric(*images, 255)) == pytest.approx(expected, rel=1e-9)


def test_identical_and_constant_images(draw):
    ir, vis, fused = draw(32, 32)
    flat = torch.full_like(ir, 90.0)
    assert float(fn.qcv(ir, ir, ir, 255)) == 0 and float(fn.qcb(ir, ir, ir, 255)) == pytest.approx(1, abs=1e-12)
    assert fn.qcv(ir, vis, flat, 255).isnan().all() and fn.qcb(ir, vis, flat, 255).isnan().all()
    assert fn.qcb(flat, vis, fused, 255).isnan().all() and fn.qcb(ir, vis, 0 * fused, 255).isnan().all()
    assert float(fn.qcv(ir, vis, 0 * fused, 255)) > 0  # black is left as it is
    assert fn.qcv(0 * ir, 0 * vis, fused, 255).isnan().all()
