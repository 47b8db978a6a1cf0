import pytest
import torch
from mmengine.structures import BaseDataElement

from fusionkd.models import FusionPreprocessor
from fusionkd.ops import merge_ycbcr


def test_lists_of_uint8_become_luma_and_chroma():
    vis = torch.randint(0, 256, (3, 6, 8), dtype=torch.uint8)
    ir = torch.randint(0, 256, (1, 6, 8), dtype=torch.uint8)
    out = FusionPreprocessor()(dict(inputs=dict(ir=[ir, ir], vis=[vis, vis]), data_samples=None))['inputs']
    assert out['ir'].shape == out['vis'].shape == (2, 1, 6, 8) and out['cbcr'].shape == (2, 2, 6, 8)
    assert torch.equal(out['ir'][0], ir / 255)
    assert torch.allclose(merge_ycbcr(out['vis'], out['cbcr'])[1], vis / 255, atol=1e-6)


def test_gray_batches_have_no_chroma_and_mixed_ones_do():
    gray, colour = torch.rand(1, 6, 8), torch.rand(3, 6, 8)
    out = FusionPreprocessor()(dict(inputs=dict(ir=[gray], vis=[gray])))['inputs']
    assert out['cbcr'] is None and torch.equal(out['vis'][0], gray)
    out = FusionPreprocessor()(dict(inputs=dict(ir=[gray, gray], vis=[gray, colour])))['inputs']
    assert torch.allclose(out['cbcr'][0], torch.zeros(2, 6, 8), atol=1e-6) and out['cbcr'][1].any()


def test_sizes_that_differ_are_explained():
    samples = [BaseDataElement(metainfo=dict(name=n)) for n in ('a', 'b')]
    images = [torch.rand(1, 6, 8), torch.rand(1, 6, 9)]
    with pytest.raises(ValueError, match=r"\['a', 'b'\].*RandomCropPair"):
        FusionPreprocessor()(dict(inputs=dict(ir=images, vis=images), data_samples=samples))
