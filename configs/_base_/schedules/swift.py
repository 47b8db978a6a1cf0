# The same cycle with a higher rate, and averaged weights (not from the papers). Recipes set the number of iterations.
_base_ = ['one_cycle.py']

train_cfg = dict(val_interval=1000)
optim_wrapper = dict(optimizer=dict(lr=6e-3))
param_scheduler = [dict(type='OneCycleLR', eta_max=6e-3, total_steps=1000, pct_start=0.15, by_epoch=False)]
custom_hooks = [dict(type='StudentEMAHook')]
