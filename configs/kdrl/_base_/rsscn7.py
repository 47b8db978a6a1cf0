# RSSCN7 (Zou et al. 2015), 7 scene classes in ROOT/{train,test}/CLASS. A tenth of the training images, drawn class by class,
# is validation; the test images are for reporting only.
data_root = 'data/RSSCN7'
size = 64
source = 'python tools/prepare_data.py rsscn7'
splits = dict(train=0.9, val=0.1)
eval_pipeline = [dict(type='LoadImage', size=size, cache_mb=512), dict(type='PackRecognition')]
train_images = dict(
    type='ClassFolders',
    data_root=data_root,
    data_prefix=dict(image='train'),
    splits=splits,
    part='train',
    name='train',
    source=source,
    pipeline=eval_pipeline,
)
train_dataloader = dict(
    batch_size=32,
    num_workers=0,  # decoded images stay in memory, and a resumed run is exact
    sampler=dict(type='EndlessSampler'),
    dataset=dict(
        train_images,
        pipeline=[
            dict(type='LoadImage', size=size, cache_mb=512),
            dict(type='RandomResizedCrop', size=size),
            dict(type='RandomSymmetry'),
            dict(type='ColourJitter'),
            dict(type='PackRecognition'),
        ],
    ),
)
val_dataloader = dict(
    batch_size=64,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(train_images, part='val', name='val', test_mode=True),
)
test_dataloader = dict(
    batch_size=64,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='ClassFolders',
        data_root=data_root,
        data_prefix=dict(image='test'),
        name='RSSCN7',
        source=source,
        pipeline=eval_pipeline,
        test_mode=True,
    ),
)
val_evaluator = dict(type='ClassificationMetric')
test_evaluator = dict(type='ClassificationMetric')
