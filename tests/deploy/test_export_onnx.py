import hashlib
import json

import onnx
import pytest
import torch

from fusionkd.deploy import export, export_onnx
from fusionkd.models.fusers import BaseFuser, SwiftFuser, WeightMapFuser


def nodes(path):
    return [node.op_type for node in onnx.load(path).graph.node]


def test_a_graph_for_every_size_without_shape_arithmetic(exported):
    graph = onnx.load(exported).graph
    assert not {'Shape', 'Gather', 'Unsqueeze', 'Transpose', 'BatchNormalization'} & set(nodes(exported))
    assert [i.name for i in graph.input] == ['ir', 'vis'] and [o.name for o in graph.output] == ['fused']
    assert all(dim.dim_param for dim in (graph.input[0].type.tensor_type.shape.dim[i] for i in (0, 2, 3)))
    assert str(export.__file__).encode() not in exported.read_bytes() and b'stack_trace' not in exported.read_bytes()


def test_the_card_is_beside_and_inside(exported, fuser):
    card = json.loads(exported.with_suffix('.json').read_text())
    assert card['sha256'] == hashlib.sha256(exported.read_bytes()).hexdigest()
    assert card['largest_difference'] < 1e-5
    assert (card['fuser'], card['divisor'], card['size']) == (dict(type='BlendFuser', width=8), 16, None)
    assert (card['precision'], card['opset']) == ('float32', 18)
    assert card['parameters'] == sum(p.numel() for p in fuser.parameters())
    inside = {p.key: p.value for p in onnx.load(exported).metadata_props}
    assert json.loads(inside['fusionkd']) == {k: v for k, v in card.items() if k != 'sha256'}


def test_a_network_that_needs_a_fixed_size_says_so(tmp_path):
    fuser = WeightMapFuser(dict(type='UNet', width=2), levels=5)  # the parity of its last level is not known
    with pytest.warns(UserWarning, match=r'WeightMapFuser .* 48 x 64 pixels only; a larger divisor, such as 32, may'):
        card = export_onnx(fuser, tmp_path / 'fixed.onnx', size=(40, 50))
    assert card['size'] == [48, 64] and card['largest_difference'] < 1e-5
    card = export_onnx(fuser, tmp_path / 'any.onnx', size=(40, 50), divisor=32)
    assert card['size'] is None and card['divisor'] == 32


def test_options_and_weights_are_checked(fuser, tmp_path):
    with pytest.raises(ValueError, match='divisor must be a multiple of 16, that of BlendFuser; got 24'):
        export_onnx(fuser, tmp_path / 'x.onnx', divisor=24)
    with pytest.raises(ValueError, match='opset must be 18 or later'):
        export_onnx(fuser, tmp_path / 'x.onnx', opset=11)
    broken = SwiftFuser(width=16, stem=1)
    broken.maps.bias.data.fill_(float('nan'))
    with pytest.raises(ValueError, match=r'maps\.bias of SwiftFuser holds NaN'):
        export_onnx(broken, tmp_path / 'x.onnx')
    assert not list(tmp_path.iterdir())


def test_a_size_of_one_divisor_still_gives_any_size(fuser, tmp_path):
    assert export_onnx(fuser, tmp_path / 'x.onnx', size=(16, 16))['size'] is None


class Stochastic(BaseFuser):
    """Gives another image every time."""

    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(()))

    def forward(self, ir, vis):
        return self.scale * (ir + vis + torch.rand_like(ir)) / 3


def test_a_file_that_differs_is_not_written(tmp_path):
    with pytest.raises(RuntimeError, match=r'the exported Stochastic differs from torch by 0\.\d+, more than 0.0001'):
        export_onnx(Stochastic(), tmp_path / 'x.onnx', size=(16, 16))
    assert not list(tmp_path.iterdir())
