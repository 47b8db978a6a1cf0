# Road scenes drawn by a program; the three sets have different seeds and share no scene.
train_dataloader = dict(
    batch_size=8,
    num_workers=0,
    sampler=dict(type='EndlessSampler'),
    dataset=dict(
        type='SyntheticScenes',
        num=64,
        seed=0,
        name='train',
        pipeline=[
            dict(type='RandomCropPair', size=96),
            dict(type='RandomFlipPair'),
            dict(type='PackFusionInputs'),
        ],
    ),
)
eval_pipeline = [dict(type='PackFusionInputs')]
val_dataloader = dict(
    batch_size=1,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='SyntheticScenes', num=16, seed=1, name='val', pipeline=eval_pipeline, test_mode=True),
)
test_dataloader = dict(
    batch_size=1,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='SyntheticScenes', num=24, seed=2, name='synthetic', pipeline=eval_pipeline, test_mode=True),
)
val_evaluator = dict(type='FusionMetric', protocol='cddfuse', metric_names=['VIF', 'Qabf', 'SSIM', 'SCD', 'Nabf'])
test_evaluator = dict(type='FusionMetric', protocol='cddfuse', trivial=True, panel=4)
