# agents_msrs.py on other training pairs, scenes drawn by a program; probe, validation and test pairs stay real.
_base_ = ['agents_msrs.py']

train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='SyntheticScenes',
        num=64,
        seed=0,
        name='train',
        pipeline=[
            dict(type='RandomCropPair', size=128),
            dict(type='RandomFlipPair'),
            dict(type='SensorNoise'),
            dict(type='PackFusionInputs'),
        ],
    ),
)
