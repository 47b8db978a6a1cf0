"""The benchmark runs, and leaves out what would take too long."""

import json
import subprocess
import sys

from common import REPO


def test_quick_run(tmp_path):
    command = [sys.executable, str(REPO / 'benchmarks/latency.py'), '--quick', '--out', str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert {p.name for p in tmp_path.iterdir()} == {'latency.md', 'latency.json', 'latency.png'}
    assert (tmp_path / 'latency.md').read_text() in done.stdout
    data = json.loads((tmp_path / 'latency.json').read_text())
    cells = {(c['method'], c['backend']): c for c in data['cells'] if c['threads']}
    for key in ('onnxruntime', 'int8', 'OnnxFuser', 'channels-last'):
        cell = cells['SwiftFuser', key]
        assert 0 < cell['p10'] <= cell['median'] <= cell['p90'] <= cell['p99'] and cell['parameters'] == 28665
    assert ('maximum', 'numpy') in cells and ('Laplacian maximum', 'opencv') in cells
    assert [row['precision'] for row in data['start']] == ['float32', 'int8']
    assert all(row['peak_mb'] < 150 for row in data['start'])


def test_what_takes_too_long_is_left_out(monkeypatch):
    monkeypatch.syspath_prepend(REPO / 'benchmarks')
    import latency

    slow = latency.Cell('a', 'eager', (480, 640), 1, times=[300.0])
    larger = [latency.Cell('a', 'eager', size, threads) for size, threads in (((960, 1280), 1), ((960, 1280), 2))]
    latency.skip_hopeless(larger, [slow], budget=1)
    assert [cell.skipped for cell in larger] == ['one run would take about 1 s', '']

    class Failing:
        def open(self, cell):
            raise RuntimeError('no C++ compiler')

    latency.measure(Failing(), larger[1:], rounds=2, budget=0.1)
    assert larger[1].skipped == 'RuntimeError: no C++ compiler' and not larger[1].times
    assert 'median' not in larger[1].summary(0)
