import numpy as np
import pytest
import torch

from fusionkd.evaluation import FusionMetric, Scorer, evaluate
from fusionkd.fileio import read_image


def pairs(n=2, size=(48, 64)):
    generator = torch.Generator().manual_seed(0)
    ir = torch.randint(0, 256, (n, 1, *size), generator=generator, dtype=torch.uint8)
    vis = torch.randint(0, 256, (n, 3, *size), generator=generator, dtype=torch.uint8)
    fused = torch.rand(n, 3, *size, generator=generator)
    return ir, vis, fused


def run(metric, ir, vis, fused, set_names=None, **extra):
    for i in range(len(ir)):
        sample = dict(fused=fused[i], name=f'im{i}', set_name=(set_names or ['s'] * len(ir))[i])
        sample |= {k: v[i] for k, v in extra.items()}
        metric.process(dict(inputs=dict(ir=[ir[i]], vis=[vis[i]])), [sample])
    return metric.evaluate(len(ir))


def test_values_are_those_of_evaluate_on_rounded_images():
    ir, vis, fused = pairs()
    metric = FusionMetric(metric_names=['VIF', 'SD'])
    means = run(metric, ir, vis, fused)
    expected = evaluate(ir, vis, (fused * 255).round().byte(), metrics=['VIF', 'SD'])
    assert means['VIF'] == pytest.approx(expected['VIF'].mean().item(), rel=1e-9)
    assert metric.table.rows[0].values['SD'] == pytest.approx(expected['SD'].tolist())
    assert 'score' in means and metric.table.protocol.startswith('cddfuse')


def test_score_is_that_of_the_scorer():
    ir, vis, fused = pairs()
    gray = fused.mean(1, keepdim=True)
    means = run(FusionMetric(metric_names=['SD']), ir, vis[:, :1], gray)
    scorer = Scorer(ir / 255, vis[:, :1] / 255)
    assert means['score'] == pytest.approx(scorer((gray * 255).round() / 255)['score'], abs=1e-6)


def test_rows_of_sets_teachers_and_rules(tmp_path):
    ir, vis, fused = pairs(3)
    metric = FusionMetric(metric_names=['MSE'], trivial=True, out_dir=str(tmp_path), panel=2)
    means = run(metric, ir, vis, fused, ['a', 'b', 'b'], teacher_sea=fused.flip(-1))
    methods = [(r.set_name, r.method) for r in metric.table.rows]
    rules = ['copy ir', 'copy vis', 'average', 'maximum', 'Laplacian maximum']
    assert methods == [(s, m) for s in 'ab' for m in ('student', 'sea', *rules)]
    assert [r.trivial for r in metric.table.rows[:6]] == [False, False, True, True, True, True]
    assert {'MSE', 'a/MSE', 'b/MSE'} <= set(means)
    assert (tmp_path / 'results.txt').is_file()
    panel = read_image(tmp_path / 'panel.png')
    assert panel.shape == (26 + 2 * (48 + 4), 5 * 64 + 4 * 4, 3)


def test_fused_images_are_written_rounded(tmp_path):
    ir, vis, fused = pairs(1)
    run(FusionMetric(metric_names=['SD'], score=False, image_dir=str(tmp_path)), ir, vis, fused)
    image = read_image(tmp_path / 's' / 'im0.png')
    assert np.array_equal(image, (fused[0] * 255).round().byte().permute(1, 2, 0).numpy())


def test_unknown_names_are_explained_when_built():
    with pytest.raises(ValueError, match=r"unknown metrics \['VIFF'\]; known: EN"):
        FusionMetric(metric_names=['VIFF'])
    with pytest.raises(ValueError, match="unknown protocol 'mine'; known: cddfuse"):
        FusionMetric(protocol='mine')
