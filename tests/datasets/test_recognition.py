import json

import numpy as np
import pytest

from fusionkd.datasets.recognition import CaptionList, ClassFolders, GroundingList, readable
from fusionkd.datasets.recognition_synthetic import (
    CLASSES,
    describe,
    render_land,
    write_captions,
    write_class_folders,
    write_grounding,
)
from fusionkd.datasets.recognition_transforms import (
    ColourJitter,
    LoadImage,
    PackRecognition,
    RandomResizedCrop,
    RandomSymmetry,
)


@pytest.fixture(scope='module')
def folders(tmp_path_factory):
    return write_class_folders(tmp_path_factory.mktemp('classes'), images=5, size=24)


@pytest.fixture
def boxes(tmp_path):
    return write_grounding(tmp_path / 'boxes', images=6, size=32)


def test_class_folders(folders):
    dataset = ClassFolders(str(folders), dict(image='train'), pipeline=[LoadImage(16, cache_mb=1), PackRecognition()])
    assert len(dataset) == 15 and dataset.metainfo['classes'] == CLASSES
    item = dataset[7]
    assert item['inputs']['image'].shape == (3, 16, 16)
    assert item['data_samples'].label == 1 and item['data_samples'].name == 'Forest/002'


def test_published_splits_are_made_by_a_seed(folders):
    splits = dict(train=0.6, test=0.4)
    parts = {p: ClassFolders(str(folders), dict(image='train'), splits=splits, part=p) for p in splits}
    names = {p: {d.get_data_info(i)['name'] for i in range(len(d))} for p, d in parts.items()}
    assert len(names['train']) == 9 and len(names['test']) == 6 and not names['train'] & names['test']
    other = ClassFolders(str(folders), dict(image='train'), splits=splits, part='train', seed=1)
    assert {other.get_data_info(i)['name'] for i in range(9)} != names['train']


def test_broken_class_folders(folders, tmp_path):
    with pytest.raises(FileNotFoundError, match=r'prepare_data.py aid.*--data-root'):
        ClassFolders(str(tmp_path / 'no'), source='python tools/prepare_data.py aid')
    write_class_folders(tmp_path, images=1, size=8)
    (tmp_path / 'train/Field/000.png').unlink()
    with pytest.raises(ValueError, match="class 'Field' is empty"):
        ClassFolders(str(tmp_path), dict(image='train'))
    with pytest.raises(ValueError, match=r"has no folder \['City'\].*Field, Forest"):
        ClassFolders(str(folders), dict(image='train'), classes=['City'])
    with pytest.raises(ValueError, match=r"part='x'; known: all, train"):
        ClassFolders(str(folders), splits=dict(train=1.0), part='x')
    with pytest.raises(ValueError, match='sum to 1 at most'):
        ClassFolders(str(folders), splits=dict(train=1.0, test=0.5))


def test_captions(folders):
    path = write_captions(folders)
    dataset = CaptionList(str(folders), path.name, dict(image=''), pipeline=[LoadImage(16), PackRecognition()])
    sample = dataset[0]['data_samples']
    assert len(dataset) == 15 and len(sample.captions) == 3 and sample.text in sample.captions
    assert 'field' in sample.text
    assert len(CaptionList(str(folders), path.name, dict(image=''), split='all')) == 30


def test_a_caption_list_without_validation_images_gives_some_of_its_training_images(folders):
    path, splits = write_captions(folders), dict(train=0.8, val=0.2)
    parts = {}
    for part in ('train', 'val', 'all'):
        dataset = CaptionList(str(folders), path.name, dict(image=''), splits=splits, part=part)
        parts[part] = {dataset.get_data_info(i)['name'] for i in range(len(dataset))}
    assert len(parts['val']) == 3 and parts['train'] | parts['val'] == parts['all']
    assert not parts['train'] & parts['val']
    with pytest.raises(ValueError, match="part='test'; known: all, train, val"):
        CaptionList(str(folders), path.name, dict(image=''), splits=splits, part='test')


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ('{"images": [', r'is no JSON.*line 1'),
        ('[]', 'has no list "images"'),
        ('{"images": [{"filename": "a.png"}]}', 'image 0: it lacks split, sentences'),
        (
            json.dumps(dict(images=[dict(filename='a', split='train', sentences=[dict(raw=' ')])])),
            'no sentence with text',
        ),
        (json.dumps(dict(images=[dict(filename='a', split='test', sentences=[])])), r"split 'train'; it has: test"),
    ],
)
def test_broken_caption_lists(folders, content, message):
    (folders / 'broken.json').write_text(content)
    with pytest.raises(ValueError, match=message):
        CaptionList(str(folders), 'broken.json', dict(image=''))


def test_a_caption_without_image(folders):
    entry = dict(filename='none.png', split='train', sentences=[dict(raw='x')])
    (folders / 'lost.json').write_text(json.dumps(dict(images=[entry])))
    with pytest.raises(FileNotFoundError, match=r'image 0: image not found: .*none.png'):
        CaptionList(str(folders), 'lost.json', dict(image=''))


def test_grounding(boxes):
    dataset = GroundingList(str(boxes), 'train.txt', pipeline=[LoadImage(16), PackRecognition()])
    assert len(dataset) == 4 and len(GroundingList(str(boxes), 'test.txt')) == 2 and len(GroundingList(str(boxes))) == 6
    info, sample = dataset.get_data_info(1), dataset[1]['data_samples']
    assert np.allclose(sample.box.numpy(), np.array(info['box']) / 32) and sample.text.startswith('the ')
    x1, y1, x2, y2 = info['box']
    image = LoadImage()(dict(image_path=info['image_path']))['image']
    paint = image[int(y1 + y2) // 2, int(x1 + x2) // 2].astype(int)
    assert abs(paint - image[0, 0].astype(int)).sum() > 60  # the box is where the shape is


def edit(root, old, new, name='00002'):
    path = root / 'Annotations' / f'{name}.xml'
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.mark.parametrize(
    ('old', 'new', 'message'),
    [
        ('<xmax>', '<xmax>1', r'00002.xml, object 0: the box .* is outside its image of 32 x 32'),
        ('<xmin>', '<xmin>9', r'is empty; expected xmin < xmax'),
        ('<xmin>', '<xmin>a', r'xmin should be a number'),
        ('</annotation>', '', r'is no XML'),
        ('description', 'caption', r'object 0: it has no description'),
    ],
)
def test_broken_annotations(boxes, old, new, message):
    edit(boxes, old, new)
    with pytest.raises(ValueError, match=message):
        GroundingList(str(boxes))


def test_more_broken_grounding_sets(boxes):
    (boxes / 'bad.txt').write_text('0\n6\n')
    with pytest.raises(ValueError, match=r"entry 2: '6' is no object; there are 6"):
        GroundingList(str(boxes), 'bad.txt')
    with pytest.raises(FileNotFoundError, match='list not found'):
        GroundingList(str(boxes), 'none.txt')
    edit(boxes, '<size>', '<other>'), edit(boxes, '</size>', '</other>')
    edit(boxes, '<xmax>', '<xmax>1')  # without a size the file itself tells
    dataset = GroundingList(str(boxes), pipeline=[LoadImage(), PackRecognition()])
    with pytest.raises(ValueError, match='is outside its image'):
        dataset[2]
    (boxes / 'JPEGImages/00001.jpg').unlink()
    with pytest.raises(FileNotFoundError, match=r'00001.xml: image not found'):
        GroundingList(str(boxes))


def test_readable():
    assert [readable(n) for n in ('RiverLake', 'river_lake', 'Dense-Residential', 'AID')] == [
        'river lake',
        'river lake',
        'dense residential',
        'aid',
    ]


def test_captions_say_what_is_there():
    dark, bright = np.full((4, 4, 3), 20, np.uint8), np.full((4, 4, 3), 240, np.uint8)
    assert 'dark' in describe(dark, 'Field')[0] and 'very bright' in describe(bright, 'Field')[0]
    green = np.zeros((4, 4, 3), np.uint8)
    green[..., 1] = 90
    assert 'greenish river lake' in describe(green, 'RiverLake')[0]


def test_transforms_keep_type_and_size():
    image = render_land('Field', 0, 20)
    for step in (RandomResizedCrop(16), RandomSymmetry(), ColourJitter()):
        out = step(dict(image=image))['image']
        assert out.dtype == np.uint8 and out.shape[2] == 3
    np.random.seed(0)
    seen = {RandomSymmetry()(dict(image=image))['image'].tobytes() for _ in range(80)}
    assert len(seen) == 8
    assert (ColourJitter(0, 0)(dict(image=image))['image'] == image).all()
    for step in (RandomResizedCrop(16), RandomSymmetry()):
        with pytest.raises(ValueError, match='leave it out of the pipeline of a grounding set'):
            step(dict(image=image, box=(0, 0, 1, 1)))
    with pytest.raises(ValueError, match='scale must be'):
        RandomResizedCrop(16, scale=(0, 1))
