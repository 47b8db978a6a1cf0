# fusionkd-teacher, a wide SwiftFuser under the quality loss alone, no teacher, no agent (not from a paper). What both sources
# add (SCD) weighs half as much again as in the students. Better than the published networks by its objective:
# docs/lightweight.md.
_base_ = ['_base_/datasets/msrs_noise.py', '_base_/schedules/swift.py', '_base_/default_runtime.py']

model = dict(
    type='FusionDistiller',
    student=dict(type='SwiftFuser', width=128, depth=6, context=3, block='depthwise', stem=1),
    terms=[dict(name='quality', loss=dict(type='QualityLoss', qabf=5.0, scd=0.75))],
)
train_cfg = dict(max_iters=5000, val_interval=5000)
optim_wrapper = dict(optimizer=dict(lr=7e-3))
param_scheduler = [dict(type='OneCycleLR', eta_max=7e-3, total_steps=5000, pct_start=0.15, by_epoch=False)]
