# The baseline of rl_distill_msrs.py: its teacher at a fixed strength in the middle of the agent's bounds, its hard samples
# at any strength, each as likely as another.
_base_ = 'rl_distill_msrs.py'

model = dict(
    terms=[
        dict(name='self', loss=dict(type='FusionLoss'), on='hard', space='rgb'),
        dict(name='guide', loss=dict(type='PerceptualLoss'), target='teacher', weight=1.0, share=0.25),
        dict(name='quality', loss=dict(type='QualityLoss'), on='hard', weight=0.3),
    ],
    hard_samples=dict(strength=(0.0, 1.0)),
)
custom_hooks = []
