# The student of swift_minute_msrs.py under paper B's loss instead of ours. tools/sweep.py searches its weights:
# `python tools/sweep.py configs/swift_hybridloss_msrs.py --preset hybridfusion`.
_base_ = ['swift_minute_msrs.py']

model = dict(
    terms=[dict(name='self', loss=dict(type='FusionLoss'))],
)
