# One cycle of the learning rate and averaged weights (not from the papers). Recipes set the number of iterations.
train_cfg = dict(type='ResumableTrainLoop', max_iters=1000, val_interval=1000)
val_cfg = dict()
test_cfg = dict()
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=6e-3, weight_decay=1e-4),
    clip_grad=dict(max_norm=1.0),
)
param_scheduler = [dict(type='OneCycleLR', eta_max=6e-3, total_steps=1000, pct_start=0.15, by_epoch=False)]
custom_hooks = [dict(type='StudentEMAHook')]
