import csv
import json

import pytest

from fusionkd.evaluation import ResultTable, Row

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
    assert cells['ours'] == ['0.750+', '0.200+', '1.000+']
    assert cells['copy'] == ['1.000*', '0.000*', 'nan']
    assert cells['other'] == ['0.200', '0.500', '1.500*']
    assert '*' not in lines[4]  # alone on its set
    assert '| A | copy | **1.000** | **0.000** | nan |' in table.to_markdown()


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
    assert (tmp_path / 'results.txt').read_text().splitlines()[1].startswith('A')
