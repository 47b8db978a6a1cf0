# A teacher of ril_fusion_msrs.py: its start, trained on with the gradients of the metrics that its judge looks at. The
# student of RIL has no such gradients, only the answers of this teacher and what is said about its own.
_base_ = ['ril_fusion_start.py']

model = dict(
    student=dict(init_cfg=dict(type='Pretrained', checkpoint='work_dirs/ril_fusion_start/student_best.pth')),
    terms=[
        dict(
            name='quality',
            loss=dict(
                type='QualityLoss',
                vif=0.0,
                vif_sum=1.0,
                qabf=1.5,
                ssim=2.0,
                scd=0.0,
                nabf=0.0,
                target=0.0,
                brightness=0.0,
            ),
        )
    ],
)
train_dataloader = dict(batch_size=4)
train_cfg = dict(max_iters=300, val_interval=300)
param_scheduler = [dict(type='OneCycleLR', eta_max=3e-4, total_steps=300, pct_start=0.05, by_epoch=False)]
custom_hooks = [dict(type='FreezeNormHook', begin=0.0)]
