# fusionkd-best: the largest student, for a camera with time to spare. Without a teacher, as base. Width and length both pay:
# docs/lightweight.md.
_base_ = ['swift_base_msrs.py']

model = dict(student=dict(width=96, depth=5, context=3, context_width=96))
train_cfg = dict(max_iters=5000, val_interval=5000)
optim_wrapper = dict(optimizer=dict(lr=7e-3))
param_scheduler = [dict(type='OneCycleLR', eta_max=7e-3, total_steps=5000, pct_start=0.15, by_epoch=False)]
