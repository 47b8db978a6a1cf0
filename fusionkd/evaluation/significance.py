"""Whether a difference between two methods, measured pairwise, is more than luck."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_EXACT = 16  # pairs up to which every pattern of signs is tried
_DRAWS = 100_000


@dataclass(frozen=True)
class PairedTest:
    """Outcome of :func:`compare_pairs`.

    Attributes:
        count: pairs.
        difference: mean of first minus second.
        error: its standard error; nan for one pair.
        t: of the paired t test; nan where it is not defined.
        p_t: its two-sided p.
        p_flip: two-sided p of the sign-flip permutation test. With n pairs it is never below ``2 / 2**n``.
    """

    count: int
    difference: float
    error: float
    t: float
    p_t: float
    p_flip: float


def compare_pairs(first: Sequence[float], second: Sequence[float]) -> PairedTest:
    """Compare two methods on the same seeds or images.

    Student's paired t test assumes normal differences; the permutation test (Fisher, 1935) only that the sign of each
    would be a coin's if the methods were equal.

    Args:
        first: n values.
        second: n values, in the same order.

    Raises:
        ValueError: not as many values, or none.

    Example:
        >>> test = compare_pairs([0.5, 0.6, 0.7], [0.4, 0.4, 0.6])
        >>> round(test.t, 6), round(test.p_t, 4), test.p_flip
        (4.0, 0.0572, 0.25)
    """
    if len(first) != len(second) or not len(first):
        raise ValueError(f'pairs need as many values on both sides, at least one, got {len(first)} and {len(second)}')
    d = np.asarray(first, float) - np.asarray(second, float)
    n, mean = len(d), float(d.mean())
    error = float(d.std(ddof=1) / math.sqrt(n)) if n > 1 else math.nan
    defined = n > 1 and error > 1e-12 * max(abs(mean), 1e-12)
    t = mean / error if defined else math.nan
    return PairedTest(n, mean, error, t, student_p(t, n - 1) if defined else math.nan, sign_flip_p(d))


def student_p(t: float, dof: int) -> float:
    """Two-sided p of Student's t with a whole number of degrees of freedom (Abramowitz and Stegun, 26.7.3 and 26.7.4)."""
    theta = math.atan(abs(t) / math.sqrt(dof))
    cos2 = math.cos(theta) ** 2
    total, term = 0.0, 1.0
    if dof % 2 == 0:
        for k in range(dof // 2):
            total += term
            term *= cos2 * (2 * k + 1) / (2 * k + 2)
        return max(1 - math.sin(theta) * total, 0.0)
    term = math.cos(theta)
    for k in range((dof - 1) // 2):
        total += term
        term *= cos2 * (2 * k + 2) / (2 * k + 3)
    return max(1 - 2 / math.pi * (theta + math.sin(theta) * total), 0.0)


def sign_flip_p(differences: Sequence[float], seed: int = 0) -> float:
    """Share of sign patterns under which the mean is at least as far from 0; 100,000 random ones above 16 pairs."""
    d = np.asarray(differences, float)
    if len(d) <= _EXACT:
        signs = np.array(list(itertools.product((1.0, -1.0), repeat=len(d))))
        return float(np.mean(np.abs(signs @ d) >= abs(d.sum()) * (1 - 1e-9)))
    signs = np.random.default_rng(seed).choice((1.0, -1.0), size=(_DRAWS, len(d)))
    return float((np.sum(np.abs(signs @ d) >= abs(d.sum()) * (1 - 1e-9)) + 1) / (_DRAWS + 1))
