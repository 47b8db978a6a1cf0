import pytest

from fusionkd.models.judges import ExactMatchJudge, RuleJudge, StringJudge

QUERIES = dict(images=[None, None], questions=['how many', 'what colour'], answers=['2', 'red'])
OUTPUTS = [['answer 2', 'answer 3', '2'], ['answer red', 'red answer blue', 'answer Red']]


@pytest.mark.parametrize(
    'judge, expected',
    [
        (ExactMatchJudge('answer (.+)$'), [[1, 0, 0], [1, 0, 1]]),
        (ExactMatchJudge(), [[0, 0, 1], [0, 0, 0]]),
        (RuleJudge(), [[1, 0, 1], [1, 0, 1]]),
        (RuleJudge('answer (.+)$'), [[1, 0, 0], [1, 0, 1]]),
        (StringJudge(), [[1, 0, 1], [1, 1, 1]]),
    ],
)
def test_verdicts(judge, expected):
    assert judge(QUERIES, OUTPUTS, None).tolist() == expected


def test_a_question_without_an_answer_is_named():
    with pytest.raises(ValueError, match="'how many' has no true answer, which StringJudge"):
        StringJudge()(dict(QUERIES, answers=['', 'red']), OUTPUTS, None)
