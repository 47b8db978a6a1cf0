"""The agent: what it sees, does and is paid, and how it learns."""

from . import agents, observations, rewards
from .actions import ActionSpace
from .agents import BaseAgent

__all__ = ['ActionSpace', 'BaseAgent', 'agents', 'observations', 'rewards']
