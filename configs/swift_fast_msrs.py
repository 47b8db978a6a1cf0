# fusionkd-fast: milliseconds at 480 x 640 on two CPU cores. Without a teacher: guidance as in swift_base_taught_msrs.py gave
# a student of this size more of both sources (SCD), and took VIF and Qabf.
_base_ = ['swift_minute_msrs.py']

model = dict(student=dict(width=16, depth=2, context_width=16))
train_cfg = dict(max_iters=8000, val_interval=8000)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.04, begin=0, end=200, by_epoch=False),
    dict(type='PolyLR', power=0.3, begin=0, end=8000, by_epoch=False),
]
