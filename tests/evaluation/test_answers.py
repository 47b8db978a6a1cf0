import json

import pytest

from fusionkd.evaluation import AnswerMetric
from fusionkd.evaluation.answers import contains_answer, exact_match, final_answer, normalise, rule_match


def test_normalise():
    assert normalise(' The answer: Two gray cats. ') == 'answer 2 grey cats'
    assert normalise('1,234.50 m') == '1234.50 m' and normalise('-3') == '-3'
    assert normalise('top  left!') == 'top left'


def test_final_answer():
    assert final_answer('so: 2 ') == 'so: 2'
    assert final_answer('answer 1 no, Answer 2', r'answer (\d)') == '2'
    assert final_answer('I do not know', r'answer (\d)') == ''


def test_exact_match():
    assert exact_match('Top left.', 'top left') and not exact_match('top', 'top left')
    assert exact_match('red circle answer two', '2', 'answer (.+)$')
    assert not exact_match('2', '2', 'answer (.+)$') and not exact_match('', '2')


def test_contains_answer():
    assert contains_answer('it is the red one', 'red') and not contains_answer('it is reddish', 'red')
    assert contains_answer('red green blue', 'green')  # every option named: what its documentation warns of


@pytest.mark.parametrize(
    'response, answer, right',
    [
        ('I count 1, 2, 3 cats, so 3.0', '3', True),
        ('3 of 4', '3', False),
        ('three', '3', True),
        ('1,000', '1000', True),
        ('none', '0', False),
        ('(B) the red one', 'b', True),
        ('B', 'B', True),
        ('b.', 'B', True),
        ('I think it is (C)', 'C', True),
        ('(A) or (B)', 'B', False),
        ('It is dark Gray', 'grey', True),
        ('red or blue', 'red', False),
        ('the top left', 'top left', True),
        ('', 'red', False),
    ],
)
def test_rules(response, answer, right):
    assert rule_match(response, answer) is right


def test_metric(tmp_path):
    metric = AnswerMetric(pattern='answer (.+)$', out_dir=str(tmp_path))
    pairs = [
        ('x answer 2', '2', 'count'),
        ('answer 3', '2', 'count'),
        ('no idea', 'red', 'colour'),
        ('answer red', 'red', 'colour'),
    ]
    metric.process({}, [dict(prediction=p, answer=a, kind=k) for p, a, k in pairs])
    values = metric.compute_metrics(metric.results)
    expected = {'score': 0.5, 'exact_match': 0.5, 'answered': 0.75, 'kind/colour': 0.5, 'kind/count': 0.5}
    assert values == expected == json.loads((tmp_path / 'results.json').read_text())
    with pytest.raises(ValueError, match="'q' has no prediction"):
        metric.process({}, [dict(answer='2', name='q')])
