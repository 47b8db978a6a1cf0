# A student under our teacher (not from a paper): what distillation is worth here. `model.terms.1.weight=0` is the control.
_base_ = ['swift_fast_msrs.py']

model = dict(
    student=dict(width=32, depth=1, context=1, context_width=16),
    teachers=[
        dict(
            type='SwiftFuser',
            name='teacher',
            width=64,
            depth=5,
            context=3,
            init_cfg=dict(type='Pretrained', checkpoint='fusionkd-teacher'),
        )
    ],
    terms=[
        dict(name='quality', loss=dict(type='QualityLoss')),
        dict(name='guide', loss=dict(type='L1Loss'), target='teacher', weight=10.0, share=0.25),
    ],
)
