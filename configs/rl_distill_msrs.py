# AgentFuse (paper A, arXiv 2509.02424) on MSRS: SeAFusion teaches SwiftFuser, and an agent that sees the student's
# performance and the gap to the teacher sets the teacher's strength and the difficulty of the student's own samples.
#
# From the paper: the three parts, the guidance loss on VGG-19 features, what the agent sees and decides.
# Not from the paper, which does not publish it: VGG layers, the self-learning loss (paper B's and the quality loss),
# degradations and their ranges, and everything about the agent: PPO, observations, reward, bounds, interval. The teacher
# and VGG-19 cost most of a step, so they see a quarter of each batch.
_base_ = ['_base_/datasets/msrs.py', '_base_/schedules/one_cycle.py', '_base_/default_runtime.py']

model = dict(
    type='FusionDistiller',
    student=dict(type='SwiftFuser', width=32, depth=3, context_width=24, block='depthwise', stem=1),
    teachers=[dict(type='SeAFusion', init_cfg=dict(type='Pretrained', checkpoint='seafusion'))],
    terms=[
        dict(name='self', loss=dict(type='FusionLoss'), on='hard', space='rgb'),
        dict(name='guide', loss=dict(type='PerceptualLoss'), target='teacher', weight='agent', share=0.25),
        dict(name='quality', loss=dict(type='QualityLoss'), on='hard', weight=0.3),
    ],
    hard_samples=dict(type='HardSampleGenerator', ops=['blur', 'brightness', 'contrast', 'noise'], strength='agent'),
)
custom_hooks = [
    dict(
        type='AgentHook',
        interval=10,
        agent=dict(type='PPOAgent'),
        observation=['StudentPerformance', 'TeacherGap', 'TermLosses', 'Progress', 'LastAction'],
        reward=dict(type='ScoreGain'),
        actions=dict(guide=(0, 2), hard_strength=(0, 1)),
        probe=dict(
            dataset=dict(
                type='PairedFusionDataset',
                data_root={{_base_.data_root}},
                data_prefix={{_base_.train_folders}},
                part='val',
                name='probe',
                pipeline={{_base_.eval_pipeline}},
            ),
            num=8,
            size=192,
        ),
    )
]
