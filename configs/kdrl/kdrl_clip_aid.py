# KDRL with the paper's student, CLIP ViT-B/32: zero-shot classification of AID (Xia et al., TGRS 2017) by prompts, after
# training on the captions of RSITMD. NWPU-RESISC45 is tested by --cfg-options with its folder and classes.
#
# Everything that is and is not from the paper: see kdrl_clip_rsitmd.py. The paper's training set is not known to us.
_base_ = ['kdrl_clip_rsitmd.py']

aid_root = 'data/AID'
classes = [
    'Airport', 'BareLand', 'BaseballField', 'Beach', 'Bridge', 'Center', 'Church', 'Commercial', 'DenseResidential',
    'Desert', 'Farmland', 'Forest', 'Industrial', 'Meadow', 'MediumResidential', 'Mountain', 'Park', 'Parking',
    'Playground', 'Pond', 'Port', 'RailwayStation', 'Resort', 'River', 'School', 'SparseResidential', 'Square', 'Stadium',
    'StorageTanks', 'Viaduct',
]  # fmt: skip
model = dict(student=dict(test_head=dict(type='PromptHead', classes=classes)))
val_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='ClassFolders',
        data_root=aid_root,
        splits=dict(val=0.1, test=0.9),
        part='val',
        classes=classes,
        source='python tools/prepare_data.py aid',
        pipeline={{_base_.eval_pipeline}},
        test_mode=True,
    )
)
test_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='ClassFolders',
        data_root=aid_root,
        splits=dict(val=0.1, test=0.9),
        part='test',
        classes=classes,
        source='python tools/prepare_data.py aid',
        pipeline={{_base_.eval_pipeline}},
        test_mode=True,
    )
)
val_evaluator = dict(_delete_=True, type='ClassificationMetric')
test_evaluator = dict(_delete_=True, type='ClassificationMetric')
