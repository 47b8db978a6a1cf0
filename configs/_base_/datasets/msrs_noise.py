# MSRS layout with sensor noise in the training crops: compressed images are flat where cameras are not.
_base_ = ['msrs.py']

train_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type='LoadImagePair', cache_mb=2048),
            dict(type='RandomCropPair', size=128),
            dict(type='RandomFlipPair'),
            dict(type='SensorNoise'),
            dict(type='PackFusionInputs'),
        ]
    )
)
