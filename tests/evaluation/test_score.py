"""The balanced score: what it is made of, and that the known tricks do not raise it above a sound fusion."""

import math

import pytest
import torch
from torch.nn.functional import avg_pool2d

from fusionkd.datasets.scenes import render_scene
from fusionkd.evaluation import Scorer
from fusionkd.evaluation import functional as fn
from fusionkd.evaluation.score import SCD_CAP, WEIGHTS
from fusionkd.fileio import list_images, read_image
from fusionkd.models.fusers import SeAFusion
from fusionkd.ops import luma

SETS = {'MSRS': 'test', 'RoadScene': 'test_roadscene', 'TNO': 'test_tno', 'synthetic': None}
PARTS = dict(VIF=fn.vif, Qabf=fn.qabf, SSIM=fn.ssim, SCD=fn.scd, target=fn.target_contrast)


def unit(array):
    image = torch.as_tensor(array)
    image = image[None] if image.ndim == 2 else image.permute(2, 0, 1)
    return luma(image[None].float() / 255)


def centre(image, size):
    top, left = ((side - size) // 2 for side in image.shape[-2:])
    return image[..., top : top + size, left : left + size]


def levels(image):
    return (image.clamp(0, 1) * 255).round() / 255


def load_pairs(name, count, size, data):
    """Centres of ``count`` pairs, spread over a set, and SeAFusion's images of them: three (count, 1, size, size)."""
    teacher = SeAFusion(init_cfg=dict(type='Pretrained', checkpoint='seafusion'))
    teacher.init_weights()
    teacher.eval()
    if SETS[name] is None:
        scenes = [render_scene(i, 7, (size, size)) for i in range(count)]
        pairs = [(unit(s.ir), unit(s.vis)) for s in scenes]
    else:
        folder = data / 'ivif' / SETS[name]
        ir, vis = (list_images(folder / kind) for kind in ('ir', 'vi'))
        names = sorted(ir)
        names = [names[i * len(names) // count] for i in range(count)]
        pairs = [(unit(read_image(ir[n])), unit(read_image(vis[n]))) for n in names]
    ir, vis = (torch.cat([centre(image, size) for image in images]) for images in zip(*pairs, strict=True))
    with torch.no_grad():
        return ir, vis, levels(teacher.fuse(ir, vis))


def stretch(image):
    low, high = (x.amax(dim=(1, 2, 3), keepdim=True) for x in (-image, image))
    return (image + low) / (high + low)


def blur(image):
    return avg_pool2d(image, 5, 1, 2, count_include_pad=False)


ATTACKS = {
    'copy ir': lambda ir, vis, fused: ir,
    'copy vis': lambda ir, vis, fused: vis,
    'average': lambda ir, vis, fused: (ir + vis) / 2,
    'noise': lambda ir, vis, fused: (
        fused + 10 / 255 * torch.randn(fused.shape, generator=torch.Generator().manual_seed(0))
    ),
    'sharpening': lambda ir, vis, fused: fused + 1.5 * (fused - blur(fused)),
    'contrast': lambda ir, vis, fused: (fused - 0.5) * 1.3 + 0.5,
    'stretching': lambda ir, vis, fused: stretch(fused),
    'brighter gamma': lambda ir, vis, fused: fused**0.7,
    'darker gamma': lambda ir, vis, fused: fused**1.4,
}


@pytest.fixture(scope='module', params=SETS)
def pairs(request):
    data = request.getfixturevalue('real_data') if SETS[request.param] else None
    return load_pairs(request.param, 6, 192, data)


@pytest.mark.parametrize('attack', ATTACKS)
def test_tricks_rank_below_a_sound_fusion(pairs, attack):
    ir, vis, fused = pairs
    scorer = Scorer(ir, vis)
    assert scorer(levels(ATTACKS[attack](ir, vis, fused)))['score'] < scorer(fused)['score']


def ascend(ir, vis, start, part, steps, rate=0.01):
    """Image after gradient ascent on a published metric or on the target contrast."""
    image = start.clone().requires_grad_(True)
    optimizer = torch.optim.Adam([image], lr=rate)
    for _ in range(steps):
        optimizer.zero_grad()
        (-PARTS[part](ir, vis, image, data_range=1).nan_to_num(0.0).sum()).backward()
        assert image.grad.isfinite().all()
        optimizer.step()
        with torch.no_grad():
            image.clamp_(0, 1)
    return levels(image.detach())


@pytest.mark.slow
@pytest.mark.parametrize('pairs', ['MSRS', 'RoadScene', 'TNO'], indirect=True)
@pytest.mark.parametrize('start', ['sound', 'average'])
@pytest.mark.parametrize('part', PARTS)
def test_gradient_ascent_on_a_part_ranks_below_a_sound_fusion(pairs, part, start):
    ir, vis, fused = pairs
    first = fused if start == 'sound' else (ir + vis) / 2
    attacked = ascend(ir, vis, first, part, 60)
    before, after = (PARTS[part](ir, vis, image, data_range=1).nanmean() for image in (first, attacked))
    assert after > before + 0.005, 'the attack itself failed'
    scorer = Scorer(ir, vis)
    assert scorer(attacked)['score'] < scorer(fused)['score'], (scorer(attacked), scorer(fused))


def test_gradient_ascent_on_vif_costs_more_than_it_brings():
    ir, vis, fused = load_pairs('synthetic', 2, 192, None)
    attacked = ascend(ir, vis, fused, 'VIF', 60)
    assert (
        PARTS['VIF'](ir, vis, attacked, data_range=1).mean() > 1.3 * PARTS['VIF'](ir, vis, fused, data_range=1).mean()
    )
    scorer = Scorer(ir, vis)
    assert scorer(attacked)['score'] < scorer(fused)['score'] - 0.05


def flat_targets(contrast):
    """A hot target of 0.6 on a dark street, and a fused image that shows it with some of its contrast."""
    ir, vis = torch.full((1, 1, 96, 96), 0.2), torch.rand(1, 1, 96, 96) * 0.1 + 0.2
    ir[..., 40:60, 30:40] = 0.5
    fused = vis.clone()
    fused[..., 40:60, 30:40] = vis.mean() + contrast * 0.3
    return ir, vis, fused


@pytest.mark.parametrize(('contrast', 'counted'), [(0.5, 0.5), (1.0, 1.0), (1.6, 1 / 1.6), (-0.5, 0.0)])
def test_a_target_counts_most_at_its_own_contrast(contrast, counted):
    ir, vis, fused = flat_targets(contrast)
    parts = {name: float(value) for name, value in Scorer(ir, vis).parts(fused).items()}
    assert parts['target'] == pytest.approx(contrast, abs=0.02)
    others = sum(WEIGHTS[p] * parts[p] for p in ('vif', 'qabf', 'ssim', 'nabf')) + WEIGHTS['scd'] * min(
        parts['scd'] / SCD_CAP, 1
    )
    assert (parts['score'] - others) / WEIGHTS['target'] == pytest.approx(counted, abs=0.03)


def test_parts_that_are_undefined():
    """SCD of a copied source is undefined and brings nothing; without targets none can be lost."""
    ir, vis = torch.rand(2, 1, 1, 64, 64)
    parts = {name: float(value) for name, value in Scorer(ir, vis).parts(vis).items()}
    assert math.isnan(parts['scd']) and math.isnan(parts['target'])
    expected = sum(WEIGHTS[p] * parts[p] for p in ('vif', 'qabf', 'ssim', 'nabf')) + WEIGHTS['target']
    assert parts['score'] == pytest.approx(expected)


def test_vif_of_each_source_counts_at_most_1():
    """Contrast enhancement raises the raw VIF beyond 1, the score's not."""
    ir = vis = torch.rand(1, 1, 64, 64) * 0.5 + 0.25
    scorer = Scorer(ir, vis)
    assert float(scorer.parts(vis)['vif']) == pytest.approx(1)
    assert float(scorer.parts((vis - 0.5) * 1.5 + 0.5)['vif']) == pytest.approx(1)


def test_gradients_are_finite_and_batches_change_nothing():
    ir, vis, fused = torch.rand(3, 2, 1, 96, 96)
    fused.requires_grad_(True)
    together = Scorer(ir, vis).parts(fused)
    together['score'].sum().backward()
    assert fused.grad.isfinite().all() and fused.grad.abs().sum() > 0
    single = [Scorer(ir[i : i + 1], vis[i : i + 1]).parts(fused[i : i + 1])['score'] for i in range(2)]
    torch.testing.assert_close(together['score'], torch.cat(single))
