# KDRL (paper C, Sensors 2026, 26(1), 209) on RSSCN7: a student of 0.18 M parameters under a teacher of 1.2 M.
#
# From the paper: two stages; task, logits and features in the first; rewards for confidence and for alignment with the
# teacher's cluster centres in the second, while the task fades out; auxiliary layers in the student.
# Not from the paper, which does not publish it: formulas, clusters, schedule, estimators, and all numbers. The paper's
# student is CLIP ViT-B/32, see the other recipes.
#
# Train the teacher first: python tools/train.py configs/kdrl/kdrl_rsscn7_teacher.py
# The table of README.md: python tools/compare.py configs/kdrl/kdrl_rsscn7.py
_base_ = ['_base_/rsscn7.py', '_base_/runtime.py']

second = 0.6  # share of the training at which the second stage begins

model = dict(
    type='KDRLDistiller',
    student=dict(
        type='TimmClassifier',
        model_name='resnet10t',
        num_classes=7,
        options=dict(channels=(12, 24, 48, 96), stem_width=8),
    ),
    teacher=dict(
        type='TimmClassifier',
        name='teacher',
        model_name='resnet10t',
        num_classes=7,
        options=dict(channels=(32, 64, 128, 256), stem_width=16),
        init_cfg=dict(type='Pretrained', checkpoint='work_dirs/kdrl_rsscn7_teacher/student_best.pth'),
    ),
    blocks=['backbone.layer3', 'backbone.layer4'],
    terms=[
        dict(name='task', loss=dict(type='ClassLoss')),
        dict(name='logits', loss=dict(type='KDLoss', temperature=4.0), weight=1.0),
        dict(name='features', loss=dict(type='EmbeddingLoss'), weight=1.0),
        # Guarded by the teacher's softened opinion: guarded by the labels, it pays for over-confidence (see docs/kdrl.md).
        dict(name='confidence', loss=dict(type='AgreementPolicyLoss', temperature=4.0), weight=1.0),
        dict(name='alignment', loss=dict(type='AlignmentPolicyLoss'), weight=1.0),
    ],
)
custom_hooks = [
    dict(type='ClusterHook', dataset={{_base_.train_images}}, k=3),
    dict(
        type='StageHook',
        stages=[
            dict(name='distil', until=second, weights=dict(confidence=0.0, alignment=0.0)),
            dict(name='reinforce'),
        ],
    ),
    dict(type='FadeHook', term='task', begin=second, floor=0.1),
]
train_cfg = dict(max_iters=1600, val_interval=400)
param_scheduler = [dict(type='OneCycleLR', eta_max=3e-3, total_steps=1600, pct_start=0.2, by_epoch=False)]
optim_wrapper = dict(optimizer=dict(weight_decay=0.05))

# What tools/compare.py compares, all equally long: each arm's options replace the recipe's.
study = dict(
    first=['kdrl_rsscn7_teacher.py'],
    beside='teacher: teacher',
    columns=dict(top1=(100, 2), ece=(100, 2), nll=(1, 4)),
)
arms = {
    'scratch': {'custom_hooks': [], **{f'model.terms.{i}.weight': 0.0 for i in range(1, 5)}},
    'stage 1': {
        'custom_hooks.1.stages': [dict(name='distil', weights=dict(confidence=0.0, alignment=0.0))],
        'custom_hooks.2.floor': 1.0,
    },
    'stage 1 + 2': {},
    'stage 2 without rewards': {'custom_hooks.1.stages.1.weights': dict(confidence=0.0, alignment=0.0)},
    'confidence alone': {'custom_hooks.1.stages.1.weights': dict(alignment=0.0)},
    'alignment alone': {'custom_hooks.1.stages.1.weights': dict(confidence=0.0)},
    'task weight fixed': {'custom_hooks.2.floor': 1.0},
    'no distillation in stage 2': {'custom_hooks.1.stages.1.weights': dict(logits=0.0, features=0.0)},
    'guarded by labels': {'model.terms.3.loss': dict(_delete_=True, type='ConfidencePolicyLoss')},
    'clipped': {'model.old_policy': 8, 'model.terms.3.loss.clip': 0.2},
}
