"""Answers under work: what a student drew and its teachers gave, with what they earned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from fusionkd.models.policies.base import Answers, Queries

DISCRIMINATOR, STUDENT = 'discriminator', 'student'


@dataclass
class Group:
    """Answers to a batch of queries between the draw and the last update with them.

    Attributes:
        queries: B of them.
        answers: N to each, the student's first, then those of every teacher in turn.
        students: how many of the N are the student's.
        phase: what is updated next, ``'discriminator'`` or ``'student'``.
        updates: done in this phase.
        rewards: by name ``(B, N)``, or ``(B, N, T)`` where every part is paid for itself; empty until the student's first
            update.
        old_log_prob: ``(B, N, T)`` under the student that drew the answers, or ``None`` until its first update.
        reference_log_prob: the same under the starting point.
    """

    queries: Queries
    answers: Answers
    students: int
    phase: str
    updates: int = 0
    rewards: dict[str, Tensor] = field(default_factory=dict)
    old_log_prob: Tensor | None = None
    reference_log_prob: Tensor | None = None

    @property
    def total(self) -> Tensor:
        """Sum of the rewards, ``(B, N)``, or ``(B, N, T)`` if one of them pays parts: all parts earn what an answer earns."""
        values = list(self.rewards.values())
        if any(value.ndim == 3 for value in values):
            values = [value if value.ndim == 3 else value[..., None] for value in values]
        return sum(values)

    def check_parts(self, shape: torch.Size) -> Group:
        """This group, if rewards of parts fit the parts ``(B, N, T)`` of the policy.

        Raises:
            ValueError: they do not.
        """
        for name, value in self.rewards.items():
            if value.ndim == 3 and value.shape != shape:
                raise ValueError(
                    f'the reward {name!r} pays {value.shape[2]} parts of an answer, which has {shape[2]}: give '
                    'discriminator, judge and policy one cell, or leave it out of the first two: they pay whole answers then'
                )
        return self

    def advance(self, mu: int) -> bool:
        """Count an update; whether it was the last one with this group."""
        self.updates += 1
        if self.updates < mu:
            return False
        finished = self.phase == STUDENT
        self.phase, self.updates = STUDENT, 0
        return finished

    def state_dict(self) -> dict:
        """Plain contents for a checkpoint."""
        return vars(self) | dict(answers=self.answers.state_dict())

    @classmethod
    def from_state(cls, state: Mapping, device: torch.device) -> Group:
        """From :meth:`state_dict`, on a device."""
        state = move(dict(state), device)
        return cls(**state | dict(answers=Answers.from_state(state['answers'])))


def move(node: Any, device: torch.device) -> Any:
    """The same containers with their tensors on a device."""
    if isinstance(node, Tensor):
        return node.to(device)
    if isinstance(node, Mapping):
        return {key: move(value, device) for key, value in node.items()}
    if isinstance(node, list | tuple):
        return type(node)(move(value, device) for value in node)
    return node
