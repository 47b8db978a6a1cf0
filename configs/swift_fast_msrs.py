# fusionkd-fast, taught by fusionkd-teacher: milliseconds at 480 x 640 on two CPU cores. `model.terms.1.weight=0` is the same
# student without a teacher.
_base_ = ['swift_minute_msrs.py']

model = dict(
    student=dict(width=16, depth=2, context_width=16),
    teachers=[
        dict(
            type='SwiftFuser',
            name='teacher',
            width=64,
            depth=5,
            context=3,
            init_cfg=dict(type='Pretrained', checkpoint='fusionkd-teacher'),
        )
    ],
    terms=[
        dict(name='quality', loss=dict(type='QualityLoss')),
        dict(name='guide', loss=dict(type='L1Loss'), target='teacher', weight=10.0, share=0.5),
    ],
)
train_cfg = dict(max_iters=2000, val_interval=2000)
param_scheduler = [dict(type='OneCycleLR', eta_max=1e-2, total_steps=2000, pct_start=0.15, by_epoch=False)]
