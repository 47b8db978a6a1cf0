import pytest
import torch
import torch.nn.functional as F

from fusionkd.ops import filter_separable, gaussian_kernel1d, sobel


def test_even_gaussian_is_centred_at_half_its_size():
    kernel = gaussian_kernel1d(48, 1.5)
    assert kernel.index(max(kernel)) == 24 and sum(kernel) == pytest.approx(1)


@pytest.mark.parametrize('padding', ['valid', 'zeros', 'replicate', 'reflect'])
def test_equals_a_dense_convolution(padding):
    x = torch.rand(2, 3, 13, 17, dtype=torch.float64)
    ky, kx = torch.rand(5, dtype=torch.float64), torch.rand(7, dtype=torch.float64)
    padded = x
    if padding != 'valid':
        pad = (3, 3, 2, 2)
        padded = F.pad(x, pad) if padding == 'zeros' else F.pad(x, pad, mode=padding)
    dense = F.conv2d(padded, torch.outer(ky, kx).expand(3, 1, 5, 7), groups=3)
    assert torch.allclose(filter_separable(x, ky.tolist(), kx.tolist(), padding), dense, atol=1e-12)


def test_bad_arguments():
    x = torch.rand(1, 1, 4, 4)
    with pytest.raises(ValueError, match="unknown padding 'mirror'"):
        filter_separable(x, [1.0], padding='mirror')
    with pytest.raises(ValueError, match='smaller than the window of 5'):
        filter_separable(x, [0.2] * 5, padding='valid')
    with pytest.raises(ValueError, match='too small to reflect'):
        filter_separable(x, [0.1] * 9, padding='reflect')


def test_sobel_of_a_ramp_and_of_a_convolution():
    ramp = torch.arange(6.0).expand(1, 1, 5, 6)
    gx, gy = sobel(ramp)
    assert torch.equal(gx[..., 1:-1], torch.full((1, 1, 5, 4), 8.0)) and not gy.any()
    x = torch.rand(1, 1, 9, 9, dtype=torch.float64)
    k = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]], dtype=torch.float64).view(1, 1, 3, 3)
    for got, kernel in zip(sobel(x, 'zeros'), (k, k.transpose(2, 3)), strict=True):
        assert torch.allclose(got, F.conv2d(x, kernel, padding=1))
