import subprocess
import sys

import numpy as np
import onnx
import pytest

from fusionkd.apis import FusionInferencer
from fusionkd.deploy import OnnxFuser, export_onnx
from fusionkd.fileio import ImageError, write_image
from fusionkd.models.fusers import BaseFuser

rng = np.random.default_rng(0)


def smooth(*shape):
    """Noise over a slope, so that padding and colour matter."""
    slope = np.linspace(0, 150, shape[1], dtype=np.float32).reshape(1, -1, *[1] * (len(shape) - 2))
    return (slope + rng.integers(0, 100, shape)).astype(np.uint8)


IR, VIS = smooth(45, 70), smooth(45, 70, 3)


@pytest.fixture(scope='module')
def both(exported, fuser):
    return OnnxFuser(exported, threads=1, spin=False), FusionInferencer(fuser, device='cpu')


def agree(both, ir, vis):
    actual, expected = (fuse(ir, vis) for fuse in both)
    assert (actual.dtype, actual.shape) == (np.uint8, expected.shape)
    difference = np.abs(actual.astype(int) - expected)
    assert difference.max() <= 1 and (difference > 0).mean() < 0.01


@pytest.mark.parametrize('size', [(64, 96), (45, 70), (50, 33), (16, 5), (3, 40), (1, 1), (4, 1)])
@pytest.mark.parametrize('channels', [(), (3,)])
def test_the_same_image_as_with_torch(both, size, channels):
    agree(both, smooth(*size), smooth(*size, *channels))


def test_every_type_of_image(both, tmp_path):
    for convert in (lambda x: x.astype(np.uint16) * 257, lambda x: (x / 255).astype(np.float32), lambda x: x / 255):
        agree(both, convert(IR), convert(VIS))
        agree(both, convert(IR), convert(VIS[..., 0]))
    agree(both, VIS, IR)  # a colour infrared image is reduced to its luma
    agree(both, IR[..., None], VIS[..., :1])
    agree(both, IR, VIS[..., ::-1])
    agree(both, IR.T, VIS.transpose(1, 0, 2))
    write_image(tmp_path / 'ir.png', IR), write_image(tmp_path / 'vis.png', VIS)
    agree(both, tmp_path / 'ir.png', str(tmp_path / 'vis.png'))


def test_an_exported_file_is_a_student_like_others(both, exported, tmp_path):
    fuse = FusionInferencer(exported, device='cpu')
    assert np.array_equal(fuse(IR, VIS), both[0](IR, VIS))
    for kind, image in (('ir', IR), ('vis', VIS)):
        write_image(tmp_path / kind / 'a.png', image)
    write_image(tmp_path / 'ir' / 'b.png', IR[:10]), write_image(tmp_path / 'vis' / 'b.png', VIS)
    report = fuse(tmp_path / 'ir', tmp_path / 'vis', tmp_path / 'out')
    assert [p.name for p in report.written] == ['a.png'] and 'differ in size' in report.failed['b']
    for wrong in (dict(weights='x.pth'), dict(device='cuda')):
        with pytest.raises(ValueError, match=r'student.onnx holds its weights and runs on the CPU: leave weights and'):
            FusionInferencer(exported, **wrong)


def test_bad_input_is_explained(both, exported, tmp_path):
    fuse = both[0]
    with pytest.raises(ImageError, match=r'ir and vis differ in size: .* register and resize them first'):
        fuse(IR, VIS[:10])
    with pytest.raises(ImageError, match='ir holds NaN'):
        fuse(np.full((4, 4), np.nan, np.float32), np.zeros((4, 4), np.float32))
    with pytest.raises(ImageError, match=r'vis has shape \(45, 70, 2\)'):
        fuse(IR, VIS[..., :2])
    with pytest.raises(ImageError, match=r'ir has shape \(0, 4\)'):
        fuse(IR[:0, :4], VIS[:0, :4])
    with pytest.raises(ImageError, match='vis is float in'):
        fuse(IR, VIS.astype(np.float32))
    with pytest.raises(FileNotFoundError, match=r'network not found: .*nowhere.onnx'):
        OnnxFuser(tmp_path / 'nowhere.onnx')
    (tmp_path / 'text.onnx').write_text('no network')
    with pytest.raises(ValueError, match=r'text.onnx cannot be read as an ONNX network'):
        OnnxFuser(tmp_path / 'text.onnx')
    model = onnx.load(exported)
    del model.metadata_props[:]
    onnx.save(model, tmp_path / 'other.onnx')
    with pytest.raises(ValueError, match=r'other.onnx was not written by tools/export.py'):
        OnnxFuser(tmp_path / 'other.onnx')


def test_a_file_of_fixed_size(fuser, tmp_path):
    export_onnx(fuser, tmp_path / 'fixed.onnx', size=(48, 80), dynamic=False)
    fuse = OnnxFuser(tmp_path / 'fixed.onnx', threads=1)
    agree((fuse, FusionInferencer(fuser, device='cpu')), IR, VIS)  # padded to 48 x 80
    with pytest.raises(ValueError, match='is for images of 48 x 80 pixels only, got 20 x 70'):
        fuse(IR[:20], VIS[:20])


class Overshoot(BaseFuser):
    """Leaves [0, 1] on both sides."""

    def forward(self, ir, vis):
        return 3 * ir - vis - 0.5


def test_values_outside_the_range_are_clipped(tmp_path):
    export_onnx(Overshoot(), tmp_path / 'x.onnx', size=(16, 16))
    pair = OnnxFuser(tmp_path / 'x.onnx', threads=1), FusionInferencer(Overshoot(), device='cpu')
    agree(pair, IR, VIS), agree(pair, IR, VIS[..., 0]), agree(pair, IR, VIS / 255)
    assert {0, 255} <= set(pair[0](IR, VIS[..., 0]).ravel().tolist())


def test_no_torch(exported):
    code = f"""
import sys, numpy as np
from fusionkd.deploy import OnnxFuser
fused = OnnxFuser({str(exported)!r}, threads=1)(np.zeros((480, 640), np.uint8), np.zeros((480, 640, 3), np.uint8))
assert fused.shape == (480, 640, 3)
assert not {{'torch', 'mmengine', 'matplotlib', 'onnx', 'cv2'}} & sys.modules.keys()
from pathlib import Path
lines = Path('/proc/self/status').read_text().splitlines() if Path('/proc/self/status').exists() else []
assert all(int(line.split()[1]) < 150 * 1024 for line in lines if line.startswith('VmHWM')), lines
"""
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_unknown_names_are_explained():
    import fusionkd.deploy

    with pytest.raises(AttributeError, match='it has OnnxFuser, export_onnx, quantize_onnx'):
        _ = fusionkd.deploy.nothing
