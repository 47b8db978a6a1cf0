"""What the answers of a group earn."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from fusionkd.models.policies.base import Outputs

from .group import Group

if TYPE_CHECKING:  # they need policies, which need this package
    from fusionkd.models.discriminators import Discriminator
    from fusionkd.models.judges import Judge


@torch.no_grad()
def find_rewards(
    group: Group, outputs: Outputs, discriminator: Discriminator | None, judge: Judge | None, graded: bool = False
) -> dict[str, Tensor]:
    """Rewards of all answers of a group.

    Args:
        group: N answers to each of B queries.
        outputs: what can be seen of them.
        discriminator: pays ``similarity``, 1[D < 0.5] (paper D).
        judge: pays ``judge``, 0 or 1.
        graded: similarity is 1 - D. Default False.

    Returns:
        By name ``(B, N)``, or ``(B, N, T)`` where each of the T parts of an answer is paid for itself.

    Raises:
        ValueError: a discriminator or judge that gave another shape.
    """
    rewards = {}
    if discriminator is not None:
        training = discriminator.training
        discriminator.eval()
        logits = discriminator(group.queries, outputs).float()
        discriminator.train(training)
        rewards['similarity'] = torch.sigmoid(-logits) if graded else (logits < 0).float()
    if judge is not None:
        theirs = split_outputs(outputs, group.students)[1] if group.students < group.answers.num else None
        rewards['judge'] = judge(group.queries, outputs, theirs).float()
    count = tuple(next(iter(group.answers.fields.values())).shape[:2])
    for who, found in zip((x for x in (discriminator, judge) if x is not None), rewards.values(), strict=True):
        if tuple(found.shape[:2]) != count or found.ndim > 3:
            raise ValueError(
                f'{type(who).__name__} gave {tuple(found.shape)} for answers {count}: it must be that, or with a third '
                'dimension of the parts of an answer'
            )
    return rewards


def reward_stats(group: Group) -> dict[str, Tensor]:
    """Means ``stat_<reward>/student`` and ``.../teacher``, and ``stat_similarity/constant``, the share of queries, or of
    their parts, whose student answers all earn the same similarity.
    """
    logs = {}
    for name, value in group.rewards.items():
        logs[f'stat_{name}/student'] = value[:, : group.students].mean()
        if group.students < value.shape[1]:
            logs[f'stat_{name}/teacher'] = value[:, group.students :].mean()
    if 'similarity' in group.rewards:
        own = group.rewards['similarity'][:, : group.students]
        logs['stat_similarity/constant'] = (own == own[:, :1]).all(1).float().mean()
    return logs


def split_outputs(outputs: Outputs, students: int) -> tuple[Outputs, Outputs]:
    """The student's outputs, which come first, and the teachers'."""
    if isinstance(outputs, Tensor):
        return outputs[:, :students], outputs[:, students:]
    return [row[:students] for row in outputs], [row[students:] for row in outputs]
