"""How networks draw answers and know their probability, one world a file."""

from .base import Answers, Outputs, Policy, Queries, Responder, cat_outputs

__all__ = ['Answers', 'Outputs', 'Policy', 'Queries', 'Responder', 'cat_outputs']
