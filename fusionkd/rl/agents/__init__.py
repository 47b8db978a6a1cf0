"""Agents and schedules, one interface."""

from .base import BaseAgent
from .linucb import LinUCBAgent
from .ppo import PPOAgent
from .schedules import FixedAgent, RandomAgent

__all__ = ['BaseAgent', 'FixedAgent', 'LinUCBAgent', 'PPOAgent', 'RandomAgent']
