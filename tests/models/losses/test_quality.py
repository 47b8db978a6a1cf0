import pytest
import torch
import torch.nn.functional as F

from fusionkd.datasets import SyntheticScenes
from fusionkd.evaluation import Scorer
from fusionkd.models.losses import QualityLoss
from fusionkd.models.losses.quality import QualityParts, hot_contrast, quality_parts
from fusionkd.ops import luma


@pytest.fixture(scope='module')
def scenes():
    rows = [SyntheticScenes(num=4, seed=3)[i] for i in range(4)]
    ir, vis = (torch.stack([torch.from_numpy(r[key]) for r in rows]).float() / 255 for key in ('ir', 'vis'))
    ir, vis = ir[:, None], luma(vis.permute(0, 3, 1, 2))
    return ir[..., 60:188, 60:188].contiguous(), vis[..., 60:188, 60:188].contiguous()


@pytest.mark.parametrize('rule', ['maximum', 'average'])
def test_parts_are_those_of_the_score(scenes, rule):
    ir, vis = scenes
    fused = torch.maximum(ir, vis) if rule == 'maximum' else (ir + vis) / 2
    # In a black frame: the loss leaves the edges of the border out, which a crop has by accident.
    ir, vis, fused = (F.pad(x, (3,) * 4) for x in (ir, vis, fused))
    ours, score = quality_parts(fused, ir, vis), Scorer(ir, vis).parts(fused)
    for name, tolerance in dict(vif=0.01, qabf=1e-3, ssim=0.01, scd=1e-3, nabf=1e-3).items():
        torch.testing.assert_close(getattr(ours, name).double(), score[name], atol=tolerance, rtol=0)


def test_loss_is_the_weighted_distance_to_the_best(scenes):
    ir, vis = scenes
    fused = 1.2 * torch.maximum(ir, vis)
    p = quality_parts(fused.clamp(0, 1), ir, vis)
    p = p._replace(scd=p.scd.clamp(max=1.75))
    best = QualityParts(1, 2, 1, 1, 1.75, 0, 0, 0)
    weights = dict(vif=1, vif_sum=2, qabf=3, ssim=4, scd=5, nabf=6, target=7, brightness=9)
    expected = sum(w * abs(getattr(best, name) - getattr(p, name).mean()) for name, w in weights.items())
    expected = expected + 8 * (fused - 1).clamp(min=0).mean()
    torch.testing.assert_close(QualityLoss(**weights, outside=8)(fused, ir, vis), expected)


def test_every_sample_has_a_loss_of_its_own(scenes):
    ir, vis = scenes
    fused, loss = torch.maximum(ir, vis), QualityLoss()
    alone = torch.stack([loss(*(x[i : i + 1] for x in (fused, ir, vis))) for i in range(len(ir))])
    torch.testing.assert_close(loss.per_sample(fused, ir, vis), alone)
    assert alone.std() > 0.01


def test_parts_that_are_not_asked_for_are_not_computed(scenes):
    parts = quality_parts(scenes[0], *scenes, names=['scd'])
    assert [name for name in parts._fields if getattr(parts, name) is not None] == ['scd']


def test_descent_raises_the_score(scenes):
    ir, vis = scenes
    scorer, loss = Scorer(ir, vis), QualityLoss()
    image = ((ir + vis) / 2).requires_grad_()
    before = scorer(image.detach())
    optimizer = torch.optim.Adam([image], lr=0.01)
    for _ in range(20):
        optimizer.zero_grad()
        loss(image, ir, vis).backward()
        optimizer.step()
    after = scorer(image.detach())
    assert after['score'] > before['score'] + 0.05
    assert after['vif'] > before['vif'] and after['qabf'] > before['qabf']
    assert after['nabf'] < 0.03


def flat(value):
    return torch.full((1, 1, 64, 64), value)


HARD = {
    'black pair': (flat(0.0), flat(0.0), flat(0.5)),
    'copied source': (flat(0.3), torch.rand(1, 1, 64, 64), flat(0.3)),
    'amplified faint noise': (0.5 + torch.rand(1, 1, 64, 64) * 2e-3, flat(0.5), torch.rand(1, 1, 64, 64)),
    'inverted': ((x := torch.rand(1, 1, 64, 64)), x, 1 - x),
}
HARD['amplified faint noise'] = (*HARD['amplified faint noise'][:2], (HARD['amplified faint noise'][0] - 0.5) * 400)


@pytest.mark.parametrize('name', HARD)
def test_loss_and_gradient_are_finite_on_degenerate_images(name):
    ir, vis, fused = (x.clone() for x in HARD[name])
    fused.requires_grad_()
    loss = QualityLoss()(fused, ir, vis)
    loss.backward()
    assert loss.isfinite()
    assert fused.grad.isfinite().all()


def test_hot_contrast_sees_dulled_targets_and_no_offset():
    ir = torch.zeros(1, 1, 128, 128)
    ir[..., 50:70, 60:68] = 0.8
    dulled, moved = hot_contrast(ir / 2, ir), hot_contrast(ir + 0.1, ir)
    assert hot_contrast(ir, ir).item() == 0
    assert dulled > 0.1
    assert moved.item() == pytest.approx(0, abs=1e-6)
    assert hot_contrast(F.avg_pool2d(ir, 3, 1, 1), ir) < dulled


def test_brightness_is_that_of_the_brighter_source(scenes):
    ir, vis = scenes
    bright = quality_parts(torch.maximum(ir, vis), ir, vis, ['brightness']).brightness
    dark = quality_parts(torch.minimum(ir, vis), ir, vis, ['brightness']).brightness
    offset = quality_parts(vis + 0.25, vis, vis, ['brightness']).brightness
    assert (bright < 0.5 * dark).all()
    torch.testing.assert_close(offset, torch.full((4,), 0.25))


def test_bad_input_is_named(scenes):
    with pytest.raises(ValueError, match='at least 0'):
        QualityLoss(qabf=-1)
    ir, vis = scenes
    with pytest.raises(ValueError, match="space='y'"):
        QualityLoss()(vis.expand(-1, 3, -1, -1), ir, vis)
