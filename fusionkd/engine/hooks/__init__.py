"""Hooks hold timing, no mathematics."""

from .agent_hook import AgentHook
from .random_state_hook import RandomStateHook
from .student_ema_hook import StudentEMAHook
from .student_file_hook import StudentFileHook

__all__ = ['AgentHook', 'RandomStateHook', 'StudentEMAHook', 'StudentFileHook']
