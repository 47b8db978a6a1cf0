# fusionkd-fast: milliseconds at 480 x 640 on two CPU cores. Without a teacher: guidance as in swift_base_taught_msrs.py gave
# a student of this size more of both sources (SCD), and took VIF and Qabf.
_base_ = ['_base_/datasets/msrs_noise.py', '_base_/schedules/swift.py', '_base_/default_runtime.py']

model = dict(
    type='FusionDistiller',
    student=dict(type='SwiftFuser', width=16, depth=2, context_width=16, block='depthwise', stem=1),
    terms=[dict(name='quality', loss=dict(type='QualityLoss', qabf=5.0))],
)
train_cfg = dict(max_iters=8000, val_interval=8000)
param_scheduler = [dict(type='OneCycleLR', eta_max=1e-2, total_steps=8000, pct_start=0.15, by_epoch=False)]
