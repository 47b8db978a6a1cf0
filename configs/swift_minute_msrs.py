# One minute from nothing on two CPU cores: a SwiftFuser of 23,329 parameters under the quality loss (not from a paper).
# `--cfg-options` of docs/lightweight.md make five minutes of it.
_base_ = ['_base_/datasets/msrs_noise.py', '_base_/schedules/swift.py', '_base_/default_runtime.py']

model = dict(
    type='FusionDistiller',
    student=dict(type='SwiftFuser', width=32, depth=3, context_width=24, block='depthwise', stem=1),
    terms=[dict(name='quality', loss=dict(type='QualityLoss'))],
)
train_cfg = dict(max_iters=800, val_interval=800)
param_scheduler = [dict(type='OneCycleLR', eta_max=6e-3, total_steps=800, pct_start=0.15, by_epoch=False)]
