"""Who teaches which sample, and what a term is worth then."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from .teacher import Teacher
from .term import Term

ALL = 'all'


class Batch(NamedTuple):
    """A clean batch: ``(N, 1, H, W)`` in [0, 1], chroma ``(N, 2, H, W)`` or ``None``, data samples or ``None``."""

    ir: Tensor
    vis: Tensor
    cbcr: Tensor | None = None
    samples: Sequence | None = None


class Group(NamedTuple):
    """Samples that follow the same teacher, or ``'all'``; ``rows`` is ``None`` for the whole batch."""

    follow: str
    rows: list[int] | None

    def within(self, n: int) -> list[int]:
        """Its rows among the first n samples."""
        return list(range(n)) if self.rows is None else [row for row in self.rows if row < n]


class Value(NamedTuple):
    """A term of one batch.

    Attributes:
        loss: scalar with a graph: over all samples that the term sees the mean of the teachers' weighted losses.
        stat: scalar, detached: the same without the teachers' weights, over the samples that somebody teaches.
        each: ``(N,)``, detached, of each sample, nan where the term saw nothing; ``None`` if its loss has no ``per_sample``.
    """

    loss: Tensor
    stat: Tensor
    each: Tensor | None


def group_samples(choices: Sequence[str] | None, follow: str) -> list[Group]:
    """Groups of samples by the teacher they follow.

    Args:
        choices: one per sample, or ``None``.
        follow: what every sample follows without ``choices``.
    """
    if choices is None:
        return [Group(follow, None)]
    if len(set(choices)) == 1:
        return [Group(choices[0], None)]
    return [Group(c, [i for i, own in enumerate(choices) if own == c]) for c in dict.fromkeys(choices)]


def followed(term: Term, group: Group, guides: Mapping[str, Teacher]) -> list[Teacher]:
    """Teachers of weight above 0 that a term learns from for a group of samples."""
    names = [name for name in term.teachers(list(guides)) if group.follow in (ALL, name)]
    return [guides[name] for name in names if guides[name].weight > 0]


def wanted_rows(
    terms: Sequence[Term], groups: Sequence[Group], guides: Mapping[str, Teacher], n: int
) -> dict[str, list[int]]:
    """By teacher, the samples of a batch of n that some term compares with it."""
    wanted: dict[str, set[int]] = {}
    for term in terms:
        for group in groups:
            rows = group.within(term.samples(n))
            for teacher in followed(term, group, guides) if rows else ():
                wanted.setdefault(teacher.name, set()).update(rows)
    return {name: sorted(rows) for name, rows in wanted.items()}


def evaluate_term(
    term: Term,
    student: Mapping,
    outputs: Mapping[str, Mapping],
    groups: Sequence[Group],
    guides: Mapping[str, Teacher],
    batch: Batch,
) -> Value | None:
    """Unweighted value of one term.

    Args:
        term: what to compute.
        student: ``fused`` and ``taps`` of its view.
        outputs: the same by teacher, of the clean batch.
        groups: who follows whom.
        guides: all teachers by name.
        batch: the clean batch.

    Returns:
        The value, or ``None`` where nobody teaches any of the samples.
    """
    count = len(batch.ir)
    n = term.samples(count)
    known = term.teachers(list(guides))
    if not known:
        values = _student_values(term, student, batch, slice(n))
        if term.target is not None:
            values['target'] = values[term.target]
        value, each = term(values)
        return Value(value, value.detach(), None if each is None else _scatter(each.detach(), slice(n), count))
    loss, stat, guided, scores = 0.0, 0.0, 0.0, None
    for group in groups:
        rows, teachers = group.within(n), followed(term, group, guides)
        if not rows or not teachers:
            continue
        part = len(rows) / n
        at = slice(n) if group.rows is None else torch.tensor(rows, device=batch.ir.device)
        values = _student_values(term, student, batch, at)
        mean = 0.0
        for teacher in teachers:
            values['target'] = term.image(outputs[teacher.name]['fused'][at], batch.cbcr, at)
            if term.tap_t is not None:
                values['feat_t'] = outputs[teacher.name]['taps'][term.tap_t][at].float()
            value, each = term(values)
            loss = loss + (part * teacher.weight / (len(known) if group.follow == ALL else 1)) * value
            stat = stat + part / len(teachers) * value.detach()
            mean = None if each is None else mean + each.detach() / len(teachers)
        guided += part
        if mean is not None:
            scores = _scatter(mean, at, count, scores)
    return Value(loss, stat / guided, scores) if guided else None


def _student_values(term: Term, student: Mapping, batch: Batch, at: slice | Tensor) -> dict[str, Tensor]:
    values = term.images(student['fused'][at], batch.ir[at], batch.vis[at], batch.cbcr, at)
    if term.tap_s is not None:
        values['feat_s'] = student['taps'][term.tap_s][at].float()
    return values


def _scatter(each: Tensor, at: slice | Tensor, count: int, into: Tensor | None = None) -> Tensor:
    into = each.new_full((count,), torch.nan) if into is None else into
    into[at] = each
    return into
