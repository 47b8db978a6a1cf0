# RIL (paper D, arXiv 2510.19307) on image fusion: a stochastic weight map, two teachers, a discriminator, a judge.
#
# From the paper: a group of 8, mu = 1, clip 0.2, beta 0.01, Dr.GRPO, the discriminator pretrained on 16 responses a side,
# AdamW.
# Not from the paper, which is about language models: everything that makes fusion a policy, the judge, rewards of every cell,
# 6 answers of the student to 2 of teachers (the paper has 4 to 4), teachers within reach of the student, the number of
# updates, and the learning rates (the paper's 1e-6 is for networks of billions of parameters). Spread, learning rate and
# number of updates were chosen on the validation pairs, which are of other scenes than MSRS; see README.md.
#
# The teachers are the packaged fusionkd-teacher and the start, tuned with gradients of the metrics. SeAFusion, which would be
# an obvious one, is worse than the start in what the judge counts; the arm 'RIL with SeAFusion' has it in place of the first.
#
# Train the start and the tuned teacher first, or let the study do it:
#   python tools/train.py configs/ril/ril_fusion_start.py
#   python tools/train.py configs/ril/ril_fusion_teacher.py
# The table of README.md: python tools/compare.py configs/ril/ril_fusion_msrs.py
_base_ = ['ril_fusion_start.py', '../_base_/teachers/fusionkd.py']

start = 'work_dirs/ril_fusion_start/student_best.pth'
student = dict(
    type='WeightMapFuser',
    backbone=dict(type='UNet', width=4),
    init_cfg=dict(type='Pretrained', checkpoint=start),
)
tuned = dict(
    type='FuserResponder',
    fuser=dict(
        type='WeightMapFuser',
        name='unet',
        backbone=dict(type='UNet', width=4),
        init_cfg=dict(type='Pretrained', checkpoint='work_dirs/ril_fusion_teacher/student_best.pth'),
    ),
)
large = dict(type='FuserResponder', fuser={{_base_.teacher}})
seafusion = dict(
    type='FuserResponder',
    fuser=dict(type='SeAFusion', init_cfg=dict(type='Pretrained', checkpoint='seafusion'), cache=dict(type='disk')),
)
model = dict(
    _delete_=True,
    type='RILDistiller',
    student=student,
    policy=dict(type='WeightMapPolicy', cell=8, std=0.25, reach=0.5),
    teachers=[large, tuned],
    discriminator=dict(type='FusionDiscriminator', cell=8),
    judge=dict(type='FusionJudge', cell=8),
    num=6,
    teacher_num=1,  # of each teacher: a group of 8
    pretrain=30,
)
train_dataloader = dict(batch_size=8)
train_cfg = dict(max_iters=230, val_interval=230)
optim_wrapper = dict(
    _delete_=True,
    constructor='PartsOptimConstructor',
    student=dict(optimizer=dict(type='AdamW', lr=1e-4, weight_decay=0.0), clip_grad=dict(max_norm=1.0)),
    discriminator=dict(optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.0)),
)
param_scheduler = []
custom_hooks = [dict(type='CollapseHook'), dict(type='SampleSheetHook')]

# What tools/compare.py compares, all from the same start and with equally many updates of the student.
study = dict(
    first=['ril_fusion_start.py', 'ril_fusion_teacher.py'],
    updates=100,  # of the student
    mean=dict(VIF=1 / 3, Qabf=1 / 2, SSIM=1 / 3),  # (VIF + 1.5 Qabf + SSIM) / 3
    columns=dict(mean=(1, 4), VIF=(1, 4), Qabf=(1, 4), SSIM=(1, 4)),
    options={
        'test_evaluator': dict(_delete_=True, type='FusionMetric', metric_names=['VIF', 'Qabf', 'SSIM'], score=False),
        'custom_hooks': [],
    },
)
arms = {
    'start trained on': {
        'model': dict(
            _delete_=True,
            type='FusionDistiller',
            student=student,
            terms=[dict(name='fusion', loss=dict(type='FusionLoss'))],
        ),
        'optim_wrapper': dict(
            _delete_=True,
            type='OptimWrapper',
            optimizer=dict(type='AdamW', lr=1e-4, weight_decay=1e-4),
            clip_grad=dict(max_norm=1.0),
        ),
        'custom_hooks': [dict(type='FreezeNormHook', begin=0.0)],  # as in the other arms
    },
    'Dr.GRPO on whole images': {
        'model.teachers': [],
        'model.discriminator': None,
        'model.num': 8,
        'model.judge.cell': None,
    },
    'Dr.GRPO': {'model.teachers': [], 'model.discriminator': None, 'model.num': 8},
    'Dr.GRPO with teachers': {'model.discriminator': None},
    'frozen discriminator': {'model.train_discriminator': False},
    'RIL': {},
    'RIL with SeAFusion': {'model.teachers': [seafusion, tuned]},
}
