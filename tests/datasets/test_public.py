import subprocess

import numpy as np
import pytest

from fusionkd.datasets import public
from fusionkd.datasets.public import PUBLIC_SETS, arrange, fetch, verify
from fusionkd.fileio import write_image


def make(folder, names, size=(8, 10)):
    for name in names:
        write_image(folder / f'{name}.png', np.zeros(size, np.uint8))


@pytest.fixture
def small_msrs(monkeypatch):
    """MSRS, were it of four training and two test pairs."""
    small = PUBLIC_SETS['msrs'].__class__(**PUBLIC_SETS['msrs'].__dict__ | dict(pairs=dict(train=4, test=2)))
    monkeypatch.setitem(public.PUBLIC_SETS, 'msrs', small)


def make_msrs(root, train=4):
    for kind in ('ir', 'vi'):
        make(root / 'train' / kind, [f'{i:05d}D' for i in range(train)])
        make(root / 'test' / kind, ['00010N', '00011D'])


def test_published_counts():
    assert PUBLIC_SETS['msrs'].pairs == dict(train=1083, test=361)
    assert PUBLIC_SETS['roadscene'].pairs == dict(test=221)


def test_a_complete_copy_passes_and_defects_are_named(small_msrs, tmp_path):
    make_msrs(tmp_path)
    lines = []
    assert verify('msrs', tmp_path, lines.append) == []
    assert lines == ['train: 4 pairs of 4', 'test: 2 pairs of 2']
    (tmp_path / 'train/vi/00002D.png').unlink()
    (tmp_path / 'test/ir/00011D.png').write_bytes(b'\x89PNG cut')
    make(tmp_path / 'train/ir', ['extra']), make(tmp_path / 'train/vi', ['extra'], (8, 12))
    problems = '\n'.join(verify('msrs', tmp_path))
    for text in (
        '00002D.png has no partner',
        '00011D.png is truncated',
        'extra.png is no name',
        'differ in size',
        'has 3 complete pairs, msrs has 4',
    ):
        assert text in problems
    assert verify('msrs', tmp_path / 'nowhere')


def test_published_layouts_are_arranged(tmp_path):
    for folder in ('cropinfrared', 'crop_LR_visible'):
        make(tmp_path / 'RoadScene-master' / folder, ['FLIR_1', 'FLIR_2'])
    root = arrange('roadscene', tmp_path, tmp_path / 'data')
    assert sorted(p.name for p in (root / 'test/ir').iterdir()) == ['FLIR_1.png', 'FLIR_2.png']
    assert (root / 'test/vi/FLIR_2.png').is_file()
    with pytest.raises(FileNotFoundError, match='no folder Ir'):
        arrange('m3fd', tmp_path, tmp_path / 'x')


def test_the_msrs_layout_is_used_where_it_is(small_msrs, tmp_path):
    make_msrs(tmp_path)
    assert arrange('msrs', tmp_path, tmp_path / 'other') == tmp_path and not (tmp_path / 'other').exists()


def test_fetching_clones_the_public_home(monkeypatch, tmp_path):
    commands = []
    monkeypatch.setattr(subprocess, 'run', lambda command, check: commands.append(command))
    fetch('msrs', tmp_path / 'MSRS')
    assert commands == [
        ['git', 'clone', '--depth', '1', 'https://github.com/Linfeng-Tang/MSRS.git', str(tmp_path / 'MSRS')]
    ]
    with pytest.raises(RuntimeError, match=r'M3FD_Fusion.zip'):
        fetch('m3fd', tmp_path)

    def fails(command, check):
        raise subprocess.CalledProcessError(128, command)

    monkeypatch.setattr(subprocess, 'run', fails)
    with pytest.raises(RuntimeError, match='--from FOLDER'):
        fetch('msrs', tmp_path)


def test_unknown_set():
    with pytest.raises(KeyError, match='known: msrs, roadscene'):
        verify('kaist', '.')
