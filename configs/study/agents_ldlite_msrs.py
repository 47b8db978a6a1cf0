# agents_msrs.py with another student, paper A's: LDLite of 652,385 parameters, pruned, whose published weights training goes
# on from (the zoo downloads them).
#   python tools/study.py configs/study/agents_ldlite_msrs.py --policy pgpe_msrs --seeds 0,1,2 --arms ...
# Not from the paper: rate, losses, and half the iterations, for a step costs seven of the small student's.
_base_ = ['agents_msrs.py']

model = dict(student=dict(_delete_=True, type='LDLite', init_cfg=dict(type='Pretrained', checkpoint='ld_lite')))
optim_wrapper = dict(optimizer=dict(_delete_=True, type='AdamW', lr=1e-3, weight_decay=1e-4))
train_cfg = dict(max_iters=150, val_interval=150)
param_scheduler = [dict(type='OneCycleLR', eta_max=1e-3, total_steps=150, pct_start=0.15, by_epoch=False)]
