"""What tells a student's outputs from its teachers'."""

from __future__ import annotations

from mmengine.model import BaseModule
from torch import Tensor, nn

from fusionkd.models.policies.base import Outputs, Queries


class Discriminator(BaseModule):
    """Network whose logit says "student" (paper D: student 1, teacher 0).

    A subclass that begins as a copy of the student builds itself in :meth:`bind`.
    """

    def bind(self, student: nn.Module) -> None:
        """Take what it needs of the student (its size, a copy of its weights), once, when the distiller is built and again
        when weights were loaded into the student before the training. Default nothing.
        """

    def forward(self, queries: Queries, outputs: Outputs) -> Tensor:
        """Logits of "this is the student's".

        Args:
            queries: B of them.
            outputs: N for each.

        Returns:
            ``(B, N)``, or ``(B, N, T)``, one for each of the T parts of an answer (not from the paper); the sigmoid is D of
            paper D.
        """
        raise NotImplementedError(f'{type(self).__name__} must implement forward(queries, outputs)')
