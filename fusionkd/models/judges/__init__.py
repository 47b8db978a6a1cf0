"""Judges of outputs, one world a file."""

from .base import Judge
from .fusion import FusionJudge
from .language_model import EndpointJudge, LanguageModelJudge, ModelJudge
from .text import AnswerJudge, ExactMatchJudge, RuleJudge, StringJudge

__all__ = [
    'AnswerJudge',
    'EndpointJudge',
    'ExactMatchJudge',
    'FusionJudge',
    'Judge',
    'LanguageModelJudge',
    'ModelJudge',
    'RuleJudge',
    'StringJudge',
]
