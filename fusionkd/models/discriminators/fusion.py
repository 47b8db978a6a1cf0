"""Discriminator of fused images."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fusionkd.models.policies.base import Queries
from fusionkd.registry import MODELS

from .base import Discriminator

_STEP = 8  # pixels between two logits


@MODELS.register_module()
class FusionDiscriminator(Discriminator):
    """Small convolutional network on (ir, vis, fused) that says whose fusion it is (not from the paper).

    Four 3 x 3 convolutions, three of them with stride 2, see patches of 31 pixels; their logits are averaged over the image,
    or over every cell. It also sees the share of infrared that each pixel shows, ``(fused - vis) / (ir - vis)`` made finite,
    which is what fusers differ in.

    Args:
        width: channels of the first layer; the next ones have twice and four times as many. Default 16.
        cell: side of a cell in pixels, that of the policy, a multiple of 8: the discriminator says of every cell whose it is
            (patches, as in pix2pix, arXiv 1611.07004), and every cell earns its own similarity. Default none: of the image.

    Raises:
        ValueError: a cell that is no multiple of 8.
    """

    def __init__(self, width: int = 16, cell: int | None = None):
        super().__init__()
        if cell is not None and (cell < _STEP or cell % _STEP):
            raise ValueError(f'cell must be a multiple of {_STEP}, the step of the last layer, got {cell}')
        self.cell = cell
        self.body = nn.Sequential(
            nn.Conv2d(4, width, 3, 2, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, 2 * width, 3, 2, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(2 * width, 4 * width, 3, 2, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(4 * width, 1, 3, 1, 1),
        )

    def forward(self, queries: Queries, outputs: Tensor) -> Tensor:
        """Logits ``(B, N)``, or ``(B, N, cells)``, row by row.

        Args:
            queries: sources, ``(B, 1, H, W)`` in [0, 1].
            outputs: fused images, ``(B, N, 1, H, W)`` in [0, 1].
        """
        num = outputs.shape[1]
        ir, vis = (queries[key].repeat_interleave(num, dim=0) for key in ('ir', 'vis'))
        fused = outputs.flatten(0, 1)
        apart = ir - vis
        share = apart * (fused - vis) / (apart.square() + 1e-3)
        seen = torch.cat([ir, vis, fused, share], dim=1) * 2 - 1
        logits = self.body(seen)
        if self.cell is None:
            return logits.mean((1, 2, 3)).unflatten(0, (-1, num))
        return F.avg_pool2d(logits, self.cell // _STEP).flatten(1).unflatten(0, (-1, num))
