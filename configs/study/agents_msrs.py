# What an agent is worth on MSRS: a student of 8.7 thousand parameters under fusionkd-teacher, trained in half a minute by
# learning agents and by the schedules they must beat. The recipe below is the arm `ppo`; the others change it.
#   python tools/study.py configs/study/agents_msrs.py --data-root data/MSRS --set MSRS=data/MSRS/test --set TNO=data/TNO
# Policies of the pretrained arms, into work_dirs/policy_pgpe; policy_ppo by `--arm ppo`, policy_hackable by
# `--arm pgpe_hackable`:
#   python tools/train_agent.py configs/study/agents_msrs.py --arm pgpe_whole --episodes 96 --batch 8 \
#       --out work_dirs/policy_pgpe --data-root data/MSRS
# The packaged one (`pgpe_msrs`) has a longer history: docs/agents_study.md.
# Not from a paper: all of it; see docs/agents.md.
_base_ = ['../swift_minute_msrs.py', '../_base_/teachers/fusionkd.py']

train_dataloader = dict(
    batch_size=4,
    dataset=dict(
        pipeline=[
            dict(type='LoadImagePair', cache_mb=2048),
            dict(type='RandomCropPair', size=128),
            dict(type='RandomFlipPair'),
            dict(type='SensorNoise'),
            dict(type='PackFusionInputs'),
        ]
    ),
)
train_cfg = dict(max_iters=300, val_interval=300)
param_scheduler = [dict(type='OneCycleLR', eta_max=1e-2, total_steps=300, pct_start=0.15, by_epoch=False)]

# Every control begins at the recipe's value. Brightness and artefacts keep their weights: no agent may pay for a score with
# darker or noisier images.
controls = dict(
    guide=(0.0, 30.0, 10.0),
    quality_vif=(0.0, 2.7, 0.9),
    quality_vif_sum=(0.0, 3.6, 1.2),
    quality_qabf=(0.0, 7.5, 2.5),
    quality_scd=(0.0, 2.0, 0.5),
    quality_target=(0.0, 10.5, 3.5),
    hard_strength=(0.0, 1.0, 0.5),
    hard_share=(0.0, 1.0, 0.25),
    lr=(0.3, 3.0, 1.0),
)
few = ['StudentPerformance', 'Progress']
seen = ['StudentPerformance', 'TeacherGap', 'Progress']
schedule = {'custom_hooks.1.observation': seen}  # measure for a schedule no more than it or a simple agent needs
# Clean and degraded images count alike.
paid = dict(type='Rewards', rewards=[dict(type='ScoreGain'), dict(type='GeneralisationGain', every=2)])
# Bandits have no critic that knows how a student's gains fade, so they are paid what is above the expected gain.
bandit = {
    'custom_hooks.1.observation': few,
    'custom_hooks.1.reward': dict(_delete_=True, type='ScoreGain', detrend=True),
}
# Draws of a linear policy's parameters that hold for a whole training, in pairs; few inputs, for there are few trainings. It
# begins at the constant that validation pairs choose among 32 (`spread_11` below), not at the recipe's values.
best_constant = dict(
    guide=16.35,
    quality_vif=0.38,
    quality_vif_sum=2.08,
    quality_qabf=1.37,
    quality_scd=0.97,
    quality_target=6.6,
    hard_strength=0.38,
    hard_share=0.86,
    lr=2.2,
)
pgpe = {
    **schedule,
    'custom_hooks.1.actions': {'_delete_': True}
    | {name: (low, high, best_constant[name]) for name, (low, high, _) in controls.items()},
    'custom_hooks.1.agent': dict(type='PGPEAgent', inputs=['gap/teacher/score', 'progress']),
}
learnt = {**pgpe, 'custom_hooks.1.agent.init_from': 'work_dirs/policy_pgpe/policy.pth'}
frozen = {**learnt, 'custom_hooks.1.agent.frozen': True}
# A draw for every five decisions: learns within one training.
within = {'custom_hooks.1.agent.hold': 5, 'custom_hooks.1.agent.population': 4}
ppo_learnt = {'custom_hooks.1.agent.init_from': 'work_dirs/policy_ppo/policy.pth'}

model = dict(
    student=dict(width=16, depth=2, context_width=16),
    teachers=[{{_base_.teacher}}],
    terms=[
        dict(
            name='quality',
            loss=dict(type='QualityLoss'),
            parts=['vif', 'vif_sum', 'qabf', 'scd', 'target'],
            on='hard',
        ),
        dict(name='guide', loss=dict(type='L1Loss'), target='teacher', weight='agent', share=0.5),
    ],
    hard_samples=dict(type='HardSampleGenerator', strength='agent'),
    hard_share=0.25,
)
custom_hooks = [
    dict(type='StudentEMAHook'),
    dict(
        type='AgentHook',
        interval=20,
        agent=dict(type='PPOAgent'),
        observation=[
            *('StudentPerformance', 'TeacherGap', 'TermLosses', 'Progress', 'LastAction'),
            dict(type='GeneralisationGap', every=2),
            dict(type='GradientAlignment', every=4),
        ],
        reward=paid,
        actions=controls,
        smoothing=0.3,
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
            degraded=dict(ops=['grain_noise', 'over_exposure', 'motion_blur', 'dead_pixels', 'rain'], strength=0.6),
        ),
    ),
    dict(type='StageHook', stages=[dict(name='all')]),  # fixes nothing; two arms let it take controls from the agent
]

# What degrades the test sets: no arm trains with it, and no agent is paid or informed by it. Near: relatives of operations
# that are trained with; far: nothing trained with resembles them.
study = dict(
    unseen=dict(
        near=['poisson_noise', 'low_resolution'],
        far=['smoke', 'occlusion', 'misregistration', 'thermal_inversion'],
    ),
    strength=0.5,
)
plain = [dict(type='StudentEMAHook')]
arms = {
    'scratch': {'model.terms.1.weight': 0.0, 'model.hard_share': 0.0, 'custom_hooks': plain},
    'fixed': {'model.terms.1.weight': 10.0, 'model.hard_samples.strength': (0.0, 1.0), 'custom_hooks': plain},
    'random': {**schedule, 'custom_hooks.1.agent': dict(type='RandomAgent')},
    'linear': {
        **schedule,
        'custom_hooks.1.agent': dict(
            type='LinearAgent', start=dict(guide=20.0, hard_strength=0.0), end=dict(guide=0.0, hard_strength=1.0)
        ),
    },
    'cosine': {
        **schedule,
        'custom_hooks.1.agent': dict(
            type='CosineAgent', start=dict(guide=20.0, hard_share=0.5), end=dict(guide=0.0, hard_share=0.0)
        ),
    },
    'heuristic': {
        **schedule,
        'custom_hooks.1.agent': dict(type='GapProportionalAgent', gaps=dict(guide='gap/*/score')),
    },
    'linucb': {**bandit, 'custom_hooks.1.agent': dict(type='LinUCBAgent', levels=2)},
    'thompson': {**bandit, 'custom_hooks.1.agent': dict(type='ThompsonAgent', levels=2)},
    'exp3': {**bandit, 'custom_hooks.1.agent': dict(type='EXP3Agent', levels=2)},
    'reinforce': {'custom_hooks.1.agent': dict(type='ReinforceAgent')},
    'ppo': {},
    'ppo_no_hard_samples': {
        'model.hard_share': 0.0,
        'custom_hooks.1.actions': {'_delete_': True} | {k: v for k, v in controls.items() if not k.startswith('hard')},
    },
    'ppo_no_guidance_control': {
        'model.terms.1.weight': 10.0,
        'custom_hooks.1.actions': {'_delete_': True} | {k: v for k, v in controls.items() if k != 'guide'},
    },
    'ppo_pretrained_frozen': {**ppo_learnt, 'custom_hooks.1.agent.frozen': True},
    'ppo_pretrained_adapting': ppo_learnt,
    # The share stays; what degrades which sample, and how much, is decided for each.
    'samples': {
        'model.terms.1.weight': 10.0,
        'model.terms.1.share': 1.0,
        'custom_hooks.1.agent': dict(type='FixedAgent'),
        'custom_hooks.1.actions': dict(_delete_=True, hard_share=(0.0, 1.0)),
        'custom_hooks.1.sample_agent': dict(
            agent=dict(type='PPOAgent', rollout=256, minibatches=4, epochs=4), terms=['guide']
        ),
    },
    'pgpe_whole': pgpe,  # for tools/train_agent.py: within one training it learns nothing
    'pgpe': {**pgpe, **within},
    'pgpe_pretrained_frozen': frozen,
    'pgpe_pretrained_adapting': {**learnt, **within, 'custom_hooks.1.agent.std': 0.2},
    # The learnt policy without its decisions over time: their mean over the five runs of pgpe_pretrained_frozen.
    'pgpe_mean': {
        **schedule,
        'custom_hooks.1.agent': dict(type='FixedAgent'),
        'custom_hooks.1.actions': dict(
            _delete_=True,
            guide=(0.0, 30.0, 12.97),
            quality_vif=(0.0, 2.7, 1.19),
            quality_vif_sum=(0.0, 3.6, 1.98),
            quality_qabf=(0.0, 7.5, 0.8),
            quality_scd=(0.0, 2.0, 1.33),
            quality_target=(0.0, 10.5, 6.5),
            hard_strength=(0.0, 1.0, 0.3),
            hard_share=(0.0, 1.0, 0.33),
            lr=(0.3, 3.0, 1.74),
        ),
    },
    # The learnt policy with a part of its decisions taken away.
    'pgpe_no_hard_samples': {**frozen, 'custom_hooks.2.stages.0.hard': dict(share=0.0)},
    'pgpe_no_guidance_control': {**frozen, 'custom_hooks.2.stages.0.weights': dict(guide=10.0)},
    # What an agent makes of paper B's score, which contrast enhancement raises.
    'pgpe_hackable': {**pgpe, 'custom_hooks.1.reward': dict(_delete_=True, type='HybridFusionGain')},
    'pgpe_hackable_frozen': {**frozen, 'custom_hooks.1.agent.init_from': 'work_dirs/policy_hackable/policy.pth'},
}
# Constant oracles, of which the validation pairs choose: points of a grid over three controls, and 24 points spread over all
# nine (a Kronecker sequence of square roots of primes), within 0.1 to 0.9 of the bounds.
arms.update(
    {
        f'constant_guide{guide:g}_scd{scd:g}_lr{lr:g}': {
            **schedule,
            'custom_hooks.1.agent': dict(type='FixedAgent'),
            'custom_hooks.1.actions': {
                '_delete_': True,
                **controls,
                'guide': (0.0, 30.0, guide),
                'quality_scd': (0.0, 2.0, scd),
                'lr': (0.3, 3.0, lr),
            },
        }
        for guide in (10.0, 20.0)
        for scd in (0.5, 1.25)
        for lr in (1.0, 2.0)
    }
)
arms.update(
    {
        f'spread_{point}': {
            **schedule,
            'custom_hooks.1.agent': dict(type='FixedAgent'),
            'custom_hooks.1.actions': {'_delete_': True}
            | {
                name: (low, high, low + (high - low) * (0.1 + 0.8 * (point * prime**0.5 % 1)))
                for prime, (name, (low, high, _)) in zip(
                    (2, 3, 5, 7, 11, 13, 17, 19, 23), controls.items(), strict=True
                )
            },
        }
        for point in range(1, 25)
    }
)
