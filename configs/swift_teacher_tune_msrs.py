# fusionkd-teacher: 2000 more iterations after swift_teacher_msrs.py, in which what both sources add (SCD) and brightness
# weigh twice as much. `--cfg-options load_from=FILE` for a checkpoint elsewhere.
_base_ = ['swift_teacher_msrs.py']

load_from = 'work_dirs/swift_teacher_msrs/iter_10000.pth'
model = dict(terms=[dict(name='quality', loss=dict(type='QualityLoss', scd=1.0, brightness=2.5))])
train_cfg = dict(max_iters=2000, val_interval=2000)
optim_wrapper = dict(optimizer=dict(lr=2e-3))
param_scheduler = [dict(type='OneCycleLR', eta_max=2e-3, total_steps=2000, pct_start=0.15, by_epoch=False)]
