"""TinyFuser, our student for real-time fusion on a CPU."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fusionkd.ops import blend_pyramids, resize
from fusionkd.registry import MODELS

from .base import BaseFuser


def _conv_bn(in_channels: int, out_channels: int, stride: int = 1, relu: bool = True) -> nn.Sequential:
    layers = [nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False), nn.BatchNorm2d(out_channels)]
    return nn.Sequential(*layers, *([nn.ReLU(inplace=True)] if relu else []))


class _Residual(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.body = nn.Sequential(_conv_bn(channels, channels), _conv_bn(channels, channels, relu=False))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.body(x), inplace=True)


@MODELS.register_module()
class TinyFuser(BaseFuser):
    """Weight-map fuser whose layers all run at low resolution (not from a paper).

    As in paper B, a network predicts the share of infrared and a fixed Laplacian pyramid fuses. Context is computed at a
    quarter and an eighth of the resolution; a single layer at half resolution, which sees all pixels through a pixel
    unshuffle, puts the map's borders on the images' edges. The default has 36,929 parameters.

    Args:
        width: channels at a quarter of the resolution; half as many carry the context upwards. Default 16.
        levels: detail levels of the pyramid. Default 4.
        init_cfg: see :class:`BaseFuser`.
    """

    divisor = 8

    def __init__(self, width: int = 16, levels: int = 4, init_cfg: dict | None = None):
        super().__init__(init_cfg)
        self.levels = levels
        context = width // 2
        self.stem = nn.Sequential(_conv_bn(2 * 4 * 4, width), _Residual(width))
        self.deep = nn.Sequential(_conv_bn(width, 2 * width, stride=2), _Residual(2 * width))
        self.lateral = nn.Conv2d(2 * width, width, 1)
        self.context = nn.Sequential(_conv_bn(width, width), nn.Conv2d(width, context, 1))
        self.detail = nn.Conv2d(2 * 2 * 2, width, 3, padding=1)
        self.map = nn.Conv2d(width + context, 1, 3, padding=1)

    def weight_map(self, ir: Tensor, vis: Tensor) -> Tensor:
        """Share of infrared in (0, 1), ``(N, 1, H / 2, W / 2)``."""
        pair = torch.cat([vis, ir], dim=1) * 2 - 1
        coarse = self.stem(F.pixel_unshuffle(pair, 4))
        coarse = coarse + resize(self.lateral(self.deep(coarse)), coarse.shape[-2:])
        detail = self.detail(F.pixel_unshuffle(pair, 2))
        context = resize(self.context(coarse), detail.shape[-2:])
        return torch.sigmoid(self.map(F.relu(torch.cat([detail, context], dim=1))))

    def forward(self, ir: Tensor, vis: Tensor) -> Tensor:
        """Fused luma, ``(N, 1, H, W)``, of ``ir`` and ``vis``, ``(N, 1, H, W)`` in [0, 1]."""
        weight = self.weight_map(ir, vis)
        with torch.autocast(ir.device.type, enabled=False):  # images must not be rounded to bfloat16
            return blend_pyramids(ir.float(), vis.float(), weight.float(), self.levels)
