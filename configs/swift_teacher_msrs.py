# Our teacher, a wide SwiftFuser under the quality loss alone, no teacher, no agent (not from a paper). Its last part is
# swift_teacher_tune_msrs.py. Better than the published networks by its objective and its long training: docs/lightweight.md.
_base_ = ['_base_/datasets/msrs_noise.py', '_base_/schedules/swift.py', '_base_/default_runtime.py']

model = dict(
    type='FusionDistiller',
    student=dict(type='SwiftFuser', width=64, depth=5, context=3),
    terms=[dict(name='quality', loss=dict(type='QualityLoss', brightness=1.25))],
)
train_cfg = dict(max_iters=10000, val_interval=5000)
optim_wrapper = dict(optimizer=dict(lr=4e-3))
param_scheduler = [dict(type='OneCycleLR', eta_max=4e-3, total_steps=10000, pct_start=0.15, by_epoch=False)]
