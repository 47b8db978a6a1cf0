import cv2
import numpy as np
import pytest

from fusionkd.fileio import ImageError, atomic_path, list_images, read_image, scale_to_unit, write_image

RGB = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)


@pytest.mark.parametrize('suffix', ['.png', '.bmp', '.tif', '.tiff'])
@pytest.mark.parametrize('image', [RGB, RGB[..., 0]], ids=['colour', 'gray'])
def test_lossless_round_trip(tmp_path, suffix, image):
    write_image(tmp_path / f'x{suffix}', image)
    assert np.array_equal(read_image(tmp_path / f'x{suffix}'), image)


@pytest.mark.parametrize('suffix', ['.png', '.tif'])
def test_sixteen_bit_is_kept_and_scaled_by_its_own_range(tmp_path, suffix):
    image = np.array([[0, 65535], [16383, 1]], np.uint16)
    write_image(tmp_path / f'x{suffix}', image)
    back = read_image(tmp_path / f'x{suffix}')
    assert back.dtype == np.uint16 and np.array_equal(back, image)
    assert scale_to_unit(back)[0, 1] == 1
    assert scale_to_unit(back, (0, 16383))[1, 0] == 1


def test_colour_order_is_rgb(tmp_path):
    cv2.imwrite(str(tmp_path / 'x.png'), np.full((4, 4, 3), (255, 0, 0), np.uint8))  # OpenCV's blue
    assert read_image(tmp_path / 'x.png')[0, 0].tolist() == [0, 0, 255]


def test_alpha_is_dropped(tmp_path):
    cv2.imwrite(str(tmp_path / 'x.png'), np.dstack([RGB, RGB[..., 0]]))
    assert read_image(tmp_path / 'x.png').shape == (20, 30, 3)


@pytest.mark.parametrize('suffix', ['.png', '.jpg', '.bmp'])
@pytest.mark.parametrize('share', [0.3, 0.7])
def test_truncated_file_is_named(tmp_path, suffix, share):
    path = tmp_path / f'cut{suffix}'
    write_image(path, np.random.default_rng(1).integers(0, 256, (120, 160, 3), dtype=np.uint8))
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(ImageError, match=f'cut{suffix}'):
        read_image(path)


def test_other_bad_files_are_named(tmp_path):
    (tmp_path / 'text.png').write_text('not an image')
    (tmp_path / 'empty.png').touch()
    for name in ('text.png', 'empty.png'):
        with pytest.raises(ImageError, match=name):
            read_image(tmp_path / name)
    with pytest.raises(FileNotFoundError, match=r'nowhere\.png'):
        read_image(tmp_path / 'nowhere.png')
    with pytest.raises(ImageError, match=r'\.gif'):
        write_image(tmp_path / 'x.gif', RGB)


def test_range_is_stated_never_guessed():
    with pytest.raises(ImageError, match='state its value range'):
        scale_to_unit(np.array([[0.0, 200.0]], np.float32), name='ir')
    with pytest.raises(ImageError, match='ir holds NaN'):
        scale_to_unit(np.array([[0.0, np.nan]], np.float32), name='ir')
    with pytest.raises(ImageError, match='int64'):
        scale_to_unit(np.array([[1, 2]]))


def test_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / 'sub' / 'table.txt'
    with atomic_path(path) as temporary:
        temporary.write_text('old')
    with pytest.raises(RuntimeError), atomic_path(path) as temporary:
        temporary.write_text('half')
        raise RuntimeError
    assert path.read_text() == 'old'
    assert [p.name for p in path.parent.iterdir()] == ['table.txt']


def test_list_images(tmp_path):
    with pytest.raises(FileNotFoundError, match='no image'):
        list_images(tmp_path)
    with pytest.raises(FileNotFoundError, match='folder not found'):
        list_images(tmp_path / 'missing')
    for name in ('b.png', 'a.JPG', '.hidden.png', 'notes.txt'):
        (tmp_path / name).touch()
    assert list(list_images(tmp_path)) == ['a', 'b']
    (tmp_path / 'a.bmp').touch()
    with pytest.raises(ImageError, match='share a name'):
        list_images(tmp_path)
