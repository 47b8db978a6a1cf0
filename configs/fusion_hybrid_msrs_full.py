# Paper B with its published batches, for a GPU with 24 GB: 16 full images, accumulated twice, 10 epochs of MSRS.
_base_ = 'fusion_hybrid_msrs.py'

train_dataloader = dict(
    num_workers=4,
    dataset=dict(
        pipeline=[
            dict(type='LoadImagePair'),
            dict(type='RandomCropPair', size=(480, 640)),  # MSRS as it is; other sets are cut or extended to its size
            dict(type='PackFusionInputs'),
        ]
    ),
)
optim_wrapper = dict(accumulative_counts=2)
train_cfg = dict(max_iters=680, val_interval=68)
default_hooks = dict(checkpoint=dict(interval=68))
