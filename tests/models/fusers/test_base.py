import pytest
import torch

from fusionkd.models.fusers import BaseFuser
from fusionkd.models.fusers.base import pad_to_divisor
from fusionkd.ops import luma, rgb_to_ycbcr


class Maximum(BaseFuser):
    divisor = 8

    def forward(self, ir, vis):
        assert ir.shape[-2] % 8 == 0 and ir.shape[-1] % 8 == 0
        return torch.maximum(ir, vis)


@pytest.mark.parametrize('size', [(8, 8), (13, 9), (1, 1), (3, 50), (100, 7)])
def test_every_size_comes_back_as_it_was(size):
    ir, vis = torch.rand(2, 1, *size), torch.rand(2, 1, *size)
    assert torch.equal(Maximum().predict(ir, vis), torch.maximum(ir, vis))


def test_padding_reflects():
    x = torch.arange(3.0).view(1, 1, 1, 3)
    assert pad_to_divisor(x, 4)[0, 0, 0].tolist() == [0, 1, 2, 1]
    assert pad_to_divisor(torch.ones(1, 1, 8, 16), 8).shape == (1, 1, 8, 16)


def test_colour_keeps_its_chroma(pair):
    ir, vis = pair[0] * 0.2 + 0.4, pair[1] * 0.2 + 0.4  # far from clipping
    fused = Maximum().predict(ir, vis)
    assert fused.shape == vis.shape
    assert torch.allclose(rgb_to_ycbcr(fused)[:, 1:], rgb_to_ycbcr(vis)[:, 1:], atol=1e-5)
    assert torch.allclose(luma(fused), torch.maximum(ir, luma(vis)), atol=1e-5)


def test_single_image_and_gray_in_three_channels():
    ir, vis = torch.rand(1, 10, 12), torch.rand(1, 10, 12)
    fused = Maximum().predict(ir.expand(3, -1, -1), vis)
    assert fused.shape == (1, 10, 12) and torch.allclose(fused, torch.maximum(ir, vis), atol=1e-6)


def test_prediction_leaves_the_mode_and_needs_no_gradient():
    fuser = Maximum().train()
    fuser.predict(torch.rand(1, 1, 8, 8), torch.rand(1, 1, 8, 8))
    assert fuser.training


GOOD = torch.rand(1, 1, 8, 8)


@pytest.mark.parametrize(
    ('ir', 'vis', 'message'),
    [
        (GOOD, torch.rand(1, 1, 8, 9), r'differ in size.*8, 8.*8, 9'),
        (GOOD, torch.rand(1, 2, 8, 8), r'vis must have 1 or 3 channels, got 2'),
        (GOOD * float('nan'), GOOD, 'ir holds NaN'),
        (GOOD, GOOD * 255, r'vis must be in \[0, 1\]'),
        ((GOOD * 255).byte(), GOOD, 'ir must be float.*uint8'),
        (GOOD[0, 0], GOOD[0, 0], r'\(C, H, W\) or \(N, C, H, W\)'),
    ],
)
def test_bad_input_is_explained(ir, vis, message):
    with pytest.raises(ValueError, match=message):
        Maximum().predict(ir, vis)


def test_wrong_output_of_a_custom_fuser_is_explained():
    class Wrong(BaseFuser):
        def forward(self, ir, vis):
            return torch.cat([ir, vis], dim=1)

    with pytest.raises(ValueError, match=r'Wrong\.forward returned shape \(1, 2, 8, 8\)'):
        Wrong().predict(GOOD, GOOD)
    with pytest.raises(NotImplementedError, match='BaseFuser must implement forward'):
        BaseFuser().fuse(GOOD, GOOD)
