# fusionkd-best: the largest student, for a camera with time to spare. Without the teacher, which is hardly better than it.
_base_ = ['swift_minute_msrs.py']

model = dict(student=dict(width=64, depth=4, context=3, context_width=64))
train_cfg = dict(max_iters=3000, val_interval=3000)
optim_wrapper = dict(optimizer=dict(lr=4e-3))
param_scheduler = [dict(type='OneCycleLR', eta_max=4e-3, total_steps=3000, pct_start=0.15, by_epoch=False)]
