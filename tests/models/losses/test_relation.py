import pytest
import torch

from fusionkd.models.losses import RelationalLoss, SimilarityLoss


@pytest.mark.parametrize('loss', [SimilarityLoss(grid=4), RelationalLoss(grid=4)])
def test_equal_features_cost_nothing_at_any_number_of_channels_and_scale(loss):
    feat = torch.randn(4, 3, 8, 8)
    assert loss(3 * feat, feat).item() == pytest.approx(0, abs=1e-7)
    assert loss(feat.repeat(1, 2, 1, 1), feat).item() == pytest.approx(0, abs=1e-7)
    assert loss(torch.randn(4, 5, 16, 16), feat) > 0


@pytest.mark.parametrize(('loss', 'least'), [(SimilarityLoss(), 2), (RelationalLoss(), 3)])
@pytest.mark.parametrize('n', [1, 2, 3, 5])
def test_gradients_are_finite_at_any_number_of_samples(loss, least, n):
    feat_s, feat_t = torch.randn(n, 3, 8, 8, requires_grad=True), torch.randn(n, 5, 8, 8)
    loss(feat_s, feat_t).backward()
    assert feat_s.grad.isfinite().all() and feat_s.grad.any() == (n >= least)
    same = torch.ones(n, 3, 8, 8, requires_grad=True)
    loss(same, feat_t).backward()
    assert same.grad.isfinite().all()


def vectors(*rows):
    return torch.tensor(rows, dtype=torch.float32)[:, :, None, None]


def test_similarity_has_the_published_value():
    alike, apart = vectors([1, 0], [1, 0]), vectors([1, 0], [0, 1])
    # Rows of the Gram matrices, at unit length: (1, 1) / sqrt 2 against (1, 0) and (0, 1).
    expected = 2 * ((1 - 0.5**0.5) ** 2 + 0.5) / 4
    assert SimilarityLoss(grid=1)(alike, apart).item() == pytest.approx(expected, rel=1e-5)


def test_distances_and_angles_have_the_published_values():
    even = vectors([0, 0], [1, 0], [0.5, 0.75**0.5])  # all distances 1, all angles 60 degrees
    line = vectors([0, 0], [1, 0], [3, 0])  # distances 1, 2, 3 of mean 2; angles 0, 180, 0 degrees
    distance = 0.5 * (0.5**2 + 0 + 0.5**2) / 3
    assert RelationalLoss(1, 0, grid=1)(even, line).item() == pytest.approx(distance, rel=1e-4)
    # of the 27 triplets, 6 are angles between different samples; Huber's loss is linear beyond 1
    angle = (4 * 0.5 * 0.5**2 + 2 * (1.5 - 0.5)) / 27
    assert RelationalLoss(0, 1, grid=1)(even, line).item() == pytest.approx(angle, rel=1e-4)
    with pytest.raises(ValueError, match='one above'):
        RelationalLoss(0, 0)
