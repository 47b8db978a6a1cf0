# fusionkd-base, the student between `fast` and `best`. Without a teacher: swift_base_taught_msrs.py is the same with one.
_base_ = ['_base_/datasets/msrs_noise.py', '_base_/schedules/swift.py', '_base_/default_runtime.py']

model = dict(
    type='FusionDistiller',
    student=dict(type='SwiftFuser', width=32, depth=4, context=3, context_width=48, block='depthwise', stem=1),
    terms=[dict(name='quality', loss=dict(type='QualityLoss', qabf=5.0))],
)
train_cfg = dict(max_iters=6000, val_interval=6000)
param_scheduler = [dict(type='OneCycleLR', eta_max=1e-2, total_steps=6000, pct_start=0.15, by_epoch=False)]
