# The supervised start of ril_vlm.py, from scratch: a smaller network that sees few explained answers (not from the paper).
_base_ = ['_base_/synthetic_questions.py', '../_base_/schedules/one_cycle.py', '../_base_/default_runtime.py']

model = dict(
    type='ImitationDistiller',
    student=dict(type='TinyVLM', width=48, layers=2, vision_layers=1),
    policy=dict(type='VisionLanguagePolicy', max_new_tokens=12),
)
train_dataloader = dict(batch_size=64, dataset=dict(num=1024, seed=1))
train_cfg = dict(max_iters=300, val_interval=100)
param_scheduler = [dict(type='OneCycleLR', eta_max=3e-3, total_steps=300, pct_start=0.1, by_epoch=False)]
