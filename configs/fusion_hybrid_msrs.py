# Paper B (HybridFusion, arXiv 2602.20851) from scratch, scaled to a CPU: the published network, loss, optimiser and
# precision; batches of 16 crops of 128 x 128 instead of accumulated batches of 16 full images.
# The published batches are in fusion_hybrid_msrs_full.py.
_base_ = ['_base_/datasets/msrs.py', '_base_/schedules/one_cycle.py', '_base_/default_runtime.py']

model = dict(
    type='FusionDistiller',
    student=dict(type='WeightMapFuser', backbone=dict(type='UNet', width=64)),
    terms=[
        dict(name='fusion', loss=dict(type='FusionLoss'), space='rgb'),
        dict(name='kld', loss=dict(type='WeightMapKLD'), tap_s='backbone', weight=1e-5),
    ],
)
train_dataloader = dict(batch_size=16)
train_cfg = dict(max_iters=500, val_interval=250)
optim_wrapper = dict(
    _delete_=True,
    type='Bf16OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-4, weight_decay=1e-4),
    clip_grad=dict(max_norm=1.0),
)
param_scheduler = []  # the learning rate is constant in the paper
default_hooks = dict(checkpoint=dict(interval=250))
