# The demo's recipe with a student from outside the package: `contrast_student.py` beside this file.
_base_ = '../../configs/rl_distill_demo.py'

custom_imports = dict(imports=['contrast_student'])
model = dict(student=dict(_delete_=True, type='ContrastStudent', width=8))
