"""LDLite, paper A's student, and the L1 pruning that makes it small."""

import torch
from torch import Tensor, nn

from fusionkd.registry import MODELS

from .base import BaseFuser


class _ChannelLayerNorm(nn.Module):
    """Layer norm over (C, H, W) with a gain and an offset per channel; eps is added to the standard deviation."""

    def __init__(self, channels: int, eps: float = 1e-5):
        super().__init__()
        self.eps = eps
        self.gamma = nn.Parameter(torch.rand(channels))
        self.beta = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        std, mean = torch.std_mean(x, dim=(1, 2, 3), keepdim=True)  # Bessel's correction is the default
        return (x - mean) / (std + self.eps) * self.gamma.view(1, -1, 1, 1) + self.beta.view(1, -1, 1, 1)


class _ResidualBlock(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.block = nn.Sequential(
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3),
            nn.InstanceNorm2d(channels),
            nn.ReLU(),
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3),
            nn.InstanceNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.block(x)


class _ContentEncoder(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        layers = [nn.ReflectionPad2d(3), nn.Conv2d(1, width, 7), nn.InstanceNorm2d(width), nn.ReLU()]
        for i in range(3):
            channels = width << i
            layers += [
                nn.Conv2d(channels, 2 * channels, 4, stride=2, padding=1),
                nn.InstanceNorm2d(2 * channels),
                nn.ReLU(),
            ]
        self.model = nn.Sequential(*layers, _ResidualBlock(8 * width), _ResidualBlock(8 * width))

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)


class _Decoder(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        layers = []
        for i in range(3):
            channels = (16 * width) >> i
            layers += [nn.ConvTranspose2d(channels, channels // 2, 5, stride=2)]
            layers += [_ChannelLayerNorm(channels // 2), nn.ReLU()]
        self.model_up = nn.Sequential(*layers, nn.ReflectionPad2d(3), nn.Conv2d(2 * width, 1, 7), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        return self.model_up(x)


@MODELS.register_module()
class LDLite(BaseFuser):
    """The student of AgentFuse (arXiv 2509.02424), first published as LD-Lite.

    ``width=16`` is the full network of 2,604,225 parameters, ``width=8`` the pruned one of 652,385, whose published
    weights load strictly. Use :func:`prune_l1` to go from the first to the second.

    The instance norms see the whole image, so a crop is not fused like the same place of the full image.

    Args:
        width: channels after the first convolution. Default 8.
        init_cfg: see :class:`BaseFuser`.
    """

    def __init__(self, width: int = 8, init_cfg: dict | None = None):
        super().__init__(init_cfg)
        self.width = width
        self.encoder = nn.Module()
        self.encoder.content_encoder1 = _ContentEncoder(width)
        self.encoder.content_encoder2 = _ContentEncoder(width)
        self.decoder = _Decoder(width)

    def forward(self, ir: Tensor, vis: Tensor) -> Tensor:
        """Fused luma, ``(N, 1, H, W)`` in (0, 1), of ``ir`` and ``vis``, ``(N, 1, H, W)`` in [0, 1]."""
        features = [self.encoder.content_encoder1(vis), self.encoder.content_encoder2(ir)]
        return self.decoder(torch.cat(features, dim=1))[..., : ir.shape[-2], : ir.shape[-1]]


def prune_l1(model: LDLite) -> LDLite:
    """Halve an :class:`LDLite`, as paper A describes it.

    Every convolution keeps the half of its output and the half of its input channels with the largest L1 norm, ordered
    by that norm. Layers are ranked one by one, so channels of neighbouring layers no longer correspond: the result
    needs training, as in the paper.

    Args:
        model: of even width.

    Returns:
        A new ``LDLite`` of half the width; ``model`` is not changed.

    Raises:
        ValueError: ``model`` is no ``LDLite``, or its width is odd.
    """
    if not isinstance(model, LDLite):
        raise ValueError(f'prune_l1 prunes LDLite, got {type(model).__name__}')
    if model.width % 2:
        raise ValueError(f'only an even width can be halved, got {model.width}')
    pruned = LDLite(model.width // 2)
    kept_out: Tensor | None = None
    sources = dict(model.named_modules())
    with torch.no_grad():
        for name, small in pruned.named_modules():
            big = sources[name]
            if isinstance(small, nn.Conv2d | nn.ConvTranspose2d):
                # Conv2d stores (out, in, k, k), ConvTranspose2d (in, out, k, k).
                first, second = (_largest(big.weight, dim, small.weight.shape[dim]) for dim in (0, 1))
                kept_out = first if isinstance(small, nn.Conv2d) else second
                small.weight.copy_(big.weight[first][:, second])
                small.bias.copy_(big.bias[kept_out])
            elif isinstance(small, _ChannelLayerNorm):
                small.gamma.copy_(big.gamma[kept_out])
                small.beta.copy_(big.beta[kept_out])
    return pruned


def _largest(weight: Tensor, dim: int, count: int) -> Tensor:
    """Indices along ``dim`` of the ``count`` slices of largest L1 norm, largest first."""
    norms = weight.abs().sum(dim=[d for d in range(weight.ndim) if d != dim])
    return torch.argsort(norms, descending=True)[:count]
