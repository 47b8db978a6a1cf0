"""The U-Net of paper B as a dense backbone."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fusionkd.registry import MODELS


def _double_conv(in_channels: int, mid_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, mid_channels, 3, padding=1, bias=False),
        nn.BatchNorm2d(mid_channels),
        nn.ReLU(inplace=True),
        nn.Conv2d(mid_channels, out_channels, 3, padding=1, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    )


@MODELS.register_module()
class UNet(nn.Module):
    """U-Net with bilinear upsampling (paper B, arXiv 2602.20851): double convolutions 64-128-256-512-512.

    Args:
        in_channels: input channels. Default 2: visible luma and infrared.
        out_channels: output channels. Default 2: mean and log-variance of the weight map.
        width: channels of the first level. 64, as published, has 17,262,466 parameters on two inputs; the siblings 12
            and 4 have 608,426 and 68,026. (The published 608,642 is width 12 on four inputs, RGB and infrared.)

    Shapes: ``(N, in_channels, H, W)`` to ``(N, out_channels, H, W)``, H and W divisible by 16.
    """

    divisor = 16

    def __init__(self, in_channels: int = 2, out_channels: int = 2, width: int = 64):
        super().__init__()
        widths = [width, 2 * width, 4 * width, 8 * width, 8 * width]
        inputs = [in_channels, *widths[:-1]]
        self.down = nn.ModuleList(_double_conv(i, o, o) for i, o in zip(inputs, widths, strict=True))
        self.up = nn.ModuleList()
        for level in (3, 2, 1, 0):
            channels = 2 * widths[level]  # skip connection and upsampled features have as many channels each
            self.up.append(_double_conv(channels, channels // 2, widths[max(level - 1, 0)]))
        self.out = nn.Conv2d(width, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Dense prediction of ``x``."""
        skips = []
        for i, block in enumerate(self.down):
            x = block(F.max_pool2d(x, 2) if i else x)
            skips.append(x)
        skips.pop()
        for block in self.up:
            x = F.interpolate(x, scale_factor=2, mode='bilinear', align_corners=True)
            x = block(torch.cat([skips.pop(), x], dim=1))
        return self.out(x)
