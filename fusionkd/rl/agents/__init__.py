"""Agents and schedules, one interface."""

from .base import BaseAgent
from .exp3 import EXP3Agent
from .linucb import LinUCBAgent
from .pgpe import PGPEAgent
from .ppo import PPOAgent
from .reinforce import ReinforceAgent
from .schedules import CosineAgent, FixedAgent, GapProportionalAgent, GridAgent, LinearAgent, RandomAgent
from .thompson import ThompsonAgent

__all__ = [
    'BaseAgent',
    'CosineAgent',
    'EXP3Agent',
    'FixedAgent',
    'GapProportionalAgent',
    'GridAgent',
    'LinUCBAgent',
    'LinearAgent',
    'PGPEAgent',
    'PPOAgent',
    'RandomAgent',
    'ReinforceAgent',
    'ThompsonAgent',
]
