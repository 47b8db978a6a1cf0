# MSRS (Tang et al. 2022), or any folder of its layout: ROOT/{train,test}/{ir,vi}/NAME.
# Every tenth run of five neighbouring training names is validation; the test set is for reporting only.
data_root = 'data/MSRS'
train_folders = dict(ir='train/ir', vis='train/vi')

train_dataloader = dict(
    batch_size=8,
    num_workers=0,  # decoded images stay in memory, and a resumed run is exact
    sampler=dict(type='EndlessSampler'),
    dataset=dict(
        type='PairedFusionDataset',
        data_root=data_root,
        data_prefix=train_folders,
        part='train',
        name='train',
        pipeline=[
            dict(type='LoadImagePair', cache_mb=2048),
            dict(type='RandomCropPair', size=128),
            dict(type='RandomFlipPair'),
            dict(type='PackFusionInputs'),
        ],
    ),
)
eval_pipeline = [dict(type='LoadImagePair'), dict(type='PackFusionInputs')]
val_dataloader = dict(
    batch_size=1,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='PairedFusionDataset',
        data_root=data_root,
        data_prefix=train_folders,
        part='val',
        name='val',
        pipeline=eval_pipeline,
        test_mode=True,
    ),
)
test_dataloader = dict(
    batch_size=1,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='PairedFusionDataset',
        data_root=data_root,
        data_prefix=dict(ir='test/ir', vis='test/vi'),
        name='MSRS',
        pipeline=eval_pipeline,
        test_mode=True,
    ),
)
val_evaluator = dict(type='FusionMetric', protocol='cddfuse', metric_names=['VIF', 'Qabf', 'SSIM', 'SCD', 'Nabf'])
test_evaluator = dict(type='FusionMetric', protocol='cddfuse', trivial=True, panel=4)
