import pytest
import torch

from fusionkd.ops import luma, merge_ycbcr, rgb_to_ycbcr, split_ycbcr, ycbcr_to_rgb


def test_known_values_of_full_range_bt601():
    red = torch.tensor([1.0, 0.0, 0.0]).view(3, 1, 1)
    assert rgb_to_ycbcr(red).flatten().tolist() == pytest.approx([0.299, -0.168736, 0.5], abs=1e-6)
    blue = torch.tensor([0.0, 0.0, 1.0]).view(3, 1, 1)
    assert rgb_to_ycbcr(blue).flatten().tolist() == pytest.approx([0.114, 0.5, -0.081312], abs=1e-6)


def test_split_and_merge_undo_each_other():
    rgb = torch.rand(2, 3, 5, 7, dtype=torch.float64)
    assert torch.allclose(ycbcr_to_rgb(rgb_to_ycbcr(rgb)), rgb, atol=1e-12)
    assert torch.allclose(merge_ycbcr(*split_ycbcr(rgb)), rgb, atol=1e-12)
    gray = torch.rand(2, 1, 5, 7)
    y, cbcr = split_ycbcr(gray)
    assert cbcr is None and torch.equal(merge_ycbcr(y, cbcr), gray)


def test_luma_of_gray_is_gray_and_of_equal_channels_the_channel():
    gray = torch.rand(1, 1, 4, 4)
    assert torch.equal(luma(gray), gray)
    assert torch.allclose(luma(gray.expand(1, 3, 4, 4)), gray, atol=1e-6)
    with pytest.raises(ValueError, match='2'):
        luma(torch.rand(1, 2, 4, 4))
