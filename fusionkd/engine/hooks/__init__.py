"""Hooks hold timing, no mathematics."""

from .agent_hook import AgentHook
from .cluster_hook import ClusterHook
from .collapse_hook import CollapseHook
from .crop_size_hook import CropSizeHook
from .fade_hook import FadeHook
from .norm_hook import FreezeNormHook
from .random_state_hook import RandomStateHook
from .sample_sheet_hook import SampleSheetHook
from .stage_hook import StageHook
from .student_ema_hook import StudentEMAHook
from .student_file_hook import StudentFileHook

__all__ = [
    'AgentHook',
    'ClusterHook',
    'CollapseHook',
    'CropSizeHook',
    'FadeHook',
    'FreezeNormHook',
    'RandomStateHook',
    'SampleSheetHook',
    'StageHook',
    'StudentEMAHook',
    'StudentFileHook',
]
