import pytest
import torch

from fusionkd.models.fusers import UNet, WeightMapFuser
from fusionkd.ops import blend_pyramids


def parameters(model):
    return sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize(
    ('options', 'count'),
    [
        (dict(), 17_262_466),  # as published
        (dict(width=12), 608_426),
        (dict(width=12, in_channels=4), 608_642),  # the published sibling sees RGB and infrared
        (dict(width=4), 68_026),
    ],
)
def test_unet_parameter_counts(options, count):
    assert parameters(UNet(**options)) == count


def test_unet_sees_both_images_in_minus_one_to_one(pair):
    seen = []
    fuser = WeightMapFuser(dict(type='UNet', width=2)).eval()
    fuser.backbone.register_forward_hook(lambda module, inputs, output: seen.append((inputs[0], output)))
    ir, vis = pair[0], pair[0].flip(-1)
    fused = fuser.fuse(ir, vis)
    x, out = seen[0]
    assert torch.equal(x, torch.cat([vis, ir], dim=1) * 2 - 1)
    expected = blend_pyramids(ir, vis, torch.sigmoid(out[:, :1]), 4)
    assert torch.equal(fused, expected)


def test_it_has_useful_gradients_everywhere(pair):
    fuser = WeightMapFuser(dict(type='UNet', width=2))
    fuser.fuse(pair[0], pair[0].flip(-1)).square().mean().backward()
    without = [n for n, p in fuser.named_parameters() if p.grad is None or not p.grad.any()]
    # The log-variance has no part in the fused image, and a bias before a sigmoid of equal inputs may vanish.
    assert not [n for n in without if not n.startswith('backbone.out')], without


@pytest.mark.parametrize('name', ['mobilenetv3_small_050', 'resnet18'])
def test_timm_encoders(name, pair):
    fuser = WeightMapFuser(dict(type='TimmDense', model_name=name, width=8)).eval()
    assert fuser.divisor == 32
    assert fuser.predict(pair[0], pair[1]).shape == pair[1].shape
    fuser.fuse(pair[0], pair[0].flip(-1)).sum().backward()
    assert next(fuser.backbone.encoder.parameters()).grad.any()


def test_unknown_timm_model_is_explained():
    with pytest.raises(ValueError, match=r"no model 'resnet1888'; similar: .*resnet"):
        WeightMapFuser(dict(type='TimmDense', model_name='resnet1888'))


def test_images_are_not_rounded_in_bfloat16(pair):
    ir, fuser = pair[0], WeightMapFuser(dict(type='UNet', width=2)).eval()
    with torch.autocast('cpu', dtype=torch.bfloat16):
        assert torch.allclose(fuser.fuse(ir, ir), ir, atol=1e-6)
