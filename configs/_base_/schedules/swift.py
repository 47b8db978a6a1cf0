# The same cycle for Muon (K. Jordan 2024; AdamW for vectors and depthwise kernels) with averaged weights (not from the
# papers); docs/lightweight.md says what it is worth. Recipes set the number of iterations.
_base_ = ['one_cycle.py']

train_cfg = dict(val_interval=1000)
optim_wrapper = dict(
    optimizer=dict(
        _delete_=True,
        type='timm.optim.Muon',
        lr=1e-2,
        weight_decay=1e-4,
        nesterov=True,
        betas=(0.9, 0.99),
        fallback_lr_scale=2.0,
    )
)
param_scheduler = [dict(type='OneCycleLR', eta_max=1e-2, total_steps=1000, pct_start=0.15, by_epoch=False)]
custom_hooks = [dict(type='StudentEMAHook')]
