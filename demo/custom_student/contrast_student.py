"""A student of one's own: two small convolutions decide how much infrared each pixel takes."""

import torch
from torch import nn

from fusionkd.models.fusers import BaseFuser
from fusionkd.registry import MODELS


@MODELS.register_module()
class ContrastStudent(BaseFuser):
    def __init__(self, width=8, init_cfg=None):
        super().__init__(init_cfg)
        self.net = nn.Sequential(nn.Conv2d(2, width, 5, padding=2), nn.ReLU(), nn.Conv2d(width, 1, 5, padding=2))

    def forward(self, ir, vis):
        weight = torch.sigmoid(self.net(torch.cat([ir, vis], dim=1)))
        return weight * ir + (1 - weight) * vis
