# RIL (paper D, arXiv 2510.19307) on image fusion: a stochastic weight map, two teachers, a discriminator, a judge.
#
# From the paper: G = 4, as many responses of teachers, mu = 1, clip 0.2, beta 0.01, Dr.GRPO, the discriminator pretrained on
# 16 responses a side, AdamW.
# Not from the paper, which is about language models: everything that makes fusion a policy, the judge, the number of updates,
# and the learning rates (the paper's 1e-6 is for networks of billions of parameters).
#
# Train the start and the second teacher first, or let the study do it:
#   python tools/train.py configs/ril/ril_fusion_start.py
#   python tools/train.py configs/ril/ril_fusion_teacher.py
# The table of README.md: python tools/compare.py configs/ril/ril_fusion_msrs.py
_base_ = ['ril_fusion_start.py']

start = 'work_dirs/ril_fusion_start/student_best.pth'
student = dict(
    type='WeightMapFuser',
    backbone=dict(type='UNet', width=4),
    init_cfg=dict(type='Pretrained', checkpoint=start),
)
model = dict(
    _delete_=True,
    type='RILDistiller',
    student=student,
    policy=dict(type='WeightMapPolicy', cell=8, std=0.5),
    teachers=[
        dict(
            type='FuserResponder',
            fuser=dict(
                type='SeAFusion', init_cfg=dict(type='Pretrained', checkpoint='seafusion'), cache=dict(type='disk')
            ),
        ),
        dict(
            type='FuserResponder',
            fuser=dict(
                type='WeightMapFuser',
                name='unet',
                backbone=dict(type='UNet', width=4),
                init_cfg=dict(type='Pretrained', checkpoint='work_dirs/ril_fusion_teacher/student_best.pth'),
                cache=dict(type='disk'),
            ),
        ),
    ],
    discriminator=dict(type='FusionDiscriminator'),
    judge=dict(type='FusionJudge'),
    teacher_num=2,  # G in all
    pretrain=50,
)
train_dataloader = dict(batch_size=4)
train_cfg = dict(max_iters=1000, val_interval=1000)
optim_wrapper = dict(
    _delete_=True,
    constructor='PartsOptimConstructor',
    student=dict(optimizer=dict(type='AdamW', lr=3e-5, weight_decay=0.0), clip_grad=dict(max_norm=1.0)),
    discriminator=dict(optimizer=dict(type='AdamW', lr=3e-3, weight_decay=0.0)),
)
param_scheduler = []
custom_hooks = [dict(type='CollapseHook'), dict(type='SampleSheetHook')]

# What tools/compare.py compares, all from the same start and with equally many updates of the student.
study = dict(
    first=['ril_fusion_start.py', 'ril_fusion_teacher.py'],
    updates=300,  # of the student
    mean=dict(VIF=1 / 3, Qabf=1 / 2, SSIM=1 / 3),  # (VIF + 1.5 Qabf + SSIM) / 3
    columns=dict(mean=(1, 4), VIF=(1, 4), Qabf=(1, 4), SSIM=(1, 4)),
    options={
        'test_evaluator': dict(_delete_=True, type='FusionMetric', metric_names=['VIF', 'Qabf', 'SSIM'], score=False),
        'custom_hooks': [],
    },
)
arms = {
    'start, trained on': {
        'model': dict(
            _delete_=True,
            type='FusionDistiller',
            student=student,
            terms=[dict(name='fusion', loss=dict(type='FusionLoss'))],
        ),
        'optim_wrapper': dict(
            _delete_=True,
            type='OptimWrapper',
            optimizer=dict(type='AdamW', lr=3e-5, weight_decay=1e-4),
            clip_grad=dict(max_norm=1.0),
        ),
        'custom_hooks': [dict(type='FreezeNormHook', begin=0.0)],  # as in the other arms
    },
    'Dr.GRPO': {'model.teachers': [], 'model.discriminator': None, 'model.num': 8},
    'Dr.GRPO with teachers': {'model.discriminator': None},
    'frozen discriminator': {'model.train_discriminator': False},
    'RIL': {},
}
