# Our own teacher, for `teachers=[{{_base_.teacher}}]`; swift_teacher_msrs.py trains it.
teacher = dict(
    type='SwiftFuser',
    name='teacher',
    width=128,
    depth=6,
    context=3,
    block='depthwise',
    stem=1,
    init_cfg=dict(type='Pretrained', checkpoint='fusionkd-teacher'),
)
