"""tools/evaluate.py and what is behind it."""

import csv
import importlib.util
import json
import shutil
import weakref
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from fusionkd.datasets.scenes import render_scene
from fusionkd.evaluation import (
    METRICS,
    PROTOCOLS,
    TRIVIAL,
    FusionMetric,
    ImageSet,
    evaluate,
    evaluate_folders,
    folders,
    save_report,
    trivial_fusions,
)
from fusionkd.evaluation.trivial import laplacian_maximum
from fusionkd.fileio import read_image

FEW = ['VIF', 'MSE']
SIZE = (56, 72)
REPO = Path(__file__).parents[2]


@pytest.fixture(scope='module')
def scenes(tmp_path_factory):
    """Three pairs, fused by two methods: a weighted mean with colour, and the same with noise, gray."""
    root = tmp_path_factory.mktemp('set')
    noise = np.random.default_rng(0)
    for i in range(3):
        scene = render_scene(i, 5, SIZE)
        mean = 0.6 * scene.vis + 0.4 * scene.ir[..., None]
        images = dict(ir=scene.ir, vis=scene.vis, mean=mean, noisy=mean[..., 1] + noise.normal(0, 12, SIZE))
        for kind, image in images.items():
            (root / kind).mkdir(exist_ok=True)
            cv2.imwrite(str(root / kind / f'{i:02d}.png'), np.clip(image, 0, 255).round().astype(np.uint8))
    return root


@pytest.fixture
def copy(scenes, tmp_path):
    """The same files, to be spoilt."""
    return shutil.copytree(scenes, tmp_path / 'set')


def image_set(root, name='roads', methods=('mean', 'noisy')):
    return ImageSet(name, root / 'ir', root / 'vis', {m: root / m for m in methods})


def score(root, **options):
    return evaluate_folders(image_set(root), **dict(dict(metrics=FEW, score=False, trivial=False), **options))


@pytest.fixture
def tool(monkeypatch, capsys):
    """Run the tool in this process: exit status, stdout, stderr."""
    spec = importlib.util.spec_from_file_location('evaluate_tool', REPO / 'tools' / 'evaluate.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def run(*arguments):
        monkeypatch.setattr('sys.argv', ['evaluate.py', *map(str, arguments)])
        try:
            status = module.main()
        except SystemExit as stop:
            status = stop.code
        return (status, *capsys.readouterr())

    return run


def options(root):
    return ['--ir', root / 'ir', '--vis', root / 'vis', '--fused', f'mean={root / "mean"}', root / 'noisy']


def rows_of(path):
    return list(csv.DictReader(path.open(encoding='utf-8')))


def test_tool_writes_what_it_promises(tool, scenes, tmp_path):
    status, out, _ = tool(*options(scenes), '--out', tmp_path, '--worst', 2)
    assert status == 0 and 'cddfuse-1' in out
    per_image = rows_of(tmp_path / 'per_image.csv')
    metrics = list(PROTOCOLS['cddfuse'].metrics)
    assert list(per_image[0]) == ['method', 'name', *metrics, 'set', 'score', 'target', 'protocol']
    methods = ['mean', 'noisy', *TRIVIAL]
    assert [(r['method'], r['name']) for r in per_image] == [(m, f'{i:02d}') for m in methods for i in range(3)]
    assert {r['set'] for r in per_image} == {scenes.name} and {r['protocol'] for r in per_image} == {'cddfuse-1'}
    data = json.loads((tmp_path / 'summary.json').read_text(encoding='utf-8'))
    assert data['protocol'] == 'cddfuse-1' and data['left_out'] == [] and data['better']['Nabf'] == 'lower'
    assert [r['method'] for r in data['rows'] if r['trivial']] == list(TRIVIAL)
    mean = np.mean([float(r['VIF']) for r in per_image if r['method'] == 'mean'])
    assert data['rows'][0]['mean']['VIF'] == pytest.approx(mean, rel=1e-12)
    for name in ('summary.csv', 'summary.md', 'summary.tex', 'summary.txt', 'worst.csv'):
        assert 'cddfuse-1' in (tmp_path / name).read_text(encoding='utf-8')
    worst = rows_of(tmp_path / 'worst.csv')
    assert [(r['method'], r['place']) for r in worst] == [(m, p) for m in ('mean', 'noisy') for p in '12']
    scores = {r['name']: float(r['score']) for r in per_image if r['method'] == 'noisy'}
    assert worst[2]['name'] == min(scores, key=scores.get)
    assert (tmp_path / 'left_out.csv').read_text() == 'set,name,reason\n'
    for name in ('distributions.png', 'methods.png', 'worst/mean.png', 'worst/noisy.png'):
        image = read_image(tmp_path / name)
        assert min(image.shape[:2]) > 250 and (image < 128).mean() > 0.002 and image.std() > 10


def test_values_are_those_of_evaluate(scenes):
    table = score(scenes, metrics=None)
    ir, vis, fused = (read_image(scenes / kind / '01.png') for kind in ('ir', 'vis', 'mean'))
    expected = evaluate(ir, vis, fused)
    assert {m: table.rows[0].values[m][1] for m in table.metrics} == {
        m: pytest.approx(v.item(), rel=1e-12) for m, v in expected.items()
    }


def test_table_is_that_of_the_metric_of_the_runner(scenes):
    table = evaluate_folders(image_set(scenes), metrics=['Qabf', 'Nabf'])
    metric = FusionMetric(metric_names=['Qabf', 'Nabf'], trivial=True)
    for i in range(3):
        ir, vis, *fused = (
            torch.from_numpy(np.atleast_3d(read_image(scenes / kind / f'{i:02d}.png'))).permute(2, 0, 1)
            for kind in ('ir', 'vis', 'mean', 'noisy')
        )
        sample = dict(fused=fused[0] / 255, teacher_noisy=fused[1] / 255, name=f'{i:02d}')
        metric.process(dict(inputs=dict(ir=[ir], vis=[vis])), [sample])
    metric.evaluate(3)
    for row, other in zip(table.rows, metric.table.rows, strict=True):
        for name in table.metrics:
            assert row.values[name] == pytest.approx(other.values[name], abs=1e-9, nan_ok=True)


def test_workers_change_nothing(scenes):
    seen = []
    tables = [
        evaluate_folders(image_set(scenes), metrics=['VIF', 'Nabf'], workers=n, progress=lambda *x: seen.append(x))
        for n in (1, 2)
    ]
    assert tables[0].to_per_image_csv() == tables[1].to_per_image_csv()
    assert seen == 2 * [(1, 3, '00'), (2, 3, '01'), (3, 3, '02')]


def test_nothing_is_held(scenes, monkeypatch):
    alive, most = [], []

    def read(path):
        image = read_image(path)
        alive.append(weakref.ref(image))
        most.append(sum(x() is not None for x in alive))
        return image

    monkeypatch.setattr(folders, 'read_image', read)
    threads = torch.get_num_threads()
    score(scenes)
    assert len(most) == 12 and max(most) <= 4  # one pair, two methods
    assert torch.get_num_threads() == threads


def test_several_sets(tool, scenes, tmp_path):
    first = ['--set', 'A', *options(scenes)]
    second = ['--set', 'B b', '--ir', scenes / 'ir', '--vis', scenes / 'vis', '--fused', f'mean={scenes / "noisy"}']
    extra = ['--metrics', 'VIF', 'SD', '--no-trivial', '--worst', 1, '--out', tmp_path]
    status, *_ = tool(*first, *second, *extra)
    assert status == 0
    rows = json.loads((tmp_path / 'summary.json').read_text())['rows']
    assert [(r['set'], r['method'], r['images']) for r in rows] == [
        ('A', 'mean', 3),
        ('A', 'noisy', 3),
        ('B b', 'mean', 3),
    ]
    header = (tmp_path / 'per_image.csv').read_text().splitlines()[0]
    assert header == 'method,name,VIF,SD,Nabf,set,score,target,protocol'
    assert {p.name for p in tmp_path.glob('*.png')} == {
        f'{p}_{s}.png' for p in ('distributions', 'methods') for s in ('A', 'B_b')
    }
    assert len(rows_of(tmp_path / 'worst.csv')) == 3


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--ir', 'a', '--ir', 'b'], '--ir twice in one set'),
        (['--set', 'A', '--ir', 'a', '--vis', 'b'], "--fused missing in set 'A'"),
        (['--ir', 'a', '--vis', 'b', '--fused', 'x=c', 'x=d'], "two methods are called 'x'"),
        (['--ir', 'a', '--vis', 'b', '--fused', 'c'], 'error: folder not found: a'),
        ([], '--ir, --vis, --fused missing'),
    ],
)
def test_wrong_options_are_explained(tool, tmp_path, arguments, message):
    status, _, err = tool(*arguments, '--out', tmp_path)
    assert status in (1, 2) and message in err


def test_names_without_partner_are_left_out(tool, copy, tmp_path):
    (copy / 'vis' / '00.png').unlink()
    (copy / 'noisy' / '02.png').unlink()
    few = ['--metrics', 'SD', '--no-score', '--no-trivial', '--out', tmp_path / 'out']
    status, out, err = tool(*options(copy), *few)
    assert status == 1
    assert {r['name'] for r in rows_of(tmp_path / 'out' / 'per_image.csv')} == {'01'}
    reasons = {r['name']: r['reason'] for r in rows_of(tmp_path / 'out' / 'left_out.csv')}
    assert reasons['00'] == f'no image of this name in {copy / "vis"}; add it there'
    assert reasons['02'] == f'no image of this name in {copy / "noisy"}; add it there'
    assert f'left out of set, all methods: 02: {reasons["02"]}' in err and '2 of the images found' in out


def spoil_size(folder):
    cv2.imwrite(str(folder / '01.png'), np.zeros((48, 72), np.uint8))
    return '01.png is 72 x 48 pixels'


def spoil_bytes(folder):
    (folder / '01.png').write_bytes((folder / '01.png').read_bytes()[:-200])
    return 'is truncated'


def spoil_values(folder):
    (folder / '01.png').unlink()
    cv2.imwrite(str(folder / '01.tif'), np.full(SIZE, np.nan, np.float32))
    return '01.tif holds NaN'


def spoil_range(folder):
    (folder / '01.png').unlink()
    cv2.imwrite(str(folder / '01.tif'), np.full(SIZE, 200, np.float32))
    return 'expected [0, 1]'


@pytest.mark.parametrize('spoil', [spoil_size, spoil_bytes, spoil_values, spoil_range])
@pytest.mark.parametrize('kind', ['vis', 'noisy'])
def test_bad_files_leave_their_pair_out_of_all_methods(copy, kind, spoil):
    message = spoil(copy / kind)
    table = score(copy)
    assert [row.names for row in table.rows] == [['00', '02']] * 2
    (left_out,) = table.left_out
    assert left_out[:2] == ('roads', '01') and str(copy / kind) in left_out.reason and message in left_out.reason


def test_folders_that_cannot_be_compared(copy, tmp_path):
    with pytest.raises(FileNotFoundError, match='no image'):
        (tmp_path / 'empty').mkdir()
        evaluate_folders(ImageSet('s', copy / 'ir', copy / 'vis', dict(a=tmp_path / 'empty')))
    for path in list((copy / 'mean').iterdir()):
        path.rename(path.with_name(f'{path.stem}_fused.png'))
    with pytest.raises(ValueError, match=r'no name is in all folders.*mean has 00_fused, 01_fused, 02_fused'):
        score(copy)
    with pytest.raises(ValueError, match="'maximum' is the name of a rule"):
        evaluate_folders(ImageSet('s', copy / 'ir', copy / 'vis', dict(maximum=copy / 'noisy')))
    with pytest.raises(ValueError, match='workers must be at least 1'):
        score(copy, workers=0)


def test_all_pairs_bad(tool, copy, tmp_path):
    for path in (copy / 'mean').iterdir():
        cv2.imwrite(str(path), np.zeros((48, 48), np.uint8))
    status, _, err = tool(*options(copy), '--out', tmp_path / 'out')
    assert status == 1 and err.count('left out of set, all methods') == 3
    assert (tmp_path / 'out' / 'per_image.csv').read_text().startswith('method,name')


def test_images_too_small_for_the_score(tmp_path):
    for kind in ('ir', 'vis', 'f'):
        (tmp_path / kind).mkdir()
        cv2.imwrite(str(tmp_path / kind / '1.png'), np.arange(900, dtype=np.uint16).astype(np.uint8).reshape(30, 30))
    table = evaluate_folders(ImageSet('s', tmp_path / 'ir', tmp_path / 'vis', dict(f=tmp_path / 'f')), metrics=['SD'])
    assert not table.rows and '41' in table.left_out[0].reason
    save_report(table, [], tmp_path / 'out')


def test_sixteen_bit_files_are_rounded_like_eight_bit_ones(copy):
    eight = score(copy, metrics=['SD', 'MI']).rows[0].values
    for path in (copy / 'mean').iterdir():
        cv2.imwrite(str(path), cv2.imread(str(path)).astype(np.uint16) * 257)
    assert score(copy, metrics=['SD', 'MI']).rows[0].values == eight


@pytest.mark.parametrize('protocol', PROTOCOLS)
def test_a_copied_source_is_exactly_that_source(scenes, protocol):
    table = evaluate_folders(image_set(scenes), protocol, metrics=['MSE', 'SCD'], score=False)
    rows = {row.method: row.values for row in table.rows}
    assert np.isnan(rows['copy ir']['SCD']).all()
    assert np.isnan(rows['copy vis']['SCD']).all()
    assert rows['copy ir']['MSE'] == pytest.approx(rows['copy vis']['MSE'], rel=1e-9)


def test_laplacian_maximum():
    flat = torch.full((1, 1, 48, 64), 40.0)
    assert torch.allclose(laplacian_maximum(flat, 3 * flat), 2 * flat, atol=1e-4)  # no detail: the average
    dot = flat.clone()
    dot[..., 24, 32] += 100
    assert torch.allclose(laplacian_maximum(dot, dot), dot, atol=1e-4)  # a pyramid gives back its image
    # One detail band, by hand. Blurred with (1, 4, 6, 4, 1) / 16 twice, a dot at an even place leaves (1, 6, 1) / 8 on the
    # coarse grid's line, and comes back as 36 / 64 * (2 * 6 / 16) ** 2 + ... at its own place.
    line = np.array([1, 6, 1]) / 8 / 2  # of the coarse grid; half of the dot's weight falls on even places
    back = 2 * (line @ np.array([1, 6, 1])) / 16
    fused = laplacian_maximum(dot, flat, levels=1)
    detail = 100 * (1 - back**2)
    assert fused[0, 0, 24, 32].item() == pytest.approx(40 + detail + 100 * back**2 / 2, abs=1e-3)
    assert fused[0, 0, 0, 0].item() == pytest.approx(40, abs=1e-4)
    assert torch.allclose(fused, laplacian_maximum(flat, dot, levels=1))  # the stronger detail wins on either side
    assert laplacian_maximum(torch.rand(1, 2, 9, 5), torch.rand(1, 2, 9, 5)).shape == (1, 2, 9, 5)
    assert tuple(trivial_fusions(flat, dot)) == TRIVIAL


def test_every_metric_has_a_place(scenes, tmp_path):
    """All metrics at once: plots with more panels than any protocol has by itself."""
    one = tmp_path / 'one'
    for kind in ('ir', 'vis', 'mean'):
        (one / kind).mkdir(parents=True)
        image = read_image(scenes / kind / '00.png')
        cv2.imwrite(str(one / kind / '00.png'), cv2.resize(image, (180, 180)))
    sets = image_set(one, methods=['mean'])
    table = evaluate_folders(sets, 'proper', list(METRICS), trivial=False)
    pictures = save_report(table, sets, tmp_path / 'out')
    assert [p.name for p in pictures] == ['distributions.png', 'methods.png', 'mean.png']
    assert all(read_image(p).std() > 10 for p in pictures)


def test_documentation_names_everything():
    text = (REPO / 'docs' / 'metrics.md').read_text(encoding='utf-8')
    assert all(f'\n| {name} |' in text for name in METRICS)
    assert all(f'\n| `{name}`' in text for name in PROTOCOLS)
    pictures = {part.split(')')[0] for part in text.split('](')[1:]}
    assert pictures and all((REPO / 'docs' / picture).is_file() for picture in pictures)
