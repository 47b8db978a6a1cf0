import pytest
import torch
from torch import nn

from fusionkd.deploy.merge import merge
from fusionkd.models.fusers import BaseFuser, SwiftFuser
from fusionkd.registry import MODELS


class RepBlock(nn.Module):
    """Two convolutions and the identity, each with its own norm; one convolution after merging."""

    def __init__(self, channels):
        super().__init__()
        self.wide = nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels))
        self.point = nn.Sequential(nn.Conv2d(channels, channels, 1, bias=False), nn.BatchNorm2d(channels))
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x):
        return self.wide(x) + self.point(x) + self.norm(x)

    def merged(self):
        channels = self.norm.num_features
        conv = nn.Conv2d(channels, channels, 3, padding=1)
        identity = torch.eye(channels)[:, :, None, None]
        conv.weight.data.zero_(), conv.bias.data.zero_()
        for kernel, norm in (
            (self.wide[0].weight, self.wide[1]),
            (self.point[0].weight, self.point[1]),
            (identity, self.norm),
        ):
            gain = norm.weight / (norm.running_var + norm.eps).sqrt()
            pad = (3 - kernel.shape[-1]) // 2
            conv.weight.data += nn.functional.pad(kernel * gain[:, None, None, None], [pad] * 4)
            conv.bias.data += norm.bias - norm.running_mean * gain
        return conv


class Nested(nn.Module):
    """Its ``merged`` returns something that must be merged in turn."""

    def __init__(self, channels):
        super().__init__()
        self.block = RepBlock(channels)

    def forward(self, x):
        return self.block(x).relu()

    def merged(self):
        return nn.Sequential(self.block, nn.ReLU())


class Reversed(nn.Sequential):
    """Calls the norm first, so folding it into the convolution would be wrong."""

    def forward(self, x):
        return self[0](self[1](x))


class ToyFuser(BaseFuser):
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU())
        self.body = nn.Sequential(RepBlock(4), Nested(4), nn.Dropout(0.5))
        self.odd = Reversed(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4))
        self.head = nn.Conv2d(4, 1, 1)

    def forward(self, ir, vis):
        return torch.sigmoid(self.head(self.odd(self.body(self.stem(torch.cat([ir, vis], 1))))))


def randomise(fuser):
    for norm in (m for m in fuser.modules() if isinstance(m, nn.BatchNorm2d)):
        norm.running_mean.uniform_(-0.5, 0.5), norm.running_var.uniform_(0.5, 2)
        norm.weight.data.uniform_(0.5, 1.5), norm.bias.data.uniform_(-0.5, 0.5)
    return fuser


def unet():
    return MODELS.build(dict(type='WeightMapFuser', backbone=dict(type='UNet', width=4)))


def swift():
    fuser = SwiftFuser(width=16, stem=1)
    nn.init.normal_(fuser.maps.weight, 0, 0.05)  # 0 at first: nothing would be left of the layers before
    return fuser


@pytest.mark.parametrize('build', [unet, swift, ToyFuser])
def test_a_merged_fuser_is_equal(build):
    fuser = randomise(build()).train()
    merged = merge(fuser)
    pair = torch.rand(2, 2, 1, 32, 48)
    with torch.no_grad():
        assert torch.allclose(fuser.eval()(*pair), merged(*pair), atol=1e-5)
    norms = [m for m in merged.modules() if isinstance(m, nn.BatchNorm2d)]
    assert len(norms) == (build is ToyFuser)  # the one that must not be folded
    assert not merged.training and not any(p.requires_grad for p in merged.parameters())


def test_blocks_become_one_convolution_and_the_original_stays():
    fuser = randomise(ToyFuser()).train()
    before = {k: v.clone() for k, v in fuser.state_dict().items()}
    merged = merge(fuser)
    assert isinstance(merged.body[0], nn.Conv2d) and isinstance(merged.body[1][0], nn.Conv2d)
    assert fuser.training and isinstance(fuser.body[0], RepBlock)
    assert all(torch.equal(v, before[k]) for k, v in fuser.state_dict().items())
    assert all(p.requires_grad for p in fuser.parameters())


def test_merged_must_return_a_module():
    fuser = ToyFuser()
    fuser.stem.merged = lambda: None
    with pytest.raises(TypeError, match=r'Sequential.merged\(\) must return a module, got NoneType'):
        merge(fuser)
