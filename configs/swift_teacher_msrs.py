# Our teacher: a wide SwiftFuser under the quality loss alone, no teacher, no agent (not from a paper).
# Better than the published networks by its objective, not by its size: see docs/lightweight.md.
_base_ = ['_base_/datasets/msrs.py', '_base_/schedules/swift.py', '_base_/default_runtime.py']

model = dict(
    type='FusionDistiller',
    student=dict(type='SwiftFuser', width=64, depth=5, context=4),
    terms=[
        dict(
            name='quality',
            loss=dict(type='QualityLoss', vif=0.3, vif_sum=0.4, qabf=1.2, ssim=0.1, scd=0.2, nabf=1.0, target=1.0),
        )
    ],
)
train_cfg = dict(max_iters=4000, val_interval=2000)
optim_wrapper = dict(optimizer=dict(lr=4e-3))
param_scheduler = [dict(type='OneCycleLR', eta_max=4e-3, total_steps=4000, pct_start=0.15, by_epoch=False)]
