"""The agent: what it sees, does and is paid, and how it learns."""

from . import agents, observations, probe, recognition_probe, rewards
from .actions import ActionSpace, Control
from .agents import BaseAgent

__all__ = ['ActionSpace', 'BaseAgent', 'Control', 'agents', 'observations', 'probe', 'recognition_probe', 'rewards']
