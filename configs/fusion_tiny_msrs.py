# TinyFuser alone: paper B's loss and the balanced score on clean pairs, no teacher, no agent (not from a paper).
# What distillation is compared with; `--cfg-options model.terms.1.weight=0` leaves the score out.
_base_ = ['_base_/datasets/msrs.py', '_base_/schedules/one_cycle.py', '_base_/default_runtime.py']

model = dict(
    type='FusionDistiller',
    student=dict(type='TinyFuser', width=16),
    terms=[
        dict(name='self', loss=dict(type='FusionLoss'), space='rgb'),
        dict(name='score', loss=dict(type='MetricLoss', metric='score'), weight=2.0, share=0.25),
    ],
)
train_cfg = dict(max_iters=400, val_interval=400)
param_scheduler = [dict(type='OneCycleLR', eta_max=3e-3, total_steps=400, pct_start=0.2, by_epoch=False)]
