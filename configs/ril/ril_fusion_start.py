# The supervised start of ril_fusion_msrs.py: a small U-Net that predicts weight maps, under paper B's loss.
_base_ = ['../_base_/datasets/msrs.py', '../_base_/schedules/one_cycle.py', '../_base_/default_runtime.py']

model = dict(
    type='FusionDistiller',
    student=dict(type='WeightMapFuser', backbone=dict(type='UNet', width=8)),
    terms=[
        dict(name='fusion', loss=dict(type='FusionLoss'), space='rgb'),
        dict(name='kld', loss=dict(type='WeightMapKLD'), tap_s='backbone', weight=1e-5),
    ],
)
train_cfg = dict(max_iters=600, val_interval=600)
param_scheduler = [dict(type='OneCycleLR', eta_max=3e-3, total_steps=600, pct_start=0.2, by_epoch=False)]
