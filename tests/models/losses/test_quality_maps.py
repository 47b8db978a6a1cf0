"""Where in an image its quality comes from."""

import pytest
import torch
import torch.nn.functional as F

from fusionkd.datasets import SyntheticScenes
from fusionkd.models.judges import FusionJudge
from fusionkd.models.losses.quality import quality_parts
from fusionkd.models.losses.quality_maps import _to_cells, quality_maps
from fusionkd.ops import luma


@pytest.fixture(scope='module')
def scenes():
    rows = [SyntheticScenes(num=2, seed=3)[i] for i in range(2)]
    ir, vis = (torch.stack([torch.from_numpy(r[key]) for r in rows]).float() / 255 for key in ('ir', 'vis'))
    ir, vis = ir[:, None], luma(vis.permute(0, 3, 1, 2))
    return ir[..., 60:156, 60:172].contiguous(), vis[..., 60:156, 60:172].contiguous()


@pytest.mark.parametrize('name', ['vif_sum', 'qabf', 'ssim_sum'])
def test_cells_add_up_to_the_metric(scenes, name):
    fused = torch.maximum(*scenes)
    found = quality_maps(fused, *scenes, 16, {name: 2.0})
    assert found.shape == (2, 6, 7)
    whole = getattr(quality_parts(fused, *scenes, [name]), name)
    torch.testing.assert_close(found.sum((1, 2)), 2 * whole, atol=1e-4, rtol=0)


def test_windows_of_similarity_by_hand(scenes):
    ir, _ = scenes
    found = quality_maps(ir, ir, ir, 8, dict(ssim_sum=0.5))
    torch.testing.assert_close(found.sum((1, 2)), torch.ones(2))
    # Windows of 11 pixels, every second one: centres 5, 7, ..., 89, of which the first cell has 5 and 7, the second four.
    first, second = found[0, 0, 0].item(), found[0, 1, 1].item()
    assert first == pytest.approx(2 * 2 / (43 * 51)) and second == pytest.approx(4 * 4 / (43 * 51))


def test_values_stand_in_the_cell_of_their_centre():
    values = torch.arange(6.0).reshape(1, 2, 3)
    found = _to_cells(values, 3.5, 0, 4, 4, (8, 12))  # rows 3.5 and 7.5, columns 0, 4 and 8
    assert found.tolist() == [[[0, 1, 2], [3, 4, 5]]]


@pytest.mark.parametrize('name', ['vif_sum', 'qabf', 'ssim_sum'])
def test_damage_shows_where_it_is(scenes, name):
    good = torch.maximum(*scenes)
    bad = good.clone()
    bad[..., 32:48, 64:80] = (bad[..., 32:48, 64:80] + 0.2 * torch.randn(2, 1, 16, 16)).clamp(0, 1)
    lost = quality_maps(good, *scenes, 16, {name: 1.0}) - quality_maps(bad, *scenes, 16, {name: 1.0})
    assert lost[:, 2, 4].min() > 0 and (lost[:, 1:4, 3:6].abs().sum((1, 2)) > 0.9 * lost.abs().sum((1, 2))).all()
    assert lost[:, 5, 0].abs().max() < 1e-6


def test_what_has_no_map_and_sizes_are_checked(scenes):
    with pytest.raises(ValueError, match=r"not \['scd'\]"):
        quality_maps(scenes[0], *scenes, 8, dict(scd=1.0))
    with pytest.raises(ValueError, match='whole cells of 10'):
        quality_maps(scenes[0], *scenes, 10, dict(ssim_sum=1.0))


def test_the_judge_pays_cells(scenes):
    """Of two answers, each is better in the half where the other one is noisy."""
    ir, vis = scenes
    good = torch.maximum(ir, vis)
    noisy = (good + 0.2 * torch.randn_like(good)).clamp(0, 1)
    left = torch.arange(112) < 56
    outputs = torch.stack([torch.where(left, good, noisy), torch.where(left, noisy, good)], dim=1)
    judge = FusionJudge(cell=8, reach=1)
    paid = judge(dict(ir=ir, vis=vis), outputs, None)
    assert paid.shape == (2, 2, 12 * 14) and (paid.sum(1) == 1).all()
    paid = paid.unflatten(2, (12, 14))
    assert paid[:, 0, :, :5].mean() > 0.95 and paid[:, 0, :, 9:].mean() < 0.05
    contributions = judge.contributions(dict(ir=ir, vis=vis), outputs).unflatten(2, (12, 14))
    alone = quality_maps(outputs[:, 0], ir, vis, 8, judge.weights)
    assert contributions[0, 0, 0, 0].item() == pytest.approx(alone[0, :2, :2].mean().item(), rel=1e-4)
    expected = F.avg_pool2d(alone[:, None], 3, 1)[0, 0, 0, 0].item()
    assert contributions[0, 0, 1, 1].item() == pytest.approx(expected, rel=1e-4)
    with pytest.raises(ValueError, match='cells can be paid for'):
        FusionJudge(weights=dict(scd=1.0), cell=8)
