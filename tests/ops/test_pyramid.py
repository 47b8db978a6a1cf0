import pytest
import torch

from fusionkd.ops import blend_pyramids, gaussian_downsample, gaussian_upsample, laplacian_pyramid, reconstruct

SIZES = [(64, 96), (37, 51), (16, 16)]


@pytest.mark.parametrize('size', SIZES)
def test_reconstruction_is_exact(size):
    x = torch.rand(2, 3, *size, dtype=torch.float64)
    bands = laplacian_pyramid(x, 4)
    assert len(bands) == 5
    assert torch.allclose(reconstruct(bands), x, atol=1e-12)


def test_down_then_up_keeps_a_constant_on_average():
    """The published filter weighs even and odd pixels a little differently; each 2 x 2 block keeps its mean."""
    up = gaussian_upsample(gaussian_downsample(torch.ones(1, 1, 32, 32)), (32, 32))[..., 4:-4, 4:-4]
    assert torch.allclose(torch.nn.functional.avg_pool2d(up, 2), torch.ones(1, 1, 12, 12), atol=1e-5)


@pytest.mark.parametrize('size', SIZES)
def test_blending_equals_fusing_both_pyramids(size):
    """One pyramid of the difference is the published fusion of two pyramids."""
    ir, vis, weight = (torch.rand(2, 1, *size, dtype=torch.float64) for _ in range(3))
    levels = 3
    fused = []
    for a, b in zip(laplacian_pyramid(ir, levels), laplacian_pyramid(vis, levels), strict=True):
        w = torch.nn.functional.interpolate(weight, size=a.shape[-2:], mode='bilinear', align_corners=False)
        fused.append(w * a + (1 - w) * b)
    assert torch.allclose(blend_pyramids(ir, vis, weight, levels), reconstruct(fused), atol=1e-12)


def test_uniform_weights_are_a_plain_blend():
    ir, vis = torch.rand(1, 1, 40, 56), torch.rand(1, 1, 40, 56)
    for w in (0.0, 0.3, 1.0):
        out = blend_pyramids(ir, vis, torch.full((1, 1, 10, 14), w))
        assert torch.allclose(out, w * ir + (1 - w) * vis, atol=1e-5)


def test_one_map_per_level_and_their_number():
    ir, vis = torch.rand(1, 1, 32, 32), torch.rand(1, 1, 32, 32)
    maps = [torch.ones(1, 1, 8, 8)] * 2 + [torch.zeros(1, 1, 8, 8)]
    bands = zip(laplacian_pyramid(ir, 2), laplacian_pyramid(vis, 2), strict=True)
    expected = reconstruct([(a, a, b)[i] if i < 2 else b for i, (a, b) in enumerate(bands)])
    assert torch.allclose(blend_pyramids(ir, vis, maps, 2), expected, atol=1e-6)
    with pytest.raises(ValueError, match='2 levels need 1 or 3 weight maps, got 2'):
        blend_pyramids(ir, vis, maps[:2], 2)
