"""How networks draw answers and know their probability, one world a file."""

from .base import Answers, Outputs, Policy, Queries, Responder, cat_outputs
from .vision_language import VisionLanguagePolicy, VisionLanguageTeacher

__all__ = [
    'Answers',
    'Outputs',
    'Policy',
    'Queries',
    'Responder',
    'VisionLanguagePolicy',
    'VisionLanguageTeacher',
    'cat_outputs',
]
