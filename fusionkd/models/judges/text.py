"""Judges of texts that know the true answer and ask nobody."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor

from fusionkd.evaluation.answers import contains_answer, exact_match, rule_match
from fusionkd.models.policies.base import Queries
from fusionkd.registry import MODELS

from .base import Judge


class AnswerJudge(Judge):
    """Compares each output with the true answer of its question.

    Args:
        pattern: regular expression whose first group is the answer proper in a response, see :func:`final_answer`. Default
            none: the whole response.

    Raises:
        ValueError: a question has no true answer.
    """

    def __init__(self, pattern: str | None = None):
        self.pattern = pattern

    def __call__(self, queries: Queries, outputs: list[list[str]], references: list[list[str]] | None) -> Tensor:
        for question, answer in zip(queries['questions'], queries['answers'], strict=True):
            if not answer:
                raise ValueError(f'{question!r} has no true answer, which {type(self).__name__} compares with')
        pairs = zip(outputs, queries['answers'], strict=True)
        return torch.tensor([[float(self.judge(text, answer)) for text in row] for row, answer in pairs])

    @abstractmethod
    def judge(self, response: str, answer: str) -> bool:
        """Whether a response gives the true answer."""


@MODELS.register_module()
class ExactMatchJudge(AnswerJudge):
    """1 where the final answer is the true one, both normalised, see :func:`exact_match` (not from the paper)."""

    def judge(self, response: str, answer: str) -> bool:
        return exact_match(response, answer, self.pattern)


@MODELS.register_module()
class RuleJudge(AnswerJudge):
    """1 where the final answer is the true number, choice or colour, see :func:`rule_match` (not from the paper).

    Args:
        pattern: see :class:`AnswerJudge`.
        tolerance: largest relative error of a number. Default 1e-6.
    """

    def __init__(self, pattern: str | None = None, tolerance: float = 1e-6):
        super().__init__(pattern)
        self.tolerance = tolerance

    def judge(self, response: str, answer: str) -> bool:
        return rule_match(response, answer, self.pattern, self.tolerance)


@MODELS.register_module()
class StringJudge(AnswerJudge):
    """1 where the true answer stands somewhere in the response, see :func:`contains_answer` (paper D's string judge)."""

    def __init__(self):
        super().__init__()

    def judge(self, response: str, answer: str) -> bool:
        return contains_answer(response, answer)
