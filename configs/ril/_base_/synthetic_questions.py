# Questions about coloured shapes, drawn by a program. The parts share no scene.
pipeline = [dict(type='PackRecognition')]
train_dataloader = dict(
    batch_size=16,
    num_workers=0,  # so that a resumed run is exact
    sampler=dict(type='EndlessSampler'),
    dataset=dict(type='SyntheticQuestions', num=4096, part='train', name='train', pipeline=pipeline),
)
val_dataloader = dict(
    batch_size=128,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='SyntheticQuestions', num=256, part='val', name='val', pipeline=pipeline, test_mode=True),
)
test_dataloader = dict(
    batch_size=128,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='SyntheticQuestions', num=1024, part='test', name='synthetic', pipeline=pipeline, test_mode=True),
)
pattern = r'\banswer (.+)$'  # what comes after the explanation
val_evaluator = dict(type='AnswerMetric', pattern=pattern)
test_evaluator = dict(type='AnswerMetric', pattern=pattern)
