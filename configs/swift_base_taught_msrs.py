# The student of swift_base_msrs.py taught by fusionkd-teacher: what guidance by a better network gives and takes, see the
# README's results. Not packaged.
_base_ = ['swift_base_msrs.py']

model = dict(
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
        dict(name='quality', loss=dict(type='QualityLoss', qabf=5.0)),
        dict(name='guide', loss=dict(type='L1Loss'), target='teacher', weight=10.0, share=0.5),
    ],
)
