# One minute from nothing on two CPU cores: a SwiftFuser of 28,665 parameters under the quality loss (not from a paper).
# Qabf weighs twice the loss's own: docs/lightweight.md. `--cfg-options train_cfg.max_iters=2700
# param_scheduler.0.total_steps=2700` make about five minutes of it.
_base_ = ['_base_/datasets/msrs_noise.py', '_base_/schedules/swift.py', '_base_/default_runtime.py']

model = dict(
    type='FusionDistiller',
    student=dict(type='SwiftFuser', width=40, depth=3, context_width=24, block='depthwise', stem=1),
    terms=[dict(name='quality', loss=dict(type='QualityLoss', qabf=5.0))],
)
train_cfg = dict(max_iters=600, val_interval=600)
param_scheduler = [dict(type='OneCycleLR', eta_max=1e-2, total_steps=600, pct_start=0.15, by_epoch=False)]
