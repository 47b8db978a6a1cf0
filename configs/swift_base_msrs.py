# fusionkd-base, the student between `fast` and `best`. Without a teacher: swift_base_taught_msrs.py is the same with one.
_base_ = ['swift_minute_msrs.py']

model = dict(student=dict(width=32, depth=4, context=3, context_width=48))
train_cfg = dict(max_iters=6000, val_interval=6000)
param_scheduler = [dict(type='OneCycleLR', eta_max=1e-2, total_steps=6000, pct_start=0.15, by_epoch=False)]
