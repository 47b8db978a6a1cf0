# fusionkd-teacher: 2500 more iterations after swift_teacher_msrs.py, in which what both sources add (SCD) weighs three times
# as much. `--cfg-options load_from=FILE` for a checkpoint elsewhere.
_base_ = ['swift_teacher_msrs.py']

load_from = 'work_dirs/swift_teacher_msrs/iter_10000.pth'
model = dict(terms=[dict(name='quality', loss=dict(type='QualityLoss', scd=1.5))])
train_cfg = dict(max_iters=2500, val_interval=2500)
optim_wrapper = dict(optimizer=dict(lr=2e-3))
param_scheduler = [dict(type='OneCycleLR', eta_max=2e-3, total_steps=2500, pct_start=0.15, by_epoch=False)]
