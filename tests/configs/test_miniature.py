"""The recipe of the students in miniature: it must end above what needs no training."""

import torch
from common import REPO

from fusionkd.datasets import SyntheticScenes
from fusionkd.engine.config import build_runner, load_config
from fusionkd.evaluation import Scorer
from fusionkd.ops import luma

ITERATIONS = 400


def test_a_miniature_of_the_student_rises_above_maximum(tmp_path):
    recipe = load_config(REPO / 'configs/swift_minute_msrs.py')
    path = tmp_path / 'miniature.py'
    path.write_text(
        f"""
_base_ = ['{REPO}/configs/_base_/datasets/synthetic.py', '{REPO}/configs/_base_/schedules/swift.py',
          '{REPO}/configs/_base_/default_runtime.py']
model = dict(type='FusionDistiller', student=dict(type='SwiftFuser', width=16, stem=1),
             terms={recipe.model.to_dict()['terms']})
train_cfg = dict(max_iters={ITERATIONS}, val_interval=10 * {ITERATIONS})
param_scheduler = [dict(type='OneCycleLR', eta_max=1e-2, total_steps={ITERATIONS}, pct_start=0.15, by_epoch=False)]
"""
    )
    config = load_config(path, {'train_dataloader.dataset.num': 32, 'visualizer.vis_backends': []})
    config.work_dir = str(tmp_path / 'work')
    runner = build_runner(config)
    runner.train()

    rows = [SyntheticScenes(num=8, seed=1)[i] for i in range(8)]
    ir, vis = (torch.stack([torch.from_numpy(r[key]) for r in rows]).float() / 255 for key in ('ir', 'vis'))
    ir, vis = ir[:, None], luma(vis.permute(0, 3, 1, 2))
    scorer = Scorer(ir, vis)
    with torch.no_grad():
        student, maximum = scorer(runner.model.student.eval().fuse(ir, vis)), scorer(torch.maximum(ir, vis))
    assert student['score'] > maximum['score'] + 0.015
    assert student['scd'] > maximum['scd']
    assert student['vif'] > maximum['vif']
    assert student['target'] > maximum['target']
    assert student['nabf'] < 0.05
