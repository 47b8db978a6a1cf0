# The supervised start of ril_fusion_msrs.py: a small U-Net that predicts weight maps, under paper B's loss.
_base_ = ['../_base_/datasets/msrs.py', '../_base_/schedules/one_cycle.py', '../_base_/default_runtime.py']

model = dict(
    type='FusionDistiller',
    student=dict(type='WeightMapFuser', backbone=dict(type='UNet', width=4)),
    terms=[dict(name='fusion', loss=dict(type='FusionLoss'))],
)
train_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type='LoadImagePair', cache_mb=2048),
            dict(type='RandomCropPair', size=96),
            dict(type='RandomFlipPair'),
            dict(type='PackFusionInputs'),
        ]
    )
)
train_cfg = dict(max_iters=400, val_interval=400)
param_scheduler = [dict(type='OneCycleLR', eta_max=3e-3, total_steps=400, pct_start=0.2, by_epoch=False)]
custom_hooks = [dict(type='FreezeNormHook', begin=0.6)]
