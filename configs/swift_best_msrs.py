# fusionkd-best: the largest student, for a camera with time to spare. Without a teacher, as base.
_base_ = ['swift_base_msrs.py']

model = dict(student=dict(width=64, depth=4, context=3, context_width=64))
optim_wrapper = dict(optimizer=dict(lr=7e-3))
param_scheduler = [dict(type='OneCycleLR', eta_max=7e-3, total_steps=2000, pct_start=0.15, by_epoch=False)]
