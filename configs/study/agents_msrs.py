# What an agent is worth on MSRS: a student of 8.7 thousand parameters under fusionkd-teacher, trained in half a minute by
# learning agents and by the schedules they must beat. The recipe below is the arm `ppo`; the others change it.
#   python tools/study.py configs/study/agents_msrs.py --data-root data/MSRS --set MSRS=data/MSRS/test --set TNO=data/TNO
# Policies of the pretrained arms, into work_dirs/policy_ppo, policy_pgpe and policy_middle:
#   python tools/train_agent.py configs/study/agents_msrs.py --arm ppo --episodes 24 --batch 4 --out work_dirs/policy_ppo \
#       --cfg-options custom_hooks.1.agent.gamma=0.99
#   python tools/train_agent.py configs/study/agents_msrs.py --arm pgpe --episodes 24 --batch 8 --out work_dirs/policy_pgpe \
#       --cfg-options custom_hooks.1.agent.hold=None custom_hooks.1.agent.population=8
#   python tools/train_agent.py configs/study/agents_msrs.py --arm pgpe_middle --episodes 24 --batch 8 \
#       --out work_dirs/policy_middle
# Not from a paper: all of it; see docs/agents.md.
_base_ = ['../swift_minute_msrs.py']

# Half the batches of the recipe it is made from, and AdamW: what was studied first.
train_dataloader = dict(batch_size=4)
optim_wrapper = dict(optimizer=dict(_delete_=True, type='AdamW', lr=6e-3, weight_decay=1e-4))
train_cfg = dict(max_iters=400, val_interval=400)
param_scheduler = [dict(type='OneCycleLR', eta_max=1.2e-2, total_steps=400, pct_start=0.15, by_epoch=False)]

# The brightness part keeps its weight: no agent may pay for a score with darker images.
controls = dict(
    guide=(0.0, 20.0, 10.0),
    quality_vif=(0.0, 3.6, 0.9),
    quality_ssim=(0.0, 2.0, 0.0),
    quality_scd=(0.0, 2.0, 0.5),
    quality_target=(0.0, 7.0, 3.5),
    hard_strength=(0.0, 1.0, 0.5),
    hard_share=(0.0, 1.0, 0.25),
)
few = ['StudentPerformance', 'Progress']
# Clean and degraded images count alike.
paid = dict(type='Rewards', rewards=[dict(type='ScoreGain'), dict(type='GeneralisationGain', every=4)])
# Bandits have no critic that knows how a student's gains fade, so they are paid what is above the expected gain.
bandit = {
    'custom_hooks.1.observation': few,
    'custom_hooks.1.reward': dict(_delete_=True, type='ScoreGain', detrend=True),
}
# Draws of a linear policy's parameters that hold for a whole training, in pairs; few inputs, for there are few trainings.
pgpe = {
    'custom_hooks.1.agent': dict(type='PGPEAgent', inputs=['gap/teacher/score', 'progress']),
}
model = dict(
    student=dict(width=16, depth=2, context_width=16),
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
        dict(name='quality', loss=dict(type='QualityLoss'), parts=['vif', 'ssim', 'scd', 'target'], on='hard'),
        dict(name='guide', loss=dict(type='L1Loss'), target='teacher', weight='agent', share=0.5),
    ],
    hard_samples=dict(type='HardSampleGenerator', strength='agent'),
    hard_share=0.25,
)
custom_hooks = [
    dict(type='StudentEMAHook'),
    dict(
        type='AgentHook',
        interval=10,
        agent=dict(type='PPOAgent'),
        observation=[
            *('StudentPerformance', 'TeacherGap', 'TermLosses', 'Progress', 'LastAction'),
            dict(type='GeneralisationGap', every=4),
            dict(type='GradientAlignment', every=8),
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
            degraded=dict(ops=['motion_blur', 'over_exposure', 'rain', 'dead_pixels'], strength=0.6),
        ),
    ),
]

# What degrades the test sets: no arm trains with it, and no agent is paid or informed by it.
study = dict(
    unseen=['poisson_noise', 'low_resolution', 'smoke', 'occlusion', 'misregistration', 'thermal_inversion'],
    strength=0.5,
)
arms = {
    'scratch': {
        'model.terms.1.weight': 0.0,
        'model.hard_share': 0.0,
        'custom_hooks': [dict(type='StudentEMAHook')],
    },
    'fixed': {
        'model.terms.1.weight': 10.0,
        'model.hard_samples.strength': (0.0, 1.0),
        'custom_hooks': [dict(type='StudentEMAHook')],
    },
    'random': {'custom_hooks.1.agent': dict(type='RandomAgent')},
    'linear': {
        'custom_hooks.1.agent': dict(
            type='LinearAgent', start=dict(guide=20.0, hard_strength=0.0), end=dict(guide=0.0, hard_strength=1.0)
        )
    },
    'cosine': {
        'custom_hooks.1.agent': dict(
            type='CosineAgent', start=dict(guide=20.0, hard_share=0.5), end=dict(guide=0.0, hard_share=0.0)
        )
    },
    'heuristic': {'custom_hooks.1.agent': dict(type='GapProportionalAgent', gaps=dict(guide='gap/*/score'))},
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
    # What an agent makes of paper B's score, which contrast enhancement raises.
    'ppo_hackable': {'custom_hooks.1.reward': dict(_delete_=True, type='HybridFusionGain')},
    'ppo_pretrained_frozen': {
        'custom_hooks.1.agent.init_from': 'work_dirs/policy_ppo/policy.pth',
        'custom_hooks.1.agent.frozen': True,
    },
    'ppo_pretrained_adapting': {'custom_hooks.1.agent.init_from': 'work_dirs/policy_ppo/policy.pth'},
    'pgpe': {**pgpe, 'custom_hooks.1.agent.hold': 5, 'custom_hooks.1.agent.population': 4},
    'pgpe_pretrained_frozen': {
        **pgpe,
        'custom_hooks.1.agent.init_from': 'work_dirs/policy_pgpe/policy.pth',
        'custom_hooks.1.agent.frozen': True,
    },
    'pgpe_pretrained_adapting': {
        **pgpe,
        'custom_hooks.1.agent.init_from': 'work_dirs/policy_pgpe/policy.pth',
        'custom_hooks.1.agent.hold': 5,
        'custom_hooks.1.agent.population': 4,
        'custom_hooks.1.agent.std': 0.2,
    },
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
}
# Constant oracle: points of a grid, of which the validation pairs choose; as many trainings as the policies cost.
arms.update(
    {
        f'grid_{vif}_{ssim}_{target}_{share}': {
            'custom_hooks.1.agent': dict(type='FixedAgent'),
            'custom_hooks.1.actions': {
                '_delete_': True,
                **controls,
                'quality_vif': (0.0, 3.6, vif),
                'quality_ssim': (0.0, 2.0, ssim),
                'quality_target': (0.0, 7.0, target),
                'hard_share': (0.0, 1.0, share),
            },
        }
        for vif in (0.9, 2.7)
        for ssim in (0.0, 1.0)
        for target in (1.75, 3.5)
        for share in (0.0, 0.25)
    }
)
# The same with every weight of a part in the middle of its bounds at first: at a bound, where SSIM begins otherwise, the
# squashing of an agent's numbers is flat, and nothing is learnt.
middle = {
    '_delete_': True,
    **controls,
    'quality_vif': (0.0, 3.6, 1.8),
    'quality_ssim': (0.0, 2.0, 1.0),
    'quality_scd': (0.0, 2.0, 1.0),
}
arms.update(
    {
        'middle': {'custom_hooks.1.agent': dict(type='FixedAgent'), 'custom_hooks.1.actions': middle},
        'pgpe_middle': {**pgpe, 'custom_hooks.1.actions': middle},
        'pgpe_middle_frozen': {
            **pgpe,
            'custom_hooks.1.actions': middle,
            'custom_hooks.1.agent.init_from': 'work_dirs/policy_middle/policy.pth',
            'custom_hooks.1.agent.frozen': True,
        },
    }
)
del middle
