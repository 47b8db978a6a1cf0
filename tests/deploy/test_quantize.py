import json

import numpy as np
import onnx
import pytest
import torch

from fusionkd.datasets.scenes import render_scene
from fusionkd.deploy import OnnxFuser, export_onnx, quantize, quantize_onnx
from fusionkd.models.fusers import BaseFuser, WeightMapFuser


@pytest.fixture(scope='module')
def pairs():
    scenes = [render_scene(i, 3, (64, 96)) for i in range(6)]
    return [(scene.ir, scene.vis) for scene in scenes]


@pytest.fixture(scope='module')
def quantised(exported, pairs):
    path = exported.with_name('int8.onnx')
    return path, quantize_onnx(exported, path, pairs[:4], pairs[4:])


def test_agreement_is_measured(exported, quantised, pairs):
    path, card = quantised
    assert json.loads(path.with_suffix('.json').read_text()) == card
    assert (card['precision'], card['calibrated_on'], card['divisor']) == ('int8', 4, 16)
    assert 0 < card['agreement']['mean'] < 1 and card['agreement']['psnr'] > 45 and card['agreement']['pairs'] == 2
    differences = [OnnxFuser(path, 1)(ir, vis).astype(float) - OnnxFuser(exported, 1)(ir, vis) for ir, vis in pairs[4:]]
    assert np.abs(differences).mean() == pytest.approx(card['agreement']['mean'], abs=0.1)


def test_weights_are_8_bit_with_a_scale_per_channel_but_for_the_last(quantised):
    graph = onnx.load(quantised[0]).graph
    tensors = {t.name: t for t in graph.initializer}
    producers = {o: n for n in graph.node for o in n.output}
    *convolutions, last = [n for n in graph.node if n.op_type == 'Conv']
    assert len(convolutions) == 5
    weight = tensors[last.input[1]]
    assert weight.data_type == onnx.TensorProto.FLOAT and weight.dims[0] == 48
    for conv in convolutions:
        weight, scale = (tensors[name] for name in producers[conv.input[1]].input[:2])
        assert weight.data_type == onnx.TensorProto.INT8 and list(scale.dims) == [weight.dims[0]]
        largest = np.abs(onnx.numpy_helper.to_array(weight).astype(int)).max()
        assert 60 <= largest <= 64, (
            '255 * 64 * 2 fits into 16 bits: processors without 8-bit dot products do not saturate'
        )


class NoDecision(BaseFuser):
    """A network of which nothing is left but its rounding: the images alone make the output."""

    def __init__(self):
        super().__init__()
        self.body = torch.nn.Conv2d(2, 4, 3, padding=1)
        self.head = torch.nn.Conv2d(4, 1, 1)

    def forward(self, ir, vis):
        return 0.37 * ir + 0.63 * vis + self.head(self.body(torch.cat([ir, vis], dim=1))).clamp(0, 0)


def test_images_are_not_rounded_on_their_way_to_the_output(tmp_path, pairs):
    export_onnx(NoDecision(), tmp_path / 'x.onnx', size=(64, 96))
    dark = [(ir // 4, vis // 4) for ir, vis in pairs]
    card = quantize_onnx(tmp_path / 'x.onnx', tmp_path / 'y.onnx', dark, pairs)
    assert card['agreement']['largest'] < 1e-3


def test_the_pyramid_of_a_weight_map_stays_float(tmp_path, pairs):
    with torch.no_grad():
        fuser = WeightMapFuser(dict(type='UNet', width=2))
        fuser.backbone.out.weight.zero_()
    export_onnx(fuser, tmp_path / 'x.onnx', size=(64, 96))
    card = quantize_onnx(tmp_path / 'x.onnx', tmp_path / 'y.onnx', pairs)
    assert card['agreement']['largest'] < 1  # the bands are not rounded


def test_bad_calls_are_explained(exported, quantised, pairs, fuser, tmp_path):
    with pytest.raises(ValueError, match='needs pairs'):
        quantize_onnx(exported, tmp_path / 'x.onnx', [])
    with pytest.raises(ValueError, match=r'int8.onnx is quantised already \(int8\)'):
        quantize_onnx(quantised[0], tmp_path / 'x.onnx', pairs)
    export_onnx(fuser, tmp_path / 'fixed.onnx', size=(48, 80), dynamic=False)
    with pytest.raises(ValueError, match='is for images of 48 x 80 pixels only, got 64 x 96'):
        quantize_onnx(tmp_path / 'fixed.onnx', tmp_path / 'x.onnx', pairs)


def test_nothing_is_left_behind(exported, pairs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    quantize_onnx(exported, tmp_path / 'q.onnx', pairs[:2])
    assert sorted(p.name for p in tmp_path.iterdir()) == ['q.json', 'q.onnx']


def test_ranges_of_images_follow_the_pixels(exported):
    ranges = quantize._image_ranges(onnx.load(exported).graph)
    assert {'ir', 'vis'} < ranges.keys() and all(
        float(r[0]['scale']) == pytest.approx(1 / 255) for r in ranges.values()
    )
