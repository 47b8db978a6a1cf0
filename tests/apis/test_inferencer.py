import json

import numpy as np
import pytest
import torch

from fusionkd.apis import FusionInferencer
from fusionkd.engine.checkpoint import save_weights
from fusionkd.fileio import ImageError, read_image, write_image
from fusionkd.models.fusers import BaseFuser, SwiftFuser


class Maximum(BaseFuser):
    def forward(self, ir, vis):
        return torch.maximum(ir, vis)


rng = np.random.default_rng(0)
IR = rng.integers(0, 256, (20, 30), dtype=np.uint8)
VIS = rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)


@pytest.fixture
def fuse():
    return FusionInferencer(Maximum(), device='cpu')


def test_arrays_of_every_type(fuse):
    gray = VIS[..., 0]
    expected = np.maximum(IR, gray)
    assert np.array_equal(fuse(IR, gray), expected)
    assert np.array_equal(fuse(IR.astype(np.uint16) * 257, gray), expected)
    assert np.array_equal(fuse((IR / 255).astype(np.float32), gray / 255), expected)
    assert np.array_equal(fuse(IR[..., None], gray), expected)
    assert fuse(IR, VIS).shape == (20, 30, 3)
    assert np.array_equal(fuse(np.zeros_like(IR), VIS), VIS)  # colour comes back exactly


def test_files(fuse, tmp_path):
    write_image(tmp_path / 'ir.png', IR), write_image(tmp_path / 'vis.bmp', VIS)
    fused = fuse(tmp_path / 'ir.png', str(tmp_path / 'vis.bmp'), tmp_path / 'out' / 'fused.png')
    assert np.array_equal(fused, fuse(IR, VIS))
    assert np.array_equal(read_image(tmp_path / 'out' / 'fused.png'), fused)


def test_a_folder_run_reports_bad_pairs_and_goes_on(tmp_path):
    for name in ('a', 'b', 'c', 'd'):
        write_image(tmp_path / 'ir' / f'{name}.png', IR)
        write_image(tmp_path / 'vis' / f'{name}.jpg', VIS)
    write_image(tmp_path / 'ir' / 'lonely.png', IR)
    write_image(tmp_path / 'ir' / 'b.png', IR[:10])
    data = (tmp_path / 'vis' / 'c.jpg').read_bytes()
    (tmp_path / 'vis' / 'c.jpg').write_bytes(data[: len(data) // 2])
    calls = []
    fuse = FusionInferencer(Maximum(), device='cpu', progress=lambda *a: calls.append(a))
    report = fuse(tmp_path / 'ir', tmp_path / 'vis', tmp_path / 'out')
    assert (
        [p.name for p in report.written] == ['a.png', 'd.png'] == sorted(p.name for p in (tmp_path / 'out').iterdir())
    )
    assert set(report.failed) == {'b', 'c', 'lonely'}
    assert 'differ in size' in report.failed['b'] and 'c.jpg is truncated' in report.failed['c']
    assert 'no image of this name' in report.failed['lonely']
    assert calls[-1] == (4, 4, 'd')


def test_bad_input_is_explained(fuse, tmp_path):
    with pytest.raises(ValueError, match='differ in size'):
        fuse(IR, VIS[:10])
    with pytest.raises(ImageError, match='ir holds NaN'):
        fuse(np.full((4, 4), np.nan, np.float32), np.zeros((4, 4), np.float32))
    with pytest.raises(ImageError, match=r'vis has shape \(20, 30, 2\)'):
        fuse(IR, VIS[..., :2])
    with pytest.raises(ValueError, match='folders need out='):
        fuse(tmp_path, tmp_path)
    with pytest.raises(ValueError, match='both be folders or both be images'):
        fuse(tmp_path, tmp_path / 'x.png')
    with pytest.raises(FileNotFoundError, match='nowhere'):
        fuse(tmp_path / 'nowhere.png', tmp_path / 'nowhere.png')


def test_sources_of_a_network(tmp_path):
    student = SwiftFuser(width=16, stem=1).eval()
    torch.nn.init.normal_(student.maps.weight, 0, 0.1)  # 0 at first: all students would fuse alike
    save_weights(student, tmp_path / 'student.pth')
    expected = FusionInferencer(student)(IR, VIS)
    config = dict(type='SwiftFuser', width=16, stem=1)
    assert np.array_equal(FusionInferencer(config, tmp_path / 'student.pth')(IR, VIS), expected)
    (tmp_path / 'recipe.py').write_text(f'model = dict(type="FusionDistiller", student={config!r})')
    assert np.array_equal(FusionInferencer(tmp_path / 'recipe.py', tmp_path / 'student.pth')(IR, VIS), expected)
    with pytest.raises(ValueError, match=r'has no card \(student.json\)'):
        FusionInferencer(tmp_path / 'student.pth')
    (tmp_path / 'student.json').write_text(json.dumps(dict(fuser=config)))
    assert np.array_equal(FusionInferencer(tmp_path / 'student.pth')(IR, VIS), expected)
    assert FusionInferencer('seafusion')(IR, VIS).shape == VIS.shape
    with pytest.raises(FileNotFoundError, match=r'nothing.pth; give a file, a URL or one of .*seafusion'):
        FusionInferencer('nothing.pth')
