# MSRS layout with larger crops and sensor noise: SCD and targets are properties of a scene, and compressed images are flat
# where cameras are not.
_base_ = ['msrs.py']

train_dataloader = dict(
    batch_size=8,
    dataset=dict(
        pipeline=[
            dict(type='LoadImagePair', cache_mb=2048),
            dict(type='RandomCropPair', size=192),
            dict(type='RandomFlipPair'),
            dict(type='SensorNoise'),
            dict(type='PackFusionInputs'),
        ]
    ),
)
