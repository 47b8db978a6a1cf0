# fusionkd-base: the student between `fast` and `best`.
_base_ = ['swift_fast_msrs.py']

model = dict(student=dict(width=32, depth=4, context=3, context_width=48))
