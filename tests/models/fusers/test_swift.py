import pytest
import torch
import torch.nn.functional as F
from torch import nn

from fusionkd.deploy.merge import merge
from fusionkd.engine.checkpoint import load_weights, save_weights
from fusionkd.models.fusers import SwiftFuser


def pair(*size):
    return torch.rand(2, 1, *size), torch.rand(2, 1, *size)


def lived(**options):
    """A network as after a training: weights and statistics away from their start."""
    torch.manual_seed(0)
    net = SwiftFuser(**options)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.2)
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.5, 1.5)
    nn.init.normal_(net.maps.weight, 0, 0.05)
    return net.eval()


@pytest.mark.parametrize('factor', [2, 4, 8])
def test_it_starts_as_the_sound_fusion_of_its_docstring(factor):
    ir, vis = pair(64, 96)

    def enlarge(x, times):
        return F.interpolate(x, scale_factor=times, mode='bilinear', align_corners=False)

    cells = [enlarge(F.avg_pool2d(x, 16), 16 / factor) for x in (ir, vis)]
    apart = cells[0] - cells[1]
    base = cells[1] + apart * torch.sigmoid(20 * apart)
    mean_ir, mean_vis = (enlarge(x, factor) for x in cells)
    expected = 0.8 * (ir - mean_ir) + 0.8 * (vis - mean_vis) + enlarge(base, factor)
    torch.testing.assert_close(SwiftFuser(factor=factor)(ir, vis), expected, atol=1e-5, rtol=0)


def test_the_correction_learns_in_smaller_steps_than_the_details():
    """The same step of the last layer moves the image by ``k`` where it moves the maps of the details by 1."""
    net = SwiftFuser(factor=2, correction=0.05).eval()
    ir, vis = pair(32, 32)
    x = torch.rand(1, 16, 4, 4)
    with torch.no_grad():
        net.maps.weight.fill_(0.01)
        shares, correction = net.maps(x)
        a, b = (shares - 0.8).chunk(2, dim=1)
        torch.testing.assert_close(correction, 0.05 * a)
        torch.testing.assert_close(b, a)
        net.maps.weight.zero_()
        before = net(ir, vis)
        net.maps.bias[8:] = 1.0
        torch.testing.assert_close(net(ir, vis), before + 0.05, atol=1e-6, rtol=0)


@pytest.mark.parametrize('factor', [2, 4, 8])
def test_what_is_flat_stays_without_steps(factor):
    """Brightness that changes over a flat image, by the sources or by the correction, does not show the cells."""
    net = SwiftFuser(factor=factor).eval()
    grey = torch.full((1, 1, 64, 64), 0.5)
    h = 64 // factor
    level = torch.rand(1, 1, h, h)
    net._predict = lambda *_: (torch.full((1, 2 * factor**2, h, h), 0.8), level.expand(-1, factor**2, -1, -1))
    expected = 0.5 + F.interpolate(level, scale_factor=factor, mode='bilinear', align_corners=False)
    torch.testing.assert_close(net(grey, grey), expected, atol=1e-5, rtol=0)


def test_weights_bring_their_correction_along(tmp_path):
    """A file means the same image whatever ``correction`` the network was built with; files of before are refused."""
    net = lived(correction=0.3)
    save_weights(net, tmp_path / 'student.pth')
    other = SwiftFuser()
    load_weights(other, tmp_path / 'student.pth')
    ir, vis = pair(32, 32)
    with torch.no_grad():
        torch.testing.assert_close(other.eval()(ir, vis), net(ir, vis))
    for key in ('maps.scale', 'between'):
        state = net.state_dict()
        del state[key]
        torch.save(state, tmp_path / 'old.pth')
        with pytest.raises(ValueError, match=f'missing: {key}'):
            load_weights(other, tmp_path / 'old.pth')


@pytest.mark.parametrize('size', [(16, 16), (37, 53), (1, 70), (128, 96)])
def test_any_size(size):
    fused = lived().fuse(*pair(*size))
    assert fused.shape == (2, 1, *size)
    assert fused.isfinite().all()


@pytest.mark.parametrize('options', [dict(), dict(block='depthwise', stem=1), dict(factor=8, context_width=24)])
def test_merged_network_is_the_same_function_without_batch_norm(options):
    net = lived(**options)
    small = merge(net)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in small.modules())
    assert any(isinstance(m, nn.BatchNorm2d) for m in net.modules()), 'merging must leave the original alone'
    ir, vis = pair(64, 64)
    with torch.no_grad():
        torch.testing.assert_close(small(ir, vis), net(ir, vis), atol=1e-5, rtol=0)


def test_every_parameter_is_trained():
    net = lived().train()
    net(*pair(64, 64)).square().mean().backward()
    idle = [name for name, p in net.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert not idle


def test_autocast_leaves_the_images_in_full_precision():
    ir, vis = pair(64, 64)
    net = SwiftFuser()
    with torch.autocast('cpu', dtype=torch.bfloat16):
        fused = net(ir, vis)
    torch.testing.assert_close(fused, net(ir, vis), atol=1e-5, rtol=0)


@pytest.mark.parametrize('options', [dict(block='dense'), dict(factor=3), dict(correction=-1.0)])
def test_unknown_options_are_named(options):
    with pytest.raises(ValueError, match=str(next(iter(options.values())))):
        SwiftFuser(**options)
