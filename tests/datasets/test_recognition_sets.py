import subprocess

import numpy as np
import pytest

from fusionkd.datasets import recognition_sets
from fusionkd.datasets.recognition_sets import (
    RECOGNITION_SETS,
    arrange_rsscn7,
    fetch_recognition,
    verify_recognition,
)
from fusionkd.datasets.recognition_synthetic import write_captions, write_class_folders, write_grounding
from fusionkd.fileio import write_image

NAMES = ('aGrass', 'bField', 'cIndustry', 'dRiverLake', 'eForest', 'fResident', 'gParking')


@pytest.fixture
def small_rsscn7(monkeypatch):
    """RSSCN7, were it of three training and two test images a class."""
    known = RECOGNITION_SETS['rsscn7'].__dict__ | dict(items=dict(train=21, test=14))
    monkeypatch.setitem(recognition_sets.RECOGNITION_SETS, 'rsscn7', RECOGNITION_SETS['rsscn7'].__class__(**known))


def test_rsscn7_is_arranged_and_verified(small_rsscn7, tmp_path):
    for name in NAMES:
        for i in range(5):
            write_image(tmp_path / 'published' / name / f'{name[0]}{i + 1:03d}.png', np.zeros((9, 9, 3), np.uint8))
    root = arrange_rsscn7(tmp_path / 'published', tmp_path / 'RSSCN7')
    assert sorted(p.name for p in (root / 'test/RiverLake').iterdir()) == ['d002.png', 'd004.png']
    lines = []
    assert verify_recognition('rsscn7', root, lines.append) == []
    assert lines == ['train: 21 items of 21', 'test: 14 items of 14']
    (root / 'train/Grass/a001.png').write_bytes(b'\x89PNG cut')
    (root / 'test/Field/b002.png').unlink()
    problems = ' '.join(verify_recognition('rsscn7', root))
    assert 'a001.png is truncated' in problems and 'test has 13 items, rsscn7 has 14' in problems
    with pytest.raises(FileNotFoundError, match='should have 7 folders such as aGrass'):
        arrange_rsscn7(root, tmp_path / 'x')


def test_the_other_layouts_are_verified(tmp_path):
    write_captions(write_class_folders(tmp_path / 'captions', images=1, size=16), name='dataset_RSITMD.json')
    (tmp_path / 'captions/images').symlink_to('.')
    assert verify_recognition('rsitmd', tmp_path / 'captions') == []
    root = write_grounding(tmp_path / 'boxes', images=3, size=16)
    assert verify_recognition('dior_rsvg', root) == []
    (root / 'val.txt').write_text('7')
    assert "'7' is no object" in verify_recognition('dior_rsvg', root)[0]
    assert 'folder not found' in verify_recognition('aid', tmp_path / 'none')[0]


def test_fetching(monkeypatch, tmp_path):
    commands = []
    monkeypatch.setattr(subprocess, 'run', lambda command, check: commands.append(command))
    fetch_recognition('rsscn7', tmp_path / 'R')
    assert commands[0][:2] == ['git', 'clone'] and commands[0][-1] == str(tmp_path / 'R')
    with pytest.raises(RuntimeError, match='aid cannot be fetched by a program'):
        fetch_recognition('aid', tmp_path)
