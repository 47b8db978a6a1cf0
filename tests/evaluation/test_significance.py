"""Paired tests."""

import numpy as np
import pytest

from fusionkd.evaluation.significance import compare_pairs, sign_flip_p, student_p


@pytest.mark.parametrize(
    ('t', 'dof', 'p'),  # of published tables of the t distribution, two-sided
    [(12.706, 1, 0.05), (4.303, 2, 0.05), (2.776, 4, 0.05), (4.604, 4, 0.01), (2.571, 5, 0.05), (2.045, 29, 0.05)],
)
def test_tables(t, dof, p):
    assert student_p(t, dof) == pytest.approx(p, rel=2e-3)
    assert student_p(-t, dof) == student_p(t, dof) and student_p(0, dof) == pytest.approx(1)


def test_against_scipy():
    stats = pytest.importorskip('scipy.stats')
    rng = np.random.default_rng(0)
    for n in (2, 3, 5, 8):
        a, b = rng.normal(size=(2, n))
        expected = stats.ttest_rel(a, b)
        test = compare_pairs(a, b)
        assert test.t == pytest.approx(expected.statistic) and test.p_t == pytest.approx(expected.pvalue)


def test_signs():
    assert sign_flip_p([1, 2, 3, 4, 5]) == 2 / 32  # the smallest five seeds can give
    assert sign_flip_p([1, -1]) == 1
    many = np.random.default_rng(0).normal(0.5, 1, 40)
    assert 0.0005 < sign_flip_p(many) < 0.05 and sign_flip_p(many) == sign_flip_p(many)


def test_what_has_no_test():
    test = compare_pairs([1.0], [0.5])
    assert test.difference == 0.5 and np.isnan(test.error) and np.isnan(test.p_t)
    assert np.isnan(compare_pairs([1.0, 1.0], [0.5, 0.5]).p_t)  # no spread
    with pytest.raises(ValueError, match='as many values'):
        compare_pairs([1.0], [])
