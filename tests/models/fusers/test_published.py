"""Published weights load strictly and reproduce their published images."""

import cv2
import numpy as np
import pytest
import torch

from fusionkd.engine.checkpoint import load_weights
from fusionkd.models.fusers import LDLite, SeAFusion, prune_l1


def parameters(model):
    return sum(p.numel() for p in model.parameters())


def read(path, gray):
    image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE if gray else cv2.IMREAD_COLOR_RGB)
    assert image is not None, path
    image = image[..., None] if gray else image
    return torch.from_numpy(image).permute(2, 0, 1).float() / 255


def levels(fused):
    """Both authors truncate to uint8."""
    return (fused * 255).byte().permute(1, 2, 0).numpy().astype(int)


def test_parameter_counts():
    assert parameters(SeAFusion()) == 166_883
    assert parameters(LDLite(16)) == 2_604_225
    assert parameters(LDLite()) == parameters(LDLite(8)) == 652_385


@pytest.mark.parametrize('name', ['00004N', '00427D', '00854N', '01222N', '01603D'])
def test_seafusion_reproduces_its_images(real_data, name):
    model = SeAFusion(init_cfg=dict(type='Pretrained', checkpoint='seafusion'))
    model.init_weights()
    test = real_data / 'ivif' / 'test'
    fused = model.predict(read(test / 'ir' / f'{name}.png', True), read(test / 'vi' / f'{name}.png', False))
    # Its authors stretch each colour image to the full range before saving; this package never does.
    fused = (fused - fused.min()) / (fused.max() - fused.min())
    expected = read(real_data / 'weights' / 'expected' / 'seafusion' / f'{name}.png', False)
    difference = np.abs(levels(fused) - levels(expected))
    assert difference.max() <= 1 and difference.mean() < 0.01


@pytest.mark.parametrize('name', ['1', '2'])
def test_ld_lite_reproduces_its_images(real_data, name):
    model = LDLite()
    load_weights(model, real_data / 'weights' / 'ld_lite.pt')
    folder = real_data / 'weights' / 'expected' / 'ld_lite'
    fused = model.predict(read(folder / f'{name}_ir.png', True), read(folder / f'{name}_vi.png', False))
    difference = np.abs(levels(fused) - levels(read(folder / f'{name}_fused.png', False)))
    assert difference.max() <= 1 and difference.mean() < 0.02


def test_ld_lite_keeps_the_size_and_has_no_affine_instance_norm():
    model = LDLite(2)
    assert model.fuse(torch.rand(1, 1, 30, 41), torch.rand(1, 1, 30, 41)).shape == (1, 1, 30, 41)
    assert not any(p.numel() for m in model.modules() if isinstance(m, torch.nn.InstanceNorm2d) for p in m.parameters())


def test_pruning_keeps_the_largest_half_in_order_of_their_norm():
    full = LDLite(4)
    conv = full.encoder.content_encoder1.model[4]  # 4 -> 8 channels
    with torch.no_grad():
        conv.weight.fill_(0.1)
        for channel, scale in ((5, 4.0), (0, 3.0), (7, 2.0), (2, 1.5)):
            conv.weight[channel] *= scale
        conv.weight[:, 3] *= 2  # the strongest input channel
        conv.bias.copy_(torch.arange(8.0))
    small = prune_l1(full)
    pruned = small.encoder.content_encoder1.model[4]
    assert parameters(small) == parameters(LDLite(2))
    assert pruned.bias.tolist() == [5, 0, 7, 2]
    assert torch.equal(pruned.weight[:, 0], conv.weight[[5, 0, 7, 2]][:, 3])


def test_pruning_takes_norm_parameters_with_their_convolution():
    full = LDLite(4)
    up, norm = full.decoder.model_up[0], full.decoder.model_up[1]  # 64 -> 32 channels
    with torch.no_grad():
        up.weight.fill_(0.1)
        up.weight[:, 20] = 1.0
        norm.gamma.copy_(torch.arange(32.0))
    assert prune_l1(full).decoder.model_up[1].gamma[0] == 20


def test_pruning_refuses_what_it_cannot_halve():
    with pytest.raises(ValueError, match='even width'):
        prune_l1(LDLite(3))
    with pytest.raises(ValueError, match='got SeAFusion'):
        prune_l1(SeAFusion())
