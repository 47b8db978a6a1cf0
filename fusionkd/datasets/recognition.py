"""Images with a class, with captions, or with a described box."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET  # nosec: annotations of a public data set on one's own disk
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from mmengine.dataset import BaseDataset

from fusionkd.fileio import IMAGE_SUFFIXES
from fusionkd.registry import DATASETS, TRANSFORMS


class RecognitionDataset(BaseDataset):
    """What the sets of this file share: paths below one root, a name for tables, and what to run where data is missing.

    Args:
        data_root: of the set.
        data_prefix: folders below the root, by what they hold.
        ann_file: list below the root. Default none.
        name: of the set in results tables. Default the name of the root folder.
        source: what a user should run when the data is not there, for the message.
        pipeline: transforms.
        test_mode: mmengine's.
        indices: mmengine's: this many images, or these.
    """

    def __init__(
        self,
        data_root: str,
        data_prefix: Mapping[str, str],
        ann_file: str = '',
        name: str | None = None,
        source: str = 'python tools/prepare_data.py NAME',
        pipeline: Sequence[dict | Callable] = (),
        test_mode: bool = False,
        indices: int | Sequence[int] | None = None,
    ):
        self.name = name or Path(data_root).resolve().name
        self.source = source
        if not Path(data_root).is_dir():
            raise self._missing(f'folder not found: {data_root}')
        super().__init__(
            ann_file=ann_file,
            data_root=data_root,
            data_prefix=dict(data_prefix),
            pipeline=[TRANSFORMS.build(t) if isinstance(t, dict) else t for t in pipeline],
            test_mode=test_mode,
            indices=indices,
        )

    def _missing(self, text: str) -> FileNotFoundError:
        return FileNotFoundError(
            f'{text}. To fetch or check the data run: {self.source}; to use another folder give --data-root'
        )


def check_splits(splits: Mapping[str, float] | None, part: str) -> dict[str, float]:
    """Shares by name, if they are shares and ``part`` is one of them or ``'all'``.

    Raises:
        ValueError: they are not.
    """
    known = ('all', *(splits or ()))
    if part not in known:
        raise ValueError(f'part={part!r}; known: {", ".join(known)}')
    if splits and (min(splits.values()) <= 0 or sum(splits.values()) > 1 + 1e-9):
        raise ValueError(f'splits must be positive shares that sum to 1 at most, got {dict(splits)}')
    return dict(splits or {})


def take_part(items: list, splits: Mapping[str, float], part: str, rng: np.random.Generator) -> list:
    """The items that a part of ``splits`` draws, in their order."""
    order = rng.permutation(len(items))
    if part == 'all':
        return items
    begin = 0.0
    for name, share in splits.items():
        if name == part:
            rows = order[round(begin * len(items)) : round((begin + share) * len(items))]
            return [items[i] for i in sorted(rows)]
        begin += share
    return []


@DATASETS.register_module()
class ClassFolders(RecognitionDataset):
    """One folder of images for each class: AID, NWPU-RESISC45, RSSCN7, EuroSAT.

    Args:
        data_root: of the set.
        data_prefix: ``image``, the folder that holds the folders of classes. Default ``dict(image='')``, the root.
        classes: folder names in the order of their labels. Default all folders, sorted.
        splits: shares of every class, such as ``dict(train=0.5, test=0.5)``, for sets that publish no split. Images are
            shuffled by ``seed`` within their class. Default none.
        part: one of ``splits``, or ``'all'``. Default ``'all'``.
        seed: of the split. Default 0.
        options: of :class:`RecognitionDataset`.

    Items: ``image_path``, ``label`` in [0, K), ``class_name``, ``name`` (folder and file), ``set_name``.

    Raises:
        FileNotFoundError: no such folder.
        ValueError: a class without images, or a part that does not exist.

    Example:
        >>> ClassFolders('data/AID', splits=dict(train=0.5, test=0.5), part='train')  # doctest: +SKIP
    """

    METAINFO = dict(task='scene classification')

    def __init__(
        self,
        data_root: str,
        data_prefix: Mapping[str, str] | None = None,
        classes: Sequence[str] | None = None,
        splits: Mapping[str, float] | None = None,
        part: str = 'all',
        seed: int = 0,
        **options,
    ):
        self.classes = list(classes) if classes else None
        self.splits = check_splits(splits, part)
        self.part = part
        self.seed = seed
        super().__init__(data_root, data_prefix or dict(image=''), **options)

    def load_data_list(self) -> list[dict]:
        """Images by class, sorted by name."""
        root = Path(self.data_prefix['image'])
        if not root.is_dir():
            raise self._missing(f'folder not found: {root}')
        found = sorted(p.name for p in root.iterdir() if p.is_dir() and not p.name.startswith('.'))
        self.classes = self.classes or found
        unknown = sorted(set(self.classes) - set(found))
        if unknown or not found:
            raise ValueError(f'{root} has no folder {unknown or "of a class"}; it has: {", ".join(found) or "none"}')
        self._metainfo['classes'] = tuple(self.classes)
        rng = np.random.default_rng(self.seed)
        data = []
        for label, class_name in enumerate(self.classes):
            paths = sorted(p for p in (root / class_name).iterdir() if p.suffix.lower() in IMAGE_SUFFIXES)
            if not paths:
                raise ValueError(
                    f'class {class_name!r} is empty: no image ({", ".join(IMAGE_SUFFIXES)}) in {root / class_name}'
                )
            for path in take_part(paths, self.splits, self.part, rng):
                names = dict(name=f'{class_name}/{path.stem}', set_name=self.name, class_name=class_name)
                data.append(dict(image_path=str(path), label=label, **names))
        if not data:
            raise ValueError(f'part {self.part!r} of {root} is empty: {self.splits} of so few images')
        return data


@DATASETS.register_module()
class CaptionList(RecognitionDataset):
    """Images with captions, in the JSON layout of RSITMD and RSICD.

    The file holds ``{"images": [{"filename", "split", "sentences": [{"raw"}, ...]}, ...]}``.

    Args:
        data_root: of the set.
        ann_file: the JSON file below the root, such as ``'dataset_RSITMD.json'``.
        data_prefix: ``image``, the folder of the images. Default ``dict(image='images')``.
        split: which images, by their ``split``; ``'all'`` for every one. Default ``'train'``.
        splits: shares of these, such as ``dict(train=0.9, val=0.1)``, for a validation set that the list does not have.
            Images are shuffled by ``seed``. Default none.
        part: one of ``splits``, or ``'all'``. Default ``'all'``.
        seed: of the shares. Default 0.
        options: of :class:`RecognitionDataset`.

    Items: ``image_path``, ``captions`` (one or more), ``name``, ``set_name``.

    Raises:
        FileNotFoundError: the list or an image is not there.
        ValueError: the list is broken; the message says where.
    """

    METAINFO = dict(task='image-text retrieval')

    def __init__(
        self,
        data_root: str,
        ann_file: str,
        data_prefix: Mapping[str, str] | None = None,
        split: str = 'train',
        splits: Mapping[str, float] | None = None,
        part: str = 'all',
        seed: int = 0,
        **options,
    ):
        self.split = split
        self.splits = check_splits(splits, part)
        self.part = part
        self.seed = seed
        super().__init__(data_root, data_prefix or dict(image='images'), ann_file=ann_file, **options)

    def load_data_list(self) -> list[dict]:
        """Images of the split in the order of the list."""
        path = Path(self.ann_file)
        if not path.is_file():
            raise self._missing(f'caption list not found: {path}')
        try:
            entries = json.loads(path.read_text(encoding='utf-8'))['images']
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise ValueError(f'{path} is no JSON ({error}): download it again') from error
        except (KeyError, TypeError):
            raise ValueError(f'{path} has no list "images", which RSITMD and RSICD have') from None
        data = [self._item(path, i, entry) for i, entry in enumerate(entries) if self._wanted(path, i, entry)]
        if not data:
            splits = sorted({str(entry['split']) for entry in entries})
            raise ValueError(f'{path} has no image of the split {self.split!r}; it has: {", ".join(splits) or "none"}')
        return take_part(data, self.splits, self.part, np.random.default_rng(self.seed))

    def _wanted(self, path: Path, i: int, entry: object) -> bool:
        missing = [k for k in ('filename', 'split', 'sentences') if not isinstance(entry, dict) or k not in entry]
        if missing:
            raise ValueError(f'{path}, image {i}: it lacks {", ".join(missing)}')
        return self.split in ('all', entry['split'])

    def _item(self, path: Path, i: int, entry: Mapping) -> dict:
        sentences = entry['sentences'] if isinstance(entry['sentences'], list) else []
        captions = [s['raw'].strip() for s in sentences if isinstance(s, dict) and str(s.get('raw', '')).strip()]
        if not captions:
            raise ValueError(f'{path}, image {i} ({entry["filename"]}): it has no sentence with text in "raw"')
        image = Path(self.data_prefix['image']) / entry['filename']
        if not image.is_file():
            raise self._missing(f'{path}, image {i}: image not found: {image}')
        name = str(Path(entry['filename']).with_suffix(''))
        return dict(image_path=str(image), captions=captions, name=name, set_name=self.name)


@DATASETS.register_module()
class GroundingList(RecognitionDataset):
    """Boxes with a description, in the XML layout of DIOR-RSVG.

    ``Annotations/*.xml`` hold ``object`` elements with ``bndbox`` (xmin, ymin, xmax, ymax in pixels) and ``description``;
    ``filename`` names the image. A list such as ``train.txt`` holds numbers of objects, counted from 0 through all files.
    The published loader counts in the order in which the file system lists the files; here it is the order of their names.

    Args:
        data_root: of the set.
        ann_file: list of object numbers below the root. Default none: every object.
        data_prefix: ``image`` and ``annotation``. Default ``dict(image='JPEGImages', annotation='Annotations')``.
        options: of :class:`RecognitionDataset`.

    Items: ``image_path``, ``text``, ``box`` (x1, y1, x2, y2 in pixels), ``name``, ``set_name``.

    Raises:
        FileNotFoundError: a folder, list or image is not there.
        ValueError: broken XML, a number that no object has, an object without description, a box that is empty or outside
            its image.
    """

    METAINFO = dict(task='visual grounding')

    def __init__(self, data_root: str, ann_file: str = '', data_prefix: Mapping[str, str] | None = None, **options):
        prefix = data_prefix or dict(image='JPEGImages', annotation='Annotations')
        super().__init__(data_root, prefix, ann_file=ann_file, **options)

    def load_data_list(self) -> list[dict]:
        """Objects in the order of their numbers."""
        folder = Path(self.data_prefix['annotation'])
        files = sorted(folder.glob('*.xml')) if folder.is_dir() else []
        if not files:
            raise self._missing(f'no annotation (.xml) in {folder}')
        objects = [item for path in files for item in self._objects(path)]
        numbers = self._numbers(len(objects))
        return [dict(item, name=f'{item["name"]}_{i}') for i in numbers for item in (objects[i],)]

    def _numbers(self, count: int) -> Sequence[int]:
        if not self.ann_file:
            return range(count)
        path = Path(self.ann_file)
        if not path.is_file():
            raise self._missing(f'list not found: {path}')
        numbers = []
        for line, text in enumerate(path.read_text(encoding='utf-8').split(), 1):
            if not text.isdigit() or int(text) >= count:
                raise ValueError(f'{path}, entry {line}: {text!r} is no object; there are {count}, counted from 0')
            numbers.append(int(text))
        if not numbers:
            raise ValueError(f'{path} names no object')
        return sorted(numbers)

    def _objects(self, path: Path) -> list[dict]:
        try:
            root = ET.parse(path).getroot()
        except ET.ParseError as error:
            raise ValueError(f'{path} is no XML ({error}): download it again') from error
        image = Path(self.data_prefix['image']) / (root.findtext('filename') or f'{path.stem}.jpg').strip()
        if not image.is_file():
            raise self._missing(f'{path}: image not found: {image}')
        size = root.find('size')
        limits = (_number(path, size, 'width'), _number(path, size, 'height')) if size is not None else None
        items = []
        for place, node in enumerate(root.findall('object')):
            where = f'{path}, object {place}'
            text = (node.findtext('description') or '').strip()
            if not text:
                raise ValueError(f'{where}: it has no description')
            bounds = node.find('bndbox')
            box = tuple(_number(path, bounds, key) for key in ('xmin', 'ymin', 'xmax', 'ymax'))
            check_box(box, limits, where)
            items.append(dict(image_path=str(image), text=text, box=box, name=path.stem, set_name=self.name))
        return items


def check_box(box: Sequence[float], size: tuple[float, float] | None, where: str) -> None:
    """Refuse an empty box or one outside its image.

    Args:
        box: x1, y1, x2, y2 in pixels.
        size: width and height; ``None`` checks the order alone.
        where: for the message.
    """
    x1, y1, x2, y2 = box
    if not (x1 < x2 and y1 < y2):
        raise ValueError(f'{where}: the box {tuple(box)} is empty; expected xmin < xmax and ymin < ymax')
    if size is not None and not (x1 >= 0 and y1 >= 0 and x2 <= size[0] and y2 <= size[1]):
        raise ValueError(f'{where}: the box {tuple(box)} is outside its image of {size[0]:g} x {size[1]:g}')


def readable(class_name: str) -> str:
    """A folder's name as words: ``'RiverLake'``, ``'river_lake'`` and ``'river-lake'`` are ``'river lake'``."""
    words = re.sub(r'(?<=[a-z0-9])(?=[A-Z])|[_\-\s]+', ' ', class_name)
    return words.strip().lower()


def _number(path: Path, node: ET.Element | None, key: str) -> float:
    text = node.findtext(key) if node is not None else None
    try:
        return float(text)
    except (TypeError, ValueError):
        raise ValueError(f'{path}: {key} should be a number, got {text!r}') from None
