# The main job on scenes that need no download: SeAFusion teaches SwiftFuser, a PPO agent sets the teacher's strength and
# the difficulty of the student's own samples. A few minutes on two CPU cores.
_base_ = ['_base_/datasets/synthetic.py', '_base_/schedules/one_cycle.py', '_base_/default_runtime.py']

model = dict(
    type='FusionDistiller',
    # On 300 iterations of drawn scenes a correction in full steps is worth more: they are mostly flat.
    student=dict(type='SwiftFuser', width=32, depth=3, context_width=24, block='depthwise', stem=1, correction=1.0),
    teachers=[dict(type='SeAFusion', init_cfg=dict(type='Pretrained', checkpoint='seafusion'))],
    terms=[
        dict(name='self', loss=dict(type='FusionLoss'), on='hard', space='rgb'),
        dict(name='guide', loss=dict(type='L1Loss'), target='teacher', weight='agent'),
        dict(name='quality', loss=dict(type='QualityLoss'), on='hard', weight=0.3),
    ],
    hard_samples=dict(type='HardSampleGenerator', ops=['blur', 'brightness', 'contrast', 'noise'], strength='agent'),
    test_teachers=True,
)
custom_hooks = [
    dict(
        type='AgentHook',
        interval=10,
        agent=dict(type='PPOAgent'),
        observation=['StudentPerformance', 'TeacherGap', 'Progress'],
        reward=dict(type='ScoreGain'),
        actions=dict(guide=(0, 4), hard_strength=(0, 1)),
        probe=dict(
            dataset=dict(type='SyntheticScenes', num=8, seed=3, name='probe', pipeline=[dict(type='PackFusionInputs')]),
            num=8,
            size=128,
        ),
    )
]
train_cfg = dict(max_iters=300, val_interval=100)
param_scheduler = [dict(type='OneCycleLR', eta_max=3e-3, total_steps=300, pct_start=0.2, by_epoch=False)]
default_hooks = dict(checkpoint=dict(interval=100))
