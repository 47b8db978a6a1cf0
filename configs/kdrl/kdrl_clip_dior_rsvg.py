# KDRL with the paper's student, CLIP ViT-B/32: visual grounding on DIOR-RSVG (Zhan et al., TGRS 2023).
#
# A box is four choices among 32 places, so that both rewards mean what they mean for classes; a choice next to the true place
# counts as right. The box head is not from the paper, and neither are teacher, formulas, schedule and numbers. The teacher
# has no trained box head: it teaches features, and its box logits are not used.
# Not run yet: its weights need a download and its training a GPU.
_base_ = ['_base_/clip.py']

data_root = 'data/DIOR_RSVG'
eval_pipeline = [{{_base_.load}}, dict(type='PackRecognition')]
train_images = dict(
    type='GroundingList',
    data_root=data_root,
    ann_file='train.txt',
    source='python tools/prepare_data.py dior_rsvg',
    pipeline=eval_pipeline,
)
model = dict(
    student=dict(head=dict(type='BoxHead')),
    teacher=dict(head=dict(type='BoxHead')),
    terms=[
        dict(name='task', loss=dict(type='ClassLoss')),
        dict(name='overlap', loss=dict(type='GIoULoss')),
        dict(name='features', loss=dict(type='EmbeddingLoss')),
        dict(name='confidence', loss=dict(type='ConfidencePolicyLoss', tolerance=1)),
        dict(name='alignment', loss=dict(type='AlignmentPolicyLoss')),
    ],
)
train_dataloader = dict(
    batch_size=32,
    num_workers=4,
    sampler=dict(type='EndlessSampler'),
    dataset=dict(train_images, pipeline=[{{_base_.load}}, dict(type='ColourJitter'), dict(type='PackRecognition')]),
)
val_dataloader = dict(
    batch_size=32,
    num_workers=2,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(train_images, ann_file='val.txt', test_mode=True),
)
test_dataloader = dict(
    batch_size=32,
    num_workers=2,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(train_images, ann_file='test.txt', test_mode=True),
)
val_evaluator = dict(type='GroundingMetric')
test_evaluator = dict(type='GroundingMetric')
custom_hooks = [
    dict(type='ClusterHook', dataset=train_images, k=20, per_class=False),
    dict(
        type='StageHook',
        stages=[
            dict(name='distil', until={{_base_.second}}, weights=dict(confidence=0.0, alignment=0.0)),
            dict(name='reinforce'),
        ],
    ),
    dict(type='FadeHook', term='task', begin={{_base_.second}}, floor=0.1),
]
