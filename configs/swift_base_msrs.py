# fusionkd-base, the student between `fast` and `best`. Without a teacher: swift_base_taught_msrs.py is the same with one.
_base_ = ['swift_minute_msrs.py']

model = dict(student=dict(width=32, depth=4, context=3, context_width=48))
train_cfg = dict(max_iters=6000, val_interval=6000)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.04, begin=0, end=200, by_epoch=False),
    dict(type='PolyLR', power=0.3, begin=0, end=6000, by_epoch=False),
]
