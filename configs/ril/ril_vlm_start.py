# The supervised start of ril_vlm.py (not from the paper): the teacher's network, tuned to answer without explaining, on few
# questions, of which one in fifty is still explained. It can do more than it shows: its short answers are worse.
_base_ = ['_base_/synthetic_questions.py', '../_base_/schedules/one_cycle.py', '../_base_/default_runtime.py']

model = dict(
    type='ImitationDistiller',
    student=dict(
        type='TinyVLM',
        width=64,
        layers=2,
        vision_layers=2,
        init_cfg=dict(type='Pretrained', checkpoint='work_dirs/ril_vlm_teacher/student_best.pth'),
    ),
    policy=dict(type='VisionLanguagePolicy', max_new_tokens=12),
)
train_dataloader = dict(batch_size=64, dataset=dict(num=4096, seed=1, explained=0.02))
train_cfg = dict(max_iters=60, val_interval=60)
param_scheduler = [dict(type='OneCycleLR', eta_max=1e-3, total_steps=60, pct_start=0.1, by_epoch=False)]
