# fusionkd-teacher, a wide SwiftFuser under the quality loss alone, no teacher, no agent (not from a paper). What both sources
# add (SCD) weighs twice as much as in the students. Better than the published networks by its objective: docs/lightweight.md.
_base_ = ['_base_/datasets/msrs_noise.py', '_base_/schedules/swift.py', '_base_/default_runtime.py']

model = dict(
    type='FusionDistiller',
    student=dict(type='SwiftFuser', width=64, depth=5, context=3),
    terms=[dict(name='quality', loss=dict(type='QualityLoss', qabf=5.0, scd=1.0))],
)
train_cfg = dict(max_iters=3000, val_interval=3000)
optim_wrapper = dict(optimizer=dict(lr=7e-3, fallback_lr_scale=1.0))
param_scheduler = [dict(type='OneCycleLR', eta_max=7e-3, total_steps=3000, pct_start=0.15, by_epoch=False)]
