# agents_ldlite_msrs.py with SeAFusion's published network as the teacher.
_base_ = ['agents_ldlite_msrs.py']

model = dict(
    teachers=[dict(type='SeAFusion', name='teacher', init_cfg=dict(type='Pretrained', checkpoint='seafusion'))]
)
