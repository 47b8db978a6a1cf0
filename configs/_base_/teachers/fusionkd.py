# Our own teacher, for `teachers=[{{_base_.teacher}}]`; swift_teacher_msrs.py trains it.
teacher = dict(
    type='SwiftFuser',
    name='teacher',
    width=64,
    depth=5,
    context=3,
    init_cfg=dict(type='Pretrained', checkpoint='fusionkd-teacher'),
)
