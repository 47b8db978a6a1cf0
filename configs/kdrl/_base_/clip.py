# A dual encoder under a larger one: the paper's student, CLIP ViT-B/32, and a frozen ViT-L/14 of the same weights (the
# paper's teacher is not known to us). Both read 224 x 224.
_base_ = ['runtime.py']

size = 224
second = 0.6
load = dict(type='LoadImage', size=size)
_student = dict(type='DualEncoder', model='ViT-B-32', pretrained='openai')
_teacher = dict(type='DualEncoder', name='teacher', model='ViT-L-14', pretrained='openai')
model = dict(
    type='KDRLDistiller',
    student=_student,
    teacher=_teacher,
    blocks=['clip.visual.transformer.resblocks.5', 'clip.visual.transformer.resblocks.11'],
    channels_last=False,
)
train_cfg = dict(max_iters=5000, val_interval=500)
param_scheduler = [dict(type='OneCycleLR', eta_max=1e-5, total_steps=5000, pct_start=0.1, by_epoch=False)]
optim_wrapper = dict(optimizer=dict(lr=1e-5, weight_decay=0.1))
