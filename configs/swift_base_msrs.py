# fusionkd-base, the student between `fast` and `best`, taught by fusionkd-teacher. `--cfg-options model.terms.1.weight=0` is
# the same student without a teacher: as good in the balanced score, with more VIF and less SCD.
_base_ = ['swift_minute_msrs.py']

model = dict(
    student=dict(width=32, depth=4, context=3, context_width=48),
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
