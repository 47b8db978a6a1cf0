"""SeAFusion, the published fusion network that serves as a teacher."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fusionkd.registry import MODELS

from .base import BaseFuser


def _conv(in_channels: int, out_channels: int, kernel_size: int) -> nn.Module:
    """A convolution under the name ``conv``, as in the published weight file."""
    module = nn.Module()
    module.conv = nn.Conv2d(in_channels, out_channels, kernel_size, padding=kernel_size // 2)
    return module


class _DenseBlock(nn.Module):
    """Two 3 x 3 convolutions, each concatenated to its input: C to 3C channels."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv1 = _conv(channels, channels, 3)
        self.conv2 = _conv(2 * channels, channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.cat([x, F.leaky_relu(self.conv1.conv(x), 0.2)], dim=1)
        return torch.cat([x, F.leaky_relu(self.conv2.conv(x), 0.2)], dim=1)


class _Sobel(nn.Module):
    """``|d/dx| + |d/dy|`` of every channel; the kernels are learnable and part of the published weights."""

    def __init__(self, channels: int):
        super().__init__()
        kernel = torch.tensor([[1.0, 0.0, -1.0], [2.0, 0.0, -2.0], [1.0, 0.0, -1.0]])
        self.convx = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        self.convy = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        self.convx.weight.data = kernel.expand(channels, 1, 3, 3).clone()
        self.convy.weight.data = kernel.t().expand(channels, 1, 3, 3).clone()

    def forward(self, x: Tensor) -> Tensor:
        return self.convx(x).abs() + self.convy(x).abs()


class _GradientResidualDenseBlock(nn.Module):
    """Dense features plus gradient features, both projected to ``out_channels``."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.dense = _DenseBlock(in_channels)
        self.convdown = _conv(3 * in_channels, out_channels, 1)
        self.sobelconv = _Sobel(in_channels)
        self.convup = _conv(in_channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(self.convdown.conv(self.dense(x)) + self.convup.conv(self.sobelconv(x)), 0.1)


def _decoder(in_channels: int, out_channels: int) -> nn.Module:
    module = _conv(in_channels, out_channels, 3)
    # In the published file and counted in its 166,883 parameters, but never part of the forward pass.
    module.bn = nn.BatchNorm2d(out_channels)
    return module


@MODELS.register_module()
class SeAFusion(BaseFuser):
    """SeAFusion (Tang, Yuan, Ma, Information Fusion 2022): 166,883 parameters.

    Two equal branches of gradient-residual dense blocks and a plain convolutional decoder. The names of all layers are
    those of the published weights, which load strictly: ``init_cfg=dict(type='Pretrained', checkpoint='seafusion')``.

    Args:
        init_cfg: see :class:`BaseFuser`.
    """

    def __init__(self, init_cfg: dict | None = None):
        super().__init__(init_cfg)
        for branch in ('vis', 'inf'):
            self.add_module(f'{branch}_conv', _conv(1, 16, 3))
            self.add_module(f'{branch}_rgbd1', _GradientResidualDenseBlock(16, 32))
            self.add_module(f'{branch}_rgbd2', _GradientResidualDenseBlock(32, 48))
        self.decode4 = _decoder(96, 64)
        self.decode3 = _decoder(64, 32)
        self.decode2 = _decoder(32, 16)
        self.decode1 = _decoder(16, 1)

    def forward(self, ir: Tensor, vis: Tensor) -> Tensor:
        """Fused luma, ``(N, 1, H, W)`` in (0, 1), of ``ir`` and ``vis``, ``(N, 1, H, W)`` in [0, 1]."""
        x = torch.cat([self._branch('vis', vis), self._branch('inf', ir)], dim=1)
        for layer in (self.decode4, self.decode3, self.decode2):
            x = F.leaky_relu(layer.conv(x), 0.2)
        return torch.tanh(self.decode1.conv(x)) / 2 + 0.5

    def _branch(self, name: str, x: Tensor) -> Tensor:
        x = F.leaky_relu(getattr(self, f'{name}_conv').conv(x), 0.2)
        return getattr(self, f'{name}_rgbd2')(getattr(self, f'{name}_rgbd1')(x))
