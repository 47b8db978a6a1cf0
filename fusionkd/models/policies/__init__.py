"""How networks draw answers and know their probability, one world a file."""

from .base import Answers, Outputs, Policy, Queries, Responder, cat_outputs
from .vision_language import RecordedTeacher, VisionLanguagePolicy, VisionLanguageTeacher
from .weight_map import FuserResponder, WeightMapPolicy

__all__ = [
    'Answers',
    'FuserResponder',
    'Outputs',
    'Policy',
    'Queries',
    'RecordedTeacher',
    'Responder',
    'VisionLanguagePolicy',
    'VisionLanguageTeacher',
    'WeightMapPolicy',
    'cat_outputs',
]
