"""What says whether an output is good."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor

from fusionkd.models.policies.base import Outputs, Queries


class Judge(ABC):
    """The answer reward of paper D: 0 or 1 for every output or part of it."""

    @abstractmethod
    def __call__(self, queries: Queries, outputs: Outputs, references: Outputs | None) -> Tensor:
        """Judge a group.

        Args:
            queries: B of them, with the true answers where there are some.
            outputs: N for each, the whole group: the student's first, then the teachers'.
            references: M teachers' outputs for each, or ``None`` without teachers.

        Returns:
            Float, each 0 or 1: ``(B, N)``, or ``(B, N, T)`` where every part of an answer is paid for itself (not from the
            paper), T being those of :meth:`Policy.log_prob`.

        Raises:
            ConnectionError: a judge that is not in this process does not answer. The distiller keeps the group, so that a
                resumed run asks again.
        """
