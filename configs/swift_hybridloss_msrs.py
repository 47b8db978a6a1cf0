# The student of swift_minute_msrs.py under paper B's loss, with the best of the 240 weights of its search: see docs/sweep.md.
_base_ = ['_base_/datasets/msrs_noise.py', '_base_/schedules/swift.py', '_base_/default_runtime.py']

model = dict(
    type='FusionDistiller',
    student=dict(type='SwiftFuser', width=40, depth=3, context_width=24, block='depthwise', stem=1),
    terms=[dict(name='self', loss=dict(type='FusionLoss', maximum=40, gradient=90, ssim=32, consistency=2))],
)
train_cfg = dict(max_iters=600, val_interval=600)
param_scheduler = [dict(type='OneCycleLR', eta_max=1e-2, total_steps=600, pct_start=0.15, by_epoch=False)]
