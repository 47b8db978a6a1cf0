# SeAFusion teaches TinyFuser at a fixed strength; hard samples of any strength. The baseline of rl_distill_msrs.py.
_base_ = 'rl_distill_msrs.py'

model = dict(
    terms=[
        dict(name='self', loss=dict(type='FusionLoss'), on='hard', space='rgb'),
        dict(name='guide', loss=dict(type='PerceptualLoss'), target='teacher', weight=1.0),
    ],
    hard_samples=dict(strength=(0.0, 1.0)),
)
custom_hooks = []
