"""Networks of this room's tests and their exported files."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from fusionkd.deploy import export_onnx
from fusionkd.models.fusers import BaseFuser


def block(inputs, outputs, size=3, stride=1, groups=1):
    conv = nn.Conv2d(inputs, outputs, size, stride, size // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU())


class BlendFuser(BaseFuser):
    """All that a fast student is made of: pixels unshuffled, context at low resolution, a gain per source."""

    divisor = 16

    def __init__(self, width=8):
        super().__init__()
        self.stem = block(32, width)
        self.point = nn.Sequential(block(width, width, groups=width), block(width, width, 1))
        self.context = nn.Sequential(block(width, width, stride=2), block(width, width, stride=2))
        self.head = nn.Conv2d(width, 48, 1)

    def forward(self, ir, vis):
        pair = F.pixel_unshuffle(torch.cat([ir, vis], dim=1), 4)
        x = self.stem(pair)
        x = self.point(x + F.interpolate(self.context(x), scale_factor=4.0, mode='bilinear', align_corners=False))
        a, b, c = self.head(x).chunk(3, dim=1)
        ir, vis = pair.chunk(2, dim=1)
        return F.pixel_shuffle((0.5 + a) * ir + (0.5 + b) * vis + c, 4)


@pytest.fixture(scope='session')
def fuser():
    torch.manual_seed(0)
    fuser = BlendFuser()
    for norm in (m for m in fuser.modules() if isinstance(m, nn.BatchNorm2d)):
        norm.running_mean.uniform_(-0.2, 0.2), norm.running_var.uniform_(0.5, 2)
    return fuser.eval()


@pytest.fixture(scope='session')
def exported(fuser, tmp_path_factory):
    path = tmp_path_factory.mktemp('deploy') / 'student.onnx'
    export_onnx(fuser, path, size=(64, 96), config=dict(type='BlendFuser', width=8))
    return path
