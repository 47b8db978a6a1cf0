# fusionkd-base: the student between `fast` and `best`, trained by itself and by our teacher (not from a paper).
# `model.terms.1.weight=0` leaves the teacher out.
_base_ = ['swift_minute_msrs.py']

model = dict(
    student=dict(type='SwiftFuser', width=32, depth=4, context=3, context_width=48, block='depthwise', stem=1),
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
        dict(
            name='quality',
            loss=dict(
                type='QualityLoss',
                vif=0.7,
                vif_sum=0.7,
                qabf=2.5,
                ssim=0.15,
                scd=0.4,
                nabf=3.0,
                target=1.5,
                brightness=2.0,
            ),
        ),
        dict(name='guide', loss=dict(type='L1Loss'), target='teacher', weight=10.0, share=0.25),
    ],
)
train_cfg = dict(max_iters=3000, val_interval=3000)
param_scheduler = [dict(type='OneCycleLR', eta_max=6e-3, total_steps=3000, pct_start=0.15, by_epoch=False)]
