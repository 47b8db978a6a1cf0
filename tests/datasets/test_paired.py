import cv2
import numpy as np
import pytest

from fusionkd.datasets import PairedFusionDataset
from fusionkd.fileio import ImageError

LOAD = [dict(type='LoadImagePair')]
PACK = [*LOAD, dict(type='PackFusionInputs')]


def write(folder, name, shape=(8, 10), dtype=np.uint8):
    folder.mkdir(parents=True, exist_ok=True)
    high = np.iinfo(dtype).max
    image = np.random.default_rng(0).integers(0, high, shape, dtype=dtype, endpoint=True)
    assert cv2.imwrite(str(folder / name), image)
    return image


def folders(root, names_ir, names_vis):
    for name in names_ir:
        write(root / 'train/ir', name)
    for name in names_vis:
        write(root / 'train/vi', name, (8, 10, 3))
    return dict(data_root=str(root))


def names(dataset):
    return [dataset.get_data_info(i)['name'] for i in range(len(dataset))]


def test_layout_of_msrs_matches_by_name_whatever_the_suffix(tmp_path):
    data = PairedFusionDataset(
        **folders(tmp_path, ['b.png', 'a.bmp', 'c.tif'], ['a.jpg', 'c.png', 'b.PNG']), pipeline=PACK
    )
    assert names(data) == ['a', 'b', 'c']
    for i in range(3):
        info = data.get_data_info(i)
        assert info['ir_path'].endswith(f'train/ir/{info["name"]}.' + info['ir_path'].rsplit('.', 1)[1])
        assert f'/{info["name"]}.' in info['vis_path']
    item = data[0]
    assert item['inputs']['ir'].shape == (1, 8, 10) and item['inputs']['vis'].shape == (3, 8, 10)
    assert item['data_samples'].name == 'a' and item['data_samples'].set_name == tmp_path.name


def test_two_folders_anywhere(tmp_path):
    write(tmp_path / 'thermal', 'x.png'), write(tmp_path / 'rgb', 'x.png', (8, 10, 3))
    data = PairedFusionDataset(data_prefix=dict(ir=str(tmp_path / 'thermal'), vis=str(tmp_path / 'rgb')))
    assert names(data) == ['x']


def test_list_file_of_names_and_of_paths(tmp_path):
    root = folders(tmp_path, ['a.png', 'b.png', 'c.png'], ['a.png', 'b.png', 'c.png'])
    (tmp_path / 'some.txt').write_text('# chosen\nc\n\na.png\n')
    assert names(PairedFusionDataset(**root, ann_file='some.txt')) == ['a', 'c']
    (tmp_path / 'paths.txt').write_text('train/ir/b.png train/vi/a.png  # partners of other names\n')
    data = PairedFusionDataset(**root, ann_file='paths.txt')
    assert data.get_data_info(0)['vis_path'].endswith('vi/a.png') and names(data) == ['b']
    (tmp_path / 'bad.txt').write_text('a\nnot there\n')
    with pytest.raises(FileNotFoundError, match=r'bad.txt, line 2'):
        PairedFusionDataset(**root, ann_file='bad.txt')
    (tmp_path / 'bad.txt').write_text('a b c\n')
    with pytest.raises(ValueError, match='line 1: expected a name or two paths'):
        PairedFusionDataset(**root, ann_file='bad.txt')
    with pytest.raises(FileNotFoundError, match='list file not found'):
        PairedFusionDataset(**root, ann_file='none.txt')


def test_validation_is_cut_out_in_runs_of_neighbours(tmp_path):
    images = [f'{i:03d}.png' for i in range(60)]
    root = folders(tmp_path, images, images)
    train, val = (PairedFusionDataset(**root, part=part, val_every=4) for part in ('train', 'val'))
    assert set(names(train)) | set(names(val)) == {f'{i:03d}' for i in range(60)}
    assert not set(names(train)) & set(names(val))
    assert names(val) == [f'{i:03d}' for run in (3, 7, 11) for i in range(5 * run, 5 * run + 5)]


def test_missing_root_says_which_command_fetches_it(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'nowhere/train/ir.*python tools/prepare_data.py msrs'):
        PairedFusionDataset(data_root=str(tmp_path / 'nowhere'))
    (tmp_path / 'train/ir').mkdir(parents=True)
    (tmp_path / 'train/vi').mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match='no image'):
        PairedFusionDataset(data_root=str(tmp_path))


def test_a_name_without_partner_is_listed(tmp_path):
    with pytest.raises(ValueError, match=r'1 images in .*train/ir have no partner.*lonely.png'):
        PairedFusionDataset(**folders(tmp_path, ['a.png', 'lonely.png'], ['a.png']))


def test_unknown_part_and_empty_part(tmp_path):
    root = folders(tmp_path, ['a.png'], ['a.png'])
    with pytest.raises(ValueError, match="part='dev'; known"):
        PairedFusionDataset(**root, part='dev')
    with pytest.raises(ValueError, match='is empty'):
        PairedFusionDataset(**root, part='val')


def test_sixteen_bit_and_ranges(tmp_path):
    ir = write(tmp_path / 'train/ir', 'a.png', dtype=np.uint16)
    write(tmp_path / 'train/vi', 'a.png')
    item = PairedFusionDataset(data_root=str(tmp_path), pipeline=PACK)[0]['inputs']
    assert item['ir'].numpy()[0] == pytest.approx(ir / 65535) and item['vis'].shape == (1, 8, 10)
    ranged = [dict(type='LoadImagePair', ir_range=(0, 16383)), dict(type='PackFusionInputs')]
    item = PairedFusionDataset(data_root=str(tmp_path), pipeline=ranged)[0]['inputs']
    assert item['ir'].numpy()[0] == pytest.approx(np.minimum(ir / 16383, 1))


def test_unequal_sizes_and_broken_files_are_named(tmp_path):
    write(tmp_path / 'train/ir', 'a.png', (8, 10)), write(tmp_path / 'train/vi', 'a.png', (8, 12))
    with pytest.raises(ImageError, match=r'a.png is 10 x 8 and .*vi/a.png is 12 x 8'):
        PairedFusionDataset(data_root=str(tmp_path), pipeline=LOAD)[0]
    (tmp_path / 'train/ir/a.png').write_bytes(b'\x89PNG broken')
    with pytest.raises(ImageError, match=r'ir/a.png is truncated'):
        PairedFusionDataset(data_root=str(tmp_path), pipeline=LOAD)[0]


def test_the_cache_keeps_pixels_up_to_its_limit(tmp_path, monkeypatch):
    images = [f'{i}.png' for i in range(4)]
    root = folders(tmp_path, images, images)
    one = 8 * 10 * 4 / 2**20
    data = PairedFusionDataset(
        **root, pipeline=[dict(type='LoadImagePair', cache_mb=2.5 * one), dict(type='PackFusionInputs')]
    )
    reads = []
    from fusionkd.datasets import origin

    original = origin.read_image
    monkeypatch.setattr(origin, 'read_image', lambda path: reads.append(path) or original(path))
    first = [data[i]['inputs']['vis'] for i in range(4)]
    second = [data[i]['inputs']['vis'] for i in range(4)]
    assert len(reads) == 8 + 4
    assert all((a == b).all() for a, b in zip(first, second, strict=True))
