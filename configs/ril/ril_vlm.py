# RIL (paper D, arXiv 2510.19307) on questions about coloured shapes, with networks that train on one core.
#
# From the paper: groups of 4 answers of the student and 4 of the teacher, similarity and answer reward, discriminator made of
# the student and pretrained on 16 responses a question from each side, clip, beta, mu, sampling.
# Not from the paper: data, networks, number of updates, and learning rates (the paper's 1e-6 is for networks of billions of
# parameters).
#
# The start answers in a word; the teacher explains itself first and is right more often. The same network with the teacher's
# weights was tuned to short answers, so that what is measured is how fast better ways of answering are brought out.
#
# Train the teacher and the start first, or let the study do it:
#   python tools/train.py configs/ril/ril_vlm_teacher.py
#   python tools/train.py configs/ril/ril_vlm_start.py
# For a published model see docs/ril.md.
_base_ = ['_base_/synthetic_questions.py', '../_base_/schedules/one_cycle.py', '../_base_/default_runtime.py']

policy = dict(type='VisionLanguagePolicy', max_new_tokens=12)
model = dict(
    type='RILDistiller',
    student=dict(
        type='TinyVLM',
        width=64,
        layers=2,
        vision_layers=2,
        init_cfg=dict(type='Pretrained', checkpoint='work_dirs/ril_vlm_start/student_best.pth'),
    ),
    policy=policy,
    teachers=[
        dict(
            type='VisionLanguageTeacher',
            name='teacher',
            network=dict(
                type='TinyVLM',
                width=64,
                layers=2,
                vision_layers=2,
                init_cfg=dict(type='Pretrained', checkpoint='work_dirs/ril_vlm_teacher/student_best.pth'),
            ),
            sampling=dict(max_new_tokens=12),
        )
    ],
    discriminator=dict(type='VisionLanguageDiscriminator'),
    judge=dict(type='ExactMatchJudge', pattern={{_base_.pattern}}),
    length=12,
    pretrain=20,
    data_preprocessor=dict(type='BaseDataPreprocessor'),
)
train_dataloader = dict(batch_size=8, dataset=dict(num=2048))
train_cfg = dict(max_iters=220, val_interval=110)
optim_wrapper = dict(
    _delete_=True,
    constructor='PartsOptimConstructor',
    student=dict(optimizer=dict(type='AdamW', lr=2e-4, weight_decay=0.0), clip_grad=dict(max_norm=1.0)),
    discriminator=dict(optimizer=dict(type='AdamW', lr=5e-4, weight_decay=0.0), clip_grad=dict(max_norm=1.0)),
)
param_scheduler = []
custom_hooks = [dict(type='CollapseHook'), dict(type='SampleSheetHook')]

# What tools/compare.py compares, all from the same start and with equally many updates of the student.
study = dict(
    first=['ril_vlm_teacher.py', 'ril_vlm_start.py'],
    updates=100,
    columns={'exact_match': (100, 1), 'kind/count': (100, 1), 'kind/colour': (100, 1), 'kind/position': (100, 1)},
    options={'custom_hooks': []},
)
_plain = {'model.teachers': [], 'model.discriminator': None, 'model.num': 8}
arms = {
    'Dr.GRPO': _plain,  # RL only: groups as large, of the student's answers alone
    'Dr.GRPO with teacher': {'model.discriminator': None},
    'frozen discriminator': {'model.train_discriminator': False},
    'RIL': {},
}
