import csv
import io
import json
import math

import pytest

from fusionkd.evaluation import LeftOut, ResultTable, Row
from fusionkd.evaluation.tables import _tex

NAN = float('nan')


@pytest.fixture
def table():
    table = ResultTable('cddfuse-1')
    table.add(Row('A', 'ours', ['x', 'y'], dict(VIF=[1.0, 0.5], Nabf=[0.1, 0.3], SCD=[1.0, NAN])), 'cddfuse-1')
    table.add(Row('A', 'copy', ['x', 'y'], dict(VIF=[1.0, 1.0], Nabf=[0.0, 0.0], SCD=[NAN, NAN])), 'cddfuse-1')
    table.add(Row('A', 'other', ['x', 'y'], dict(VIF=[0.2, 0.2], Nabf=[0.5, 0.5], SCD=[1.5, 1.5])), 'cddfuse-1')
    table.add(Row('B', 'ours', ['z'], dict(VIF=[3.0], Nabf=[0.2], SCD=[2.0])), 'cddfuse-1')
    return table


def test_protocols_do_not_mix(table):
    with pytest.raises(ValueError, match='scored under tang-1, the table is cddfuse-1'):
        table.add(Row('A', 'x', [], {}), 'tang-1')
    with pytest.raises(ValueError, match=r"has metrics \['VIF'\]"):
        table.add(Row('A', 'x', ['x'], dict(VIF=[1.0])), 'cddfuse-1')


def test_means_over_images_and_sets_leave_out_what_is_undefined(table):
    means = table.means('ours')
    assert means['VIF'] == pytest.approx(1.5) and means['A/VIF'] == pytest.approx(0.75) and means['B/VIF'] == 3
    assert means['SCD'] == pytest.approx(1.5) and means['A/SCD'] == 1
    assert table.rows[0].std('VIF') == pytest.approx(0.25)


def test_text_marks_best_and_second_by_direction(table):
    lines = table.to_text().splitlines()
    assert 'lower is better: Nabf' in lines[-1] and 'cddfuse-1' in lines[-1]
    cells = {line.split()[1]: line.split()[3:] for line in lines[1:4]}
    assert cells['ours'] == ['0.750+', '0.200+', '1.000+', '2.00']
    assert cells['copy'] == ['1.000*', '0.000*', 'nan', '1.00']
    assert cells['other'] == ['0.200', '0.500', '1.500*', '2.33']
    assert '*' not in lines[4]  # alone on its set
    assert '| A | copy | 2 | **1.000** | **0.000** | nan | 1.00 |' in table.to_markdown()
    assert '| set | method | images | VIF ↑ | Nabf ↓ | SCD ↑ | mean rank |' in table.to_markdown()


def add(table, method, trivial=False, **values):
    row = Row('A', method, ['x'], {m: [v] for m, v in values.items()}, trivial)
    table.add(row, table.protocol)


@pytest.fixture
def ruled():
    table = ResultTable('tang-1')
    add(table, 'a_b', VIF=0.8, MSE=9.0, score=0.5)
    add(table, 'c&d', VIF=0.8, MSE=4.0, score=0.6)
    add(table, 'e', VIF=0.7, MSE=6.0, score=0.7)
    add(table, 'maximum', True, VIF=0.9, MSE=5.0, score=0.6)
    return table


def test_rules_are_flagged_and_take_no_place(ruled):
    assert [''.join(m.values()) for m in ruled.marks()] == ['*', '**+', '++*', '']
    assert ruled.ranks()[:3] == [2.25, 1.25, 2.5]  # ties share a place, the score does not count
    assert math.isnan(ruled.ranks()[3])
    assert ruled.beaten_by_rules() == {'A': {'VIF': 'maximum'}}
    for text in (ruled.to_text(), ruled.to_markdown()):
        assert 'maximum †' in text and 'Set A, better than every method: maximum in VIF.' in text
    rows = json.loads(ruled.to_json())['rows']
    assert [r['trivial'] for r in rows] == [False, False, False, True]
    assert [r['mean_rank'] for r in rows] == [2.25, 1.25, 2.5, None]
    assert [r['trivial'] for r in csv.DictReader(io.StringIO(ruled.to_csv()))] == ['0', '0', '0', '1']


def test_amplified_targets_are_no_better_than_dulled_ones():
    table = ResultTable('tang-1')
    for method, target in (('amplified', 1.5), ('dulled', 0.7), ('kept', 1.02)):
        add(table, method, SD=1.0, target=target)
    assert [m['target'] for m in table.marks()] == ['', '+', '*']
    assert 'target → 1' in table.to_markdown() and r'target $\to$ 1' in table.to_latex()


def test_latex_is_escaped_and_marked_by_direction(ruled):
    ruled.left_out.append(LeftOut('A', 'x_1', '100 %'))
    lines = ruled.to_latex().splitlines()
    assert lines[0].startswith('% protocol tang-1')
    body = [line for line in lines if line.endswith(r'\\')]
    assert body[0] == r'set & method & VIF $\uparrow$ & MSE $\downarrow$ & score $\uparrow$ & rank $\downarrow$ \\'
    assert body[1] == r'A & a\_b & \textbf{0.800} & 9.000 & 0.500 & 2.25 \\'
    assert body[2] == r' & c\&d & \textbf{0.800} & \textbf{4.000} & \underline{0.600} & 1.25 \\'
    assert body[4] == r' & maximum \textsuperscript{\dag} & 0.900 & 5.000 & 0.600 & -- \\'
    text = '\n'.join(lines[1:])
    for begin in ('table*', 'tabular'):
        assert text.count(rf'\begin{{{begin}}}') == text.count(rf'\end{{{begin}}}') == 2
    assert 'Left out of all rows of their set: 1' in text and text.count('{') == text.count('}')
    assert _tex('50 % of {a}_b^c~\\ #1 $ <|>') == (
        r'50 \% of \{a\}\_b\textasciicircum{}c\textasciitilde{}\textbackslash{} \#1 \$ '
        r'\textless{}\textbar{}\textgreater{}'
    )


def test_worst_images_and_those_left_out(ruled):
    row = Row('A', 'm', list('wxyz'), dict(score=[0.5, NAN, 0.1, 0.3], SD=[1, 2, 3, 4]))
    assert row.lowest('score', 2) == [2, 3] and row.lowest('score', 9) == [2, 3, 0]
    table = ResultTable('tang-1', [row, Row('A', 'maximum', ['w'], dict(score=[0.0], SD=[0]), True)])
    lines = list(csv.DictReader(io.StringIO(table.to_worst_csv(2))))
    assert [(line['method'], line['name'], line['place']) for line in lines] == [('m', 'y', '1'), ('m', 'z', '2')]
    table.left_out.append(LeftOut('A', 'q', 'too, small'))
    assert table.to_left_out_csv() == 'set,name,reason\nA,q,"too, small"\n'
    assert json.loads(table.to_json())['left_out'] == [dict(set='A', name='q', reason='too, small')]


def test_columns_of_single_images(ruled):
    assert ruled.to_per_image_csv().splitlines()[:2] == [
        'method,name,VIF,MSE,set,score,protocol',
        'a_b,x,0.8,9.0,A,0.5,tang-1',
    ]


def test_files_hold_the_same_numbers(table, tmp_path):
    table.save(tmp_path)
    rows = list(csv.DictReader((tmp_path / 'results.csv').open()))
    assert float(rows[0]['VIF']) == 0.75 and float(rows[0]['VIF_std']) == 0.25 and rows[0]['protocol'] == 'cddfuse-1'
    data = json.loads((tmp_path / 'results.json').read_text())
    assert (
        data['rows'][1]['mean']['SCD'] is None
        and data['rows'][3]['mean']['VIF'] == 3
        and data['protocol'] == 'cddfuse-1'
    )
    lines = list(csv.DictReader((tmp_path / 'results_per_image.csv').open()))
    assert len(lines) == 7 and list(lines[0])[:3] == ['method', 'name', 'VIF']
    assert (tmp_path / 'results.tex').read_text() == table.to_latex() + '\n'
    assert (tmp_path / 'results.txt').read_text().splitlines()[1].startswith('A')
