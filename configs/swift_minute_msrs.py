# One minute from nothing on two CPU cores: a SwiftFuser of 28,665 parameters under the quality loss (not from a paper).
# Qabf and hot targets weigh more than the loss's own, the rate stays high for longer than in a cosine, crops are small at
# first, and every second one is that of eight windows with the most edges: docs/lightweight.md.
# `--cfg-options train_cfg.max_iters=3000` makes about five minutes of it.
_base_ = ['_base_/datasets/msrs_noise.py', '_base_/schedules/swift.py', '_base_/default_runtime.py']

model = dict(
    type='FusionDistiller',
    student=dict(type='SwiftFuser', width=40, depth=3, context_width=24, block='depthwise', stem=1),
    terms=[dict(name='quality', loss=dict(type='QualityLoss', qabf=3.5, target=5.0))],
)
train_cfg = dict(max_iters=640, val_interval=640)
train_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type='LoadImagePair', cache_mb=2048),
            dict(type='RandomCropPair', size=192, candidates=8, prob=0.5),
            dict(type='RandomFlipPair'),
            dict(type='SensorNoise'),
            dict(type='PackFusionInputs'),
        ]
    )
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.04, begin=0, end=30, by_epoch=False),
    dict(type='PolyLR', power=0.3, begin=0, end=640, by_epoch=False),
]
custom_hooks = [dict(type='StudentEMAHook'), dict(type='CropSizeHook', sizes=[(0, 128), (0.7, 192)])]
