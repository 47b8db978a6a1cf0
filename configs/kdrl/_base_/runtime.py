# What all recipes of KDRL share.
_base_ = ['../../_base_/schedules/one_cycle.py', '../../_base_/default_runtime.py']
