# The teacher of kdrl_rsscn7.py, trained from scratch: no pretrained weights are needed. 80 epochs.
_base_ = ['_base_/rsscn7.py', '_base_/runtime.py']

model = dict(
    type='KDRLDistiller',
    student=dict(
        type='TimmClassifier',
        model_name='resnet10t',
        num_classes=7,
        options=dict(channels=(32, 64, 128, 256), stem_width=16),
    ),
    terms=[dict(name='task', loss=dict(type='ClassLoss', smoothing=0.1))],
)
train_cfg = dict(max_iters=3200, val_interval=400)
param_scheduler = [dict(type='OneCycleLR', eta_max=3e-3, total_steps=3200, pct_start=0.2, by_epoch=False)]
optim_wrapper = dict(optimizer=dict(weight_decay=0.05))
