# agents_msrs.py on other training pairs, scenes drawn by a program; probe, validation and test pairs stay real.
#   python tools/study.py configs/study/agents_synthetic.py --policy pgpe_msrs --seeds 0,1,2 --arms ...
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
