# The student of swift_base_msrs.py taught by fusionkd-teacher: what guidance by a better network gives and takes, see the
# README's results. Not packaged.
_base_ = ['swift_base_msrs.py', '_base_/teachers/fusionkd.py']

model = dict(
    teachers=[{{_base_.teacher}}],
    terms=[
        dict(name='quality', loss=dict(type='QualityLoss', qabf=5.0)),
        dict(name='guide', loss=dict(type='L1Loss'), target='teacher', weight=10.0, share=0.5),
    ],
)
