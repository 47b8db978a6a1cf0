# agents_msrs.py with another student, paper A's: LDLite of 652,385 parameters, pruned, whose published weights training goes
# on from (the zoo downloads them). With SeAFusion as its teacher: --cfg-options with the block of agents_seafusion_msrs.py.
#   python tools/study.py configs/study/agents_ldlite_msrs.py --arms scratch,fixed,pgpe_pretrained_frozen --seeds 0,1,2 ...
# Not from the paper: rate and losses.
_base_ = ['agents_msrs.py']

model = dict(student=dict(_delete_=True, type='LDLite', init_cfg=dict(type='Pretrained', checkpoint='ld_lite')))
