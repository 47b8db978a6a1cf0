# KDRL with the paper's student, CLIP ViT-B/32: image-text retrieval on RSITMD (Yuan et al., TGRS 2021).
#
# From the paper: student, task, the two stages and their rewards. Not from the paper: teacher, formulas, schedule and all
# numbers, and that both directions of retrieval are choices among the captions and images of the batch. RSICD (Lu et al.,
# TGRS 2017) has the same layout: --data-root data/RSICD --cfg-options ann_file=dataset_rsicd.json for every loader.
# Not run yet: its weights need a download and its training a GPU.
_base_ = ['_base_/clip.py']

data_root = 'data/RSITMD'
source = 'python tools/prepare_data.py rsitmd'
eval_pipeline = [{{_base_.load}}, dict(type='PackRecognition')]
train_images = dict(
    type='CaptionList',
    data_root=data_root,
    ann_file='dataset_RSITMD.json',
    split='train',
    splits=dict(
        train=0.9, val=0.1
    ),  # the list has no validation images; those of its test split are for reporting only
    part='train',
    source=source,
    pipeline=eval_pipeline,
)
val_images = dict(train_images, part='val', test_mode=True)
test_images = dict(train_images, split='test', part='all', test_mode=True)
model = dict(
    student=dict(head=dict(type='RetrievalHead')),
    teacher=dict(head=dict(type='RetrievalHead')),
    terms=[
        dict(name='task', loss=dict(type='ClassLoss')),
        dict(name='logits', loss=dict(type='KDLoss', temperature=1.0)),
        dict(name='features', loss=dict(type='EmbeddingLoss')),
        dict(name='confidence', loss=dict(type='ConfidencePolicyLoss')),
        dict(name='alignment', loss=dict(type='AlignmentPolicyLoss')),
    ],
)
train_dataloader = dict(
    batch_size=64,
    num_workers=4,
    sampler=dict(type='EndlessSampler'),
    dataset=dict(
        train_images,
        pipeline=[
            {{_base_.load}},
            dict(type='RandomResizedCrop', size={{_base_.size}}, scale=(0.7, 1.0)),
            dict(type='ColourJitter'),
            dict(type='PackRecognition'),
        ],
    ),
)
val_dataloader = dict(
    batch_size=32, num_workers=2, sampler=dict(type='DefaultSampler', shuffle=False), dataset=val_images
)
test_dataloader = dict(val_dataloader, dataset=test_images)
val_evaluator = dict(type='RetrievalMetric')
test_evaluator = dict(type='RetrievalMetric')
custom_hooks = [
    dict(type='ClusterHook', dataset=train_images, k=64, per_class=False),
    dict(
        type='StageHook',
        stages=[
            dict(name='distil', until={{_base_.second}}, weights=dict(confidence=0.0, alignment=0.0)),
            dict(name='reinforce'),
        ],
    ),
    dict(type='FadeHook', term='task', begin={{_base_.second}}, floor=0.1),
]
