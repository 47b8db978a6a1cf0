import math

import pytest
import torch
import torch.nn.functional as F

from fusionkd.models.losses import FrequencyLoss, LaplacianBandLoss
from fusionkd.ops import laplacian_pyramid


def test_without_focus_the_spectrum_has_the_energy_of_the_image():
    x, y = torch.rand(2, 2, 3, 15, 20)
    assert FrequencyLoss(alpha=0)(x, y).item() == pytest.approx(F.mse_loss(x, y).item(), rel=1e-5)


def test_focus_counts_frequencies_by_their_share_of_the_largest_error():
    t = torch.arange(16) * 2 * math.pi / 16
    strong, weak = torch.cos(2 * t), torch.cos(5 * t)
    fused = (strong + 0.5 * weak).expand(1, 1, 16, 16)
    # Energy of the two waves in the mean: 1/2 and 1/8; the weak one is weighed by its amplitude's share, 1/2.
    value = FrequencyLoss()(fused, torch.zeros_like(fused)).item()
    assert value == pytest.approx(1 / 2 + 1 / 2 * 1 / 8, rel=1e-4)
    assert FrequencyLoss(alpha=2)(fused, torch.zeros_like(fused)).item() == pytest.approx(1 / 2 + 1 / 32, rel=1e-4)
    with pytest.raises(ValueError, match='alpha must be at least 0'):
        FrequencyLoss(-1)


def test_bands_are_weighed_one_by_one():
    fused, target = torch.rand(2, 2, 1, 32, 40)
    bands = zip(laplacian_pyramid(fused, 2), laplacian_pyramid(target, 2), strict=True)
    means = [F.l1_loss(a, b).item() for a, b in bands]
    assert LaplacianBandLoss(2)(fused, target).item() == pytest.approx(sum(means), rel=1e-4)
    for i in range(3):
        weights = [3.0 if j == i else 0.0 for j in range(3)]
        assert LaplacianBandLoss(2, weights)(fused, target).item() == pytest.approx(3 * means[i], rel=1e-4)


def test_details_alone_leave_the_brightness_nearly_free():
    image = torch.rand(1, 1, 64, 64)
    details = LaplacianBandLoss(levels=3, weights=[1, 1, 1, 0])(image + 0.2, image)
    base = LaplacianBandLoss(levels=3, weights=[0, 0, 0, 1])(image + 0.2, image)
    # not quite: the published pyramid pads with zeros, and its kernel passes some of a constant on
    assert base > 0.17 and details < 0.4 * base


@pytest.mark.parametrize('weights', [[1, 1], [1, -1, 1], [0, 0, 0]])
def test_weights_must_fit(weights):
    with pytest.raises(ValueError, match='2 levels need 3 weights'):
        LaplacianBandLoss(2, weights)
