import os

import cv2
import numpy as np

from fusionkd.datasets import PairedFusionDataset, SyntheticScenes
from fusionkd.datasets.origin import identify_origin, load_origin


def test_the_images_of_a_sample_can_be_loaded_again(tmp_path):
    rng = np.random.default_rng(0)
    for kind, shape in (('ir', (8, 10)), ('vi', (8, 10, 3))):
        (tmp_path / kind).mkdir()
        cv2.imwrite(str(tmp_path / kind / 'a.png'), rng.integers(0, 256, shape, dtype=np.uint8))
    folders = dict(ir='ir', vis='vi')
    for ranges in (dict(), dict(ir_range=(0, 128))):
        data = PairedFusionDataset(
            data_root=str(tmp_path), data_prefix=folders, pipeline=[dict(type='LoadImagePair', cache_mb=1, **ranges)]
        )
        for sample in (data[0], data[0]):
            ir, vis = load_origin(sample['origin'])
            assert np.array_equal(ir, sample['ir']) and np.array_equal(vis, sample['vis'])
    scene = SyntheticScenes(num=2, size=(64, 64), seed=3)[1]
    ir, vis = load_origin(scene['origin'])
    assert np.array_equal(ir, scene['ir']) and np.array_equal(vis, scene['vis'])


def test_identity_is_of_the_pair_and_version_of_its_files(tmp_path, monkeypatch):
    for name in 'ab':
        (tmp_path / f'{name}.png').write_bytes(b'12345')
        os.utime(tmp_path / f'{name}.png', ns=(5, 5))
    origin = dict(ir_path=str(tmp_path / 'a.png'), vis_path=str(tmp_path / 'b.png'), ir_range=None, vis_range=None)
    pair, version = identify_origin(origin)
    monkeypatch.chdir(tmp_path)
    assert identify_origin(origin | dict(ir_path='a.png')) == (pair, version)
    assert identify_origin(origin | dict(ir_range=(0, 9)))[0] != pair
    assert identify_origin(origin | dict(ir_range=[0, 9])) == identify_origin(origin | dict(ir_range=(0, 9)))
    assert identify_origin(origin | dict(ir_path='b.png'))[0] != pair
    os.utime(tmp_path / 'a.png', ns=(6, 6))
    assert identify_origin(origin) == (pair, identify_origin(origin)[1]) != (pair, version)
    (tmp_path / 'a.png').write_bytes(b'1234')
    os.utime(tmp_path / 'a.png', ns=(5, 5))
    assert identify_origin(origin)[1] != version
    scene = dict(scene=0, seed=0, size=(64, 64), kind=None)
    assert identify_origin(scene) == identify_origin(dict(reversed(scene.items())))
    assert identify_origin(scene)[0] != identify_origin(scene | dict(scene=1))[0]
