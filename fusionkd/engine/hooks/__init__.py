"""Hooks hold timing, no mathematics."""

from .agent_hook import AgentHook
from .cluster_hook import ClusterHook
from .fade_hook import FadeHook
from .random_state_hook import RandomStateHook
from .stage_hook import StageHook
from .student_ema_hook import StudentEMAHook
from .student_file_hook import StudentFileHook

__all__ = ['AgentHook', 'ClusterHook', 'FadeHook', 'RandomStateHook', 'StageHook', 'StudentEMAHook', 'StudentFileHook']
