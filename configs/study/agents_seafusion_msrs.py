# agents_msrs.py with another teacher, SeAFusion's published network: does a policy carry over?
#   python tools/study.py configs/study/agents_seafusion_msrs.py --policy pgpe_msrs --seeds 0,1,2 --arms ...
_base_ = ['agents_msrs.py']

model = dict(
    teachers=[dict(type='SeAFusion', name='teacher', init_cfg=dict(type='Pretrained', checkpoint='seafusion'))]
)
