# The teacher of ril_vlm.py, from scratch: it sees many questions with explained answers (numbers not from the paper).
_base_ = ['_base_/synthetic_questions.py', '../_base_/schedules/one_cycle.py', '../_base_/default_runtime.py']

model = dict(
    type='ImitationDistiller',
    student=dict(type='TinyVLM', width=64, layers=2, vision_layers=2),
    policy=dict(type='VisionLanguagePolicy', max_new_tokens=12),
)
train_dataloader = dict(batch_size=64, dataset=dict(num=65536))
train_cfg = dict(max_iters=2500, val_interval=500)
param_scheduler = [dict(type='OneCycleLR', eta_max=3e-3, total_steps=2500, pct_start=0.1, by_epoch=False)]
