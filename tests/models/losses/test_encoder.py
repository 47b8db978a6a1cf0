import copy

import pytest
import torch

from fusionkd.models.losses import EncoderLoss
from fusionkd.registry import MODELS

SEAFUSION = dict(type='SeAFusion', init_cfg=dict(type='Pretrained', checkpoint='seafusion'))


def test_it_compares_features_inside_the_teacher_relative_to_the_targets():
    loss = EncoderLoss(SEAFUSION, ('vis_rgbd1', 'inf_rgbd1'))
    x, y = torch.rand(2, 2, 1, 24, 32)
    net = MODELS.build(SEAFUSION)
    net.init_weights()

    def features(image):
        first = [torch.nn.functional.leaky_relu(getattr(net, f'{b}_conv').conv(image), 0.2) for b in ('vis', 'inf')]
        return [getattr(net, f'{b}_rgbd1')(f) for b, f in zip(('vis', 'inf'), first, strict=True)]

    parts = [
        ((a - b).square().mean((1, 2, 3)) / b.square().mean((1, 2, 3))).mean()
        for a, b in zip(features(x), features(y), strict=True)
    ]
    assert loss(x, y).item() == pytest.approx(sum(parts).item() / 2, rel=1e-4)


def test_layers_behind_the_last_tap_are_not_computed():
    loss = EncoderLoss(SEAFUSION, ['vis_rgbd1'])
    ran = []
    for name, module in loss.frozen['encoder'].named_modules():
        module.register_forward_hook(lambda m, i, o, name=name: ran.append(name))
    loss(*torch.rand(2, 1, 1, 16, 16))
    assert 'vis_conv.conv' in ran and not any(n.startswith(('decode', 'inf_', 'vis_rgbd2')) for n in ran)


def test_the_encoder_is_neither_trained_nor_saved_and_can_be_copied():
    loss = EncoderLoss(dict(type='ToyFuser', dropout=0.5), ['head'])
    assert not list(loss.parameters()) and not loss.state_dict()
    x, y = torch.rand(2, 1, 1, 16, 16)
    twin = copy.deepcopy(loss).train()
    torch.nn.init.ones_(twin.frozen['encoder'].body.weight)
    assert torch.equal(loss(x, y), loss(x, y)) and not torch.equal(loss(x, y), twin(x, y))


def test_taps_are_checked_when_built():
    with pytest.raises(ValueError, match=r"ToyFuser has no modules \['nose'\] to tap; some of its modules: body"):
        EncoderLoss(dict(type='ToyFuser'), ['body', 'nose'])
    with pytest.raises(ValueError, match='no modules'):
        EncoderLoss(dict(type='ToyFuser'), [])
    with pytest.raises(ValueError, match="space='y'"):
        EncoderLoss(dict(type='ToyFuser'), ['body'])(*torch.rand(2, 1, 3, 8, 8))
