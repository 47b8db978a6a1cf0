"""Qabf and Nabf against loops over pixels, written from their papers."""

import math

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck

from fusionkd.evaluation import functional as fn


def sobel(image, mode):
    """Differences along x and y of every pixel, as nested lists."""
    x = np.pad(image, 1, mode=mode)
    height, width = image.shape
    out = []
    for i in range(height):
        for j in range(width):
            p = x[i : i + 3, j : j + 3]
            # Opposite pixels are subtracted first: what a mirrored border makes equal then cancels exactly.
            dx = p[0, 2] - p[0, 0] + 2 * (p[1, 2] - p[1, 0]) + (p[2, 2] - p[2, 0])
            dy = p[2, 0] - p[0, 0] + 2 * (p[2, 1] - p[0, 1]) + (p[2, 2] - p[0, 2])
            out.append((dx, dy))
    return out


def sigmoid(x, slope, middle):
    return 1 / (1 + math.exp(-slope * (x - middle)))


def qabf_by_pixel(ir, vis, fused):
    above = below = 0.0
    for source in (ir, vis):
        for (sx, sy), (fx, fy) in zip(sobel(source, 'constant'), sobel(fused, 'constant'), strict=True):
            gs, gf = math.hypot(sx, sy), math.hypot(fx, fy)
            angle_s, angle_f = (math.atan(y / x) if x else -math.pi / 2 for x, y in ((sx, sy), (fx, fy)))
            g = gf if gs == gf else min(gs, gf) / max(gs, gf)
            a = 1 - abs(angle_s - angle_f) / (math.pi / 2)
            above += gs * 0.9994 * sigmoid(g, 15, 0.5) * 0.9879 * sigmoid(a, 22, 0.8)
            below += gs
    return above / below


def nabf_by_pixel(ir, vis, fused, floor=1e-3):
    edges = [sobel(x / 8, 'reflect') for x in (ir, vis, fused)]
    above = below = 0.0
    for pixel in zip(*edges, strict=True):
        *sources, own = [(math.hypot(x, y), math.atan(y / x) if x else math.pi / 2) for x, y in pixel]
        artefact = all(own[0] > strength for strength, _ in sources)
        for strength, angle in sources:
            g = min(strength, own[0]) / max(strength, own[0]) if strength and own[0] else 0
            a = abs(abs(angle - own[1]) - math.pi / 2) * 2 / math.pi
            q = math.sqrt(0.9999 * sigmoid(g, 19, 0.5) * 0.9995 * sigmoid(a, 22, 0.5))
            weight = strength**1.5 if strength >= 2 else floor
            above += artefact * (1 - q) * weight
            below += weight
    return above / below if below else math.nan


SIZES = [(2, 2), (2, 9), (3, 3), (13, 17)]


@pytest.mark.parametrize('size', SIZES)
@pytest.mark.parametrize('whole', [True, False])
def test_qabf_by_pixel(draw, size, whole):
    images = draw(*size, whole=whole)
    arrays = [x[0, 0].numpy() for x in images]
    assert float(fn.qabf(*images, 255)) == pytest.approx(qabf_by_pixel(*arrays), abs=1e-12)


@pytest.mark.parametrize('size', SIZES)
@pytest.mark.parametrize('floor', [1e-3, 0.0])
def test_nabf_by_pixel(draw, size, floor):
    ir, vis, fused = draw(*size)
    fused = (fused + 30 * torch.rand_like(fused)).clamp(0, 255)
    arrays = [x[0, 0].numpy() for x in (ir, vis, fused)]
    expected = nabf_by_pixel(*arrays, floor)
    assert float(fn.nabf(ir, vis, fused, 255, floor=floor)) == pytest.approx(expected, abs=1e-12, nan_ok=True)
    assert size != (13, 17) or expected > 1e-3


def test_many_strips(draw):
    """Tall enough for several strips of rows; the loops know of none."""
    images = draw(300, 24)
    arrays = [x[0, 0].numpy() for x in images]
    assert float(fn.qabf(*images, 255)) == pytest.approx(qabf_by_pixel(*arrays), abs=1e-11)
    assert float(fn.nabf(*images, 255)) == pytest.approx(nabf_by_pixel(*arrays), abs=1e-11)


def test_equally_strong_faint_edges_count_with_their_strength():
    """The published quirk: where both edges are equally strong, their strength stands in for the ratio."""
    square = torch.zeros(1, 1, 40, 40, dtype=torch.float64)
    square[..., 10:30, 10:30] = 1 / 8  # strengths up to 0.5 instead of a ratio of 1, and none at the border
    score = float(fn.qabf(square, square, square, 255))
    assert score == pytest.approx(qabf_by_pixel(*3 * [square[0, 0].numpy()]), abs=1e-12)
    assert score < 0.55
    assert float(fn.qabf(*3 * [80 * square], 255)) > 0.97


def test_known_values(draw):
    ir, vis, fused = draw(24, 20)
    flat = torch.full_like(ir, 90.0)
    best = 0.9994 * sigmoid(2, 15, 0.5) * 0.9879 * sigmoid(1, 22, 0.8)  # at least: equal edges of 2 and more
    assert best - 1e-3 < float(fn.qabf(ir, ir, ir, 255)) < 0.9994 * 0.9879
    assert fn.qabf(0 * ir, 0 * ir, fused, 255).isnan().all()
    assert (
        float(fn.nabf(ir, vis, ir, 255)) == float(fn.nabf(ir, vis, vis, 255)) == float(fn.nabf(ir, vis, flat, 255)) == 0
    )
    assert fn.nabf(flat, flat, fused, 255, floor=0).isnan().all()
    assert float(fn.nabf(flat, flat, fused, 255)) > 0.9


def test_gradients(draw):
    images = [x.requires_grad_() for x in draw(7, 8)]
    assert gradcheck(lambda *xs: fn.qabf(*xs, 255), images)
    ir, vis, fused = images
    fused = (fused.detach() + 30 * torch.rand_like(fused)).requires_grad_()
    assert gradcheck(lambda x: fn.nabf(ir.detach(), vis.detach(), x, 255), fused)


@pytest.mark.parametrize('metric', [fn.qabf, fn.nabf])
def test_gradient_of_flat_regions_is_finite(draw, metric):
    images = draw(16, 16)
    for image in images:
        image[..., :9] = 80
        image.requires_grad_()
    metric(*images, 255).sum().backward()
    assert all(x.grad.isfinite().all() for x in images) and images[2].grad.any()
