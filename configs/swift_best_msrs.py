# fusionkd-best: the largest student, for a camera with time to spare. Without a teacher, as base. Width and length both pay,
# and so does a rate that stays high. Qabf and SCD weigh a little more than in the others, hot targets a little less:
# docs/lightweight.md.
_base_ = ['swift_base_msrs.py']

model = dict(
    student=dict(width=80, depth=4, context=3, context_width=64),
    terms=[dict(name='quality', loss=dict(type='QualityLoss', qabf=6.0, scd=0.6, target=3.0))],
)
train_cfg = dict(max_iters=7500, val_interval=7500)
optim_wrapper = dict(optimizer=dict(lr=7e-3))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.04, begin=0, end=200, by_epoch=False),
    dict(type='PolyLR', power=0.3, begin=0, end=7500, by_epoch=False),
]
