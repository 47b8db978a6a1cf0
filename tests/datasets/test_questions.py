import json
import re

import cv2
import numpy as np
import pytest

from fusionkd.datasets.questions import (
    COLOURS,
    KINDS,
    PLACES,
    WORDS,
    Scene,
    SyntheticQuestions,
    VisualQuestions,
    render_scene,
)
from fusionkd.datasets.recognition_transforms import LoadImage, PackRecognition
from fusionkd.engine.config import load_config
from fusionkd.registry import DATASETS

SCENE = Scene((('red', 'circle'), None, ('red', 'square'), ('blue', 'circle')))


@pytest.fixture
def folder(tmp_path):
    cv2.imwrite(str(tmp_path / 'a.png'), np.full((20, 30, 3), 90, np.uint8))
    return tmp_path


def write(folder, content):
    (folder / 'list.json').write_text(content if isinstance(content, str) else json.dumps(content))
    return VisualQuestions(str(folder), 'list.json', pipeline=[LoadImage(), PackRecognition()])


def test_a_list_of_questions(folder):
    entry = dict(image='a.png', question='How many?', answer=3)
    dataset = write(folder, [entry, dict(entry, answer='4', response='I see 4', kind='count')])
    first, second = dataset[0], dataset[1]
    assert first['inputs']['image'].shape == (3, 20, 30)
    sample = first['data_samples']
    assert (sample.question, sample.answer, sample.response) == ('How many?', '3', '3')
    assert second['data_samples'].response == 'I see 4' and second['data_samples'].kind == 'count'


@pytest.mark.parametrize(
    'content, message',
    [
        ('[{', 'is no JSON'),
        ('{"images": []}', r'holds a dict; expected a list of \{"image"'),
        ('[]', 'holds an empty list'),
        ([3], 'entry 0: expected an object'),
        ([dict(image='a.png', question='q')], "entry 0: it lacks 'answer'; it has: image, question"),
        ([dict(image='a.png', question=' ', answer='x')], "entry 0: 'question' should be a text or a number"),
        ([dict(image='a.png', question='q', answer=None)], "'answer' should be a text or a number, got None"),
    ],
)
def test_broken_lists_are_refused(folder, content, message):
    with pytest.raises(ValueError, match=message):
        write(folder, content)


def test_missing_files_are_named(folder):
    good = dict(image='a.png', question='q', answer='x')
    with pytest.raises(FileNotFoundError, match=r'entry 1: image not found: .*b\.png'):
        write(folder, [good, dict(good, image='b.png')])
    with pytest.raises(FileNotFoundError, match='question list not found'):
        VisualQuestions(str(folder), 'other.json')
    (folder / 'cut.png').write_bytes((folder / 'a.png').read_bytes()[:60])
    with pytest.raises(ValueError, match='truncated'):
        write(folder, [dict(good, image='cut.png')])[0]


def test_synthetic_questions_are_repeatable():
    one, two = (SyntheticQuestions(num=6, seed=3) for _ in range(2))
    assert all(
        np.array_equal(one[i]['image'], two[i]['image']) and one[i]['question'] == two[i]['question'] for i in range(6)
    )
    other = SyntheticQuestions(num=6, seed=4)
    assert any(one[i]['response'] != other[i]['response'] for i in range(6))
    assert one[0]['image'].shape == (32, 32, 3) and one[0]['image'].dtype == np.uint8
    with pytest.raises(IndexError):
        one[6]


def test_parts_share_no_scene():
    scenes = {}
    for part in ('train', 'val', 'test'):
        dataset = SyntheticQuestions(num=300, part=part)
        scenes[part] = {dataset.get_data_info(i)['response'].split(' answer ')[0] for i in range(300)}
    assert not scenes['train'] & scenes['val'] and not scenes['train'] & scenes['test']
    assert not scenes['val'] & scenes['test']


def test_answers_are_right():
    """Read back from the description, without the code that asked."""
    dataset = SyntheticQuestions(num=240)
    for i in range(240):
        info = dataset.get_data_info(i)
        assert info['kind'] == KINDS[i % 3]
        text, answer = info['response'].split(' answer ')
        cells = re.findall(r'nothing|(?:red|green|blue|yellow) (?:circle|square|triangle)', text)
        assert len(cells) == 4 and answer == info['answer']
        if info['kind'] == 'count':
            name = re.match(r'how many (\w+?)s?(?: shapes)? are', info['question'])[1]
            assert sum(name in cell.split() for cell in cells) == int(answer)
        elif info['kind'] == 'colour':
            place = info['question'].split('at the ')[1]
            assert cells[PLACES.index(place)].split()[0] == answer
        else:
            wanted = info['question'].split('where is the ')[1]
            assert [PLACES[k] for k in range(4) if cells[k] == wanted] == [answer]
        assert set(f'{info["question"]} {info["response"]}'.split()) <= set(WORDS)


def test_shapes_are_where_the_scene_says():
    image = render_scene(SCENE, np.random.default_rng(0), noise=0).astype(int)
    quarters = [image[y : y + 16, x : x + 16].reshape(-1, 3) for y in (0, 16) for x in (0, 16)]
    assert len(np.unique(quarters[1], axis=0)) == 1  # nothing but ground
    for quarter, colour in ((0, 'red'), (2, 'red'), (3, 'blue')):
        values, counts = np.unique(quarters[quarter], axis=0, return_counts=True)
        shape = next(v for v in values[np.argsort(-counts)] if tuple(v) != tuple(quarters[1][0]))
        assert np.argmax(shape) == np.argmax(COLOURS[colour])
    assert SCENE.ask('position', np.random.default_rng(0))[1] in PLACES
    assert Scene((('red', 'circle'),) * 4).ask('position', np.random.default_rng(0)) is None


def test_wrong_options_are_refused():
    with pytest.raises(ValueError, match="part='dev'; known: train, val, test"):
        SyntheticQuestions(part='dev')
    with pytest.raises(ValueError, match='expected some of: count'):
        SyntheticQuestions(kinds=['size'])
    with pytest.raises(ValueError, match='num must be positive'):
        SyntheticQuestions(num=0)
    with pytest.raises(ValueError, match=r'fill must be in \(0, 1\], got 0'):
        SyntheticQuestions(fill=0)


def test_some_responses_explain_themselves():
    dataset = SyntheticQuestions(num=400, explained=0.25)
    infos = [dataset.get_data_info(i) for i in range(400)]
    short = [info['response'] == f'answer {info["answer"]}' for info in infos]
    assert sum(short) / 400 == pytest.approx(0.75, abs=0.07)
    with pytest.raises(ValueError, match=r'explained must be in \[0, 1\], got 2'):
        SyntheticQuestions(explained=2)


def test_fill_is_the_share_of_quarters_with_a_shape():
    empty = []
    for fill in (0.35, 1.0):
        dataset = SyntheticQuestions(num=300, fill=fill, kinds=['count'])
        empty.append(sum(dataset.get_data_info(i)['response'].count('nothing') for i in range(300)) / 1200)
    # Scenes without any shape are drawn again: of the others 0.35 / (1 - 0.65**4) is filled.
    assert empty[0] == pytest.approx(1 - 0.35 / (1 - 0.65**4), abs=0.05) and empty[1] == 0


def test_recipes_keep_their_parts_apart():
    from common import REPO

    config = load_config(REPO / 'configs/ril/ril_vlm.py')
    parts = [DATASETS.build(config[f'{name}_dataloader'].dataset).part for name in ('train', 'val', 'test')]
    assert parts == ['train', 'val', 'test']
