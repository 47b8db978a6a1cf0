# The baseline of rl_distill_msrs.py: its teacher and the parts of its loss at a fixed strength, its hard samples at any
# strength, each as likely as another.
_base_ = 'rl_distill_msrs.py'

model = dict(
    terms=[
        dict(
            name='quality',
            loss=dict(type='QualityLoss'),
            parts=['vif', 'vif_sum', 'qabf', 'scd', 'target'],
            on='hard',
        ),
        dict(name='guide', loss=dict(type='L1Loss'), target='teacher', weight=10.0, share=0.5),
    ],
    hard_samples=dict(strength=(0.0, 1.0)),
)
custom_hooks = [dict(type='StudentEMAHook')]
