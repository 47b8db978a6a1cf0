"""Questions about images, with answers: from a list, or drawn by a program."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.dataset import Compose
from torch.utils.data import Dataset

from fusionkd.registry import DATASETS, TRANSFORMS

from .recognition import RecognitionDataset

COLOURS = dict(red=(215, 45, 40), green=(40, 175, 60), blue=(50, 80, 220), yellow=(225, 205, 50))
SHAPES = ('circle', 'square', 'triangle')
PLACES = ('top left', 'top right', 'bottom left', 'bottom right')
KINDS = ('count', 'colour', 'position')
EMPTY = 'nothing'
MARK = 'answer'  # the word before the answer proper
# All words of questions and responses.
WORDS = (
    *('how', 'many', 'shapes', 'are', 'there', 'what', 'colour', 'is', 'the', 'shape', 'at', 'where'),
    *COLOURS,
    *SHAPES,
    *(f'{shape}s' for shape in SHAPES),
    *('top', 'bottom', 'left', 'right', EMPTY, MARK, '0', '1', '2', '3', '4'),
)
# Shares of the scenes in each part: the remainder of a scene's hash by 10.
PARTS = dict(train=range(8), val=range(8, 9), test=range(9, 10))


@DATASETS.register_module()
class VisualQuestions(RecognitionDataset):
    """Questions about images from a JSON list of ``{"image", "question", "answer"}``.

    An entry may also have ``response``, the text a supervised student learns to write (default the answer), and ``kind``, by
    which results are broken down. Answers may be texts or numbers.

    Args:
        data_root: of the set.
        ann_file: the JSON file below the root.
        data_prefix: ``image``, the folder to which the paths of images are relative. Default ``dict(image='')``, the root.
        options: of :class:`RecognitionDataset`.

    Items: ``image_path``, ``question``, ``answer``, ``response``, ``kind`` (if the entry has one), ``name``, ``set_name``.

    Raises:
        FileNotFoundError: the list or an image is not there.
        ValueError: the list is broken; the message says where.

    Example:
        >>> VisualQuestions('data/vqa', 'train.json')  # doctest: +SKIP
    """

    METAINFO = dict(task='visual question answering')

    def __init__(self, data_root: str, ann_file: str, data_prefix: Mapping[str, str] | None = None, **options):
        options.setdefault('source', 'nothing: bring a JSON list of image, question and answer')
        super().__init__(data_root, data_prefix or dict(image=''), ann_file=ann_file, **options)

    def load_data_list(self) -> list[dict]:
        """Entries in the order of the list."""
        path = Path(self.ann_file)
        if not path.is_file():
            raise self._missing(f'question list not found: {path}')
        try:
            entries = json.loads(path.read_text(encoding='utf-8'))
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise ValueError(f'{path} is no JSON ({error}): write or download it again') from error
        if not isinstance(entries, list) or not entries:
            what = 'an empty list' if entries == [] else f'a {type(entries).__name__}'
            raise ValueError(f'{path} holds {what}; expected a list of {{"image", "question", "answer"}}')
        return [self._item(path, i, entry) for i, entry in enumerate(entries)]

    def _item(self, path: Path, i: int, entry: object) -> dict:
        where = f'{path}, entry {i}'
        if not isinstance(entry, dict):
            raise ValueError(f'{where}: expected an object with image, question and answer, got {entry!r}')
        texts = {key: _text(entry, key, where) for key in ('image', 'question', 'answer')}
        texts |= {key: _text(entry, key, where) for key in ('response', 'kind') if key in entry}
        image = Path(self.data_prefix['image']) / texts.pop('image')
        if not image.is_file():
            raise self._missing(f'{where}: image not found: {image}')
        texts.setdefault('response', texts['answer'])
        return dict(texts, image_path=str(image), name=f'{image.stem}_{i}', set_name=self.name)


def _text(entry: Mapping, key: str, where: str) -> str:
    value = entry.get(key)
    if key not in entry:
        raise ValueError(f'{where}: it lacks {key!r}; it has: {", ".join(map(str, entry)) or "nothing"}')
    if isinstance(value, bool) or not isinstance(value, str | int | float) or not str(value).strip():
        raise ValueError(f'{where}: {key!r} should be a text or a number, got {value!r}')
    return str(value).strip()


@dataclass(frozen=True)
class Scene:
    """Coloured shapes in the four quarters of an image.

    Attributes:
        cells: (colour, shape) or ``None`` of each of :data:`PLACES`.
    """

    cells: tuple[tuple[str, str] | None, ...]

    @property
    def part(self) -> str:
        """Which of :data:`PARTS` it belongs to; the same scene is never in two."""
        digit = hashlib.sha256(repr(self.cells).encode()).digest()[0] % 10
        return next(part for part, digits in PARTS.items() if digit in digits)

    def describe(self) -> str:
        """What is in the four quarters, in reading order."""
        return ' '.join(EMPTY if cell is None else ' '.join(cell) for cell in self.cells)

    def ask(self, kind: str, rng: np.random.Generator) -> tuple[str, str] | None:
        """A question of a kind and its answer, or ``None`` where the scene does not allow one."""
        filled = [i for i, cell in enumerate(self.cells) if cell is not None]
        if kind == 'count':
            colour = bool(rng.integers(2))
            name = _choose(tuple(COLOURS) if colour else SHAPES, rng)
            count = sum(name in self.cells[i] for i in filled)
            return f'how many {name + " shapes" if colour else name + "s"} are there', str(count)
        if kind == 'colour':
            place = _choose(filled, rng)
            return f'what colour is the shape at the {PLACES[place]}', self.cells[place][0]
        unique = [i for i in filled if self.cells.count(self.cells[i]) == 1]
        if not unique:
            return None
        place = _choose(unique, rng)
        return f'where is the {" ".join(self.cells[place])}', PLACES[place]


# Whether places are inside a shape of radius 1.
_INSIDE = dict(
    circle=lambda dx, dy: dx**2 + dy**2 <= 1,
    square=lambda dx, dy: np.maximum(np.abs(dx), np.abs(dy)) <= 0.85,
    triangle=lambda dx, dy: (dy <= 0.8) & (np.abs(dx) <= (dy + 1) / 1.8),
)


def draw_scene(rng: np.random.Generator, fill: float = 0.75) -> Scene:
    """A random scene with at least one shape; each quarter is filled with probability ``fill``."""
    while True:
        cells = tuple(
            (_choose(tuple(COLOURS), rng), _choose(SHAPES, rng)) if rng.random() < fill else None for _ in PLACES
        )
        if any(cells):
            return Scene(cells)


def render_scene(scene: Scene, rng: np.random.Generator, size: int = 32, noise: float = 12.0) -> np.ndarray:
    """Draw a scene, ``(size, size, 3)`` RGB, uint8; place, size and shade of the shapes, and the ground, vary."""
    half = size / 2
    image = np.full((size, size, 3), rng.uniform(20, 110, 3))
    x = np.arange(size) + 0.5
    y = x[:, None]
    for i, cell in enumerate(scene.cells):
        if cell is None:
            continue
        radius = half * rng.uniform(0.28, 0.42)
        cy, cx = (half * (k + 0.5) + rng.uniform(-1, 1) * (half / 2 - radius) for k in divmod(i, 2))
        dy, dx = (y - cy) / radius, (x - cx) / radius
        image[_INSIDE[cell[1]](dx, dy)] = np.array(COLOURS[cell[0]]) * rng.uniform(0.75, 1.0)
    return np.clip(image + rng.normal(0, noise, image.shape), 0, 255).astype(np.uint8)


def _choose(options: Sequence, rng: np.random.Generator) -> Any:
    return options[int(rng.integers(len(options)))]  # rng.choice takes ten times as long


@DATASETS.register_module()
class SyntheticQuestions(Dataset):
    """Questions about coloured shapes in the four quarters of a small image (not from a paper).

    Drawn when asked for, the same for the same index, seed and options. Parts share no scene, whatever their seeds: a scene
    belongs to one part. ``response`` names what is in the quarters and then the answer, as a teacher that explains itself
    would: ``'red circle nothing blue square red square answer 2'``.

    Args:
        num: number of questions. Default 1024.
        part: ``'train'`` (default), ``'val'`` or ``'test'``, with 8, 1 and 1 tenths of all scenes.
        seed: of the whole set. Default 0.
        kinds: of :data:`KINDS`, in equal shares. Default all.
        size: side in pixels. Default 32.
        noise: standard deviation of the pixel noise, in levels of 255. Default 12.
        fill: probability that a quarter holds a shape, in (0, 1]. Default 0.75.
        explained: probability that ``response`` explains itself, in [0, 1]; others are ``'answer 2'``. Default 1.
        name: of the set in results tables. Default ``'synthetic questions'``.
        pipeline: transforms after the drawing.
        test_mode: mmengine's.

    Items: ``image`` (``(size, size, 3)`` RGB, uint8), ``question``, ``answer``, ``response``, ``kind``, ``name`` and
    ``set_name``.

    Raises:
        ValueError: unknown part or kind, or a number outside its range.

    Example:
        >>> SyntheticQuestions(num=1)[0]['question']
        'how many circles are there'
    """

    METAINFO = dict(task='visual question answering')

    def __init__(
        self,
        num: int = 1024,
        part: str = 'train',
        seed: int = 0,
        kinds: Sequence[str] = KINDS,
        size: int = 32,
        noise: float = 12.0,
        fill: float = 0.75,
        explained: float = 1.0,
        name: str = 'synthetic questions',
        pipeline: Sequence[dict | Callable] = (),
        test_mode: bool = False,
    ):
        if part not in PARTS:
            raise ValueError(f'part={part!r}; known: {", ".join(PARTS)}')
        unknown = [kind for kind in kinds if kind not in KINDS]
        if unknown or not kinds:
            raise ValueError(f'kinds={list(kinds)}; expected some of: {", ".join(KINDS)}')
        if num < 1:
            raise ValueError(f'num must be positive, got {num}')
        self.num, self.part, self.seed, self.kinds = num, part, seed, tuple(kinds)
        if not 0 < fill <= 1:
            raise ValueError(f'fill must be in (0, 1], got {fill}')
        if not 0 <= explained <= 1:
            raise ValueError(f'explained must be in [0, 1], got {explained}')
        self.size, self.noise, self.fill, self.explained = size, noise, fill, explained
        self.name, self.test_mode = name, test_mode
        self.metainfo = dict(self.METAINFO)
        self.pipeline = Compose([TRANSFORMS.build(t) if isinstance(t, dict) else t for t in pipeline])

    def __len__(self) -> int:
        return self.num

    def get_data_info(self, index: int) -> dict:
        """The question without its image; ``name`` says what it was drawn from."""
        return self._draw(index)[0]

    def __getitem__(self, index: int) -> dict:
        results, scene, rng = self._draw(index)
        results['image'] = render_scene(scene, rng, self.size, self.noise)
        return self.pipeline(results)

    def _draw(self, index: int) -> tuple[dict, Scene, np.random.Generator]:
        if not 0 <= index < self.num:
            raise IndexError(f'question {index} of {self.num}')
        rng = np.random.default_rng([self.seed, index])
        kind = self.kinds[index % len(self.kinds)]
        while True:
            scene = draw_scene(rng, self.fill)
            asked = scene.ask(kind, rng) if scene.part == self.part else None
            if asked is not None:
                break
        question, answer = asked
        explanation = f'{scene.describe()} ' if rng.random() < self.explained else ''
        results = dict(question=question, answer=answer, response=f'{explanation}{MARK} {answer}', kind=kind)
        results |= dict(name=f'question_{self.part}_{self.seed}_{index:05d}', set_name=self.name)
        return results, scene, rng
