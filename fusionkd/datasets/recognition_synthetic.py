"""Miniatures of recognition sets, drawn by a program in the layouts of the real ones; for tests and first steps."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET  # nosec: written, not read
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fusionkd.fileio import list_images, read_image, write_image

from .recognition import readable

CLASSES = ('Field', 'Forest', 'RiverLake')
_COLOURS = dict(Field=(170, 160, 90), Forest=(40, 90, 40), RiverLake=(50, 80, 140))
SHAPES = ('square', 'disc')
PAINTS = dict(red=(210, 50, 40), white=(235, 235, 235), yellow=(220, 200, 60))


def render_land(class_name: str, seed: int, size: int = 64) -> np.ndarray:
    """Land from above, ``(size, size, 3)`` RGB: stripes are a field, blobs a forest, a band a river."""
    rng = np.random.default_rng([seed, CLASSES.index(class_name)])
    y, x = np.mgrid[:size, :size] / size
    angle, phase = rng.uniform(0, np.pi), rng.uniform(0, 1)
    across = np.cos(angle) * x + np.sin(angle) * y
    if class_name == 'Field':
        pattern = np.sign(np.sin(2 * np.pi * (6 * across + phase))) * 25
    elif class_name == 'Forest':
        pattern = 30 * np.sin(40 * x + 9 * phase) * np.sin(40 * y + 5 * phase)
    else:
        pattern = np.where(np.abs(across - across.mean() + 0.3 * (phase - 0.5)) < 0.12, 50, -20)
    image = np.array(_COLOURS[class_name]) + pattern[..., None] + rng.normal(0, 8, (size, size, 3))
    return np.clip(image, 0, 255).astype(np.uint8)


def write_class_folders(root: str | Path, images: int = 4, size: int = 64, seed: int = 0) -> Path:
    """``ROOT/{train,test}/CLASS/NAME.png``, so many images a class and split."""
    root = Path(root)
    for s, split in enumerate(('train', 'test')):
        for name in CLASSES:
            for i in range(images):
                write_image(root / split / name / f'{i:03d}.png', render_land(name, 1000 * seed + 100 * s + i, size))
    return root


def describe(image: np.ndarray, class_name: str) -> list[str]:
    """Captions from a class and the statistics of an image: brightness, colour and contrast (not from a paper).

    Args:
        image: ``(H, W, 3)`` RGB, uint8.
        class_name: is read by :func:`readable`.

    Returns:
        Three sentences. They say what can be seen in numbers and no more: good enough to test retrieval, no substitute for
        captions of people.
    """
    light = image.mean() / 255
    brightness = ('dark', 'dim', 'bright', 'very bright')[int(np.searchsorted([0.25, 0.4, 0.55], light))]
    colour = ('reddish', 'greenish', 'bluish')[int(image.reshape(-1, 3).mean(0).argmax())]
    texture = ('smooth', 'varied', 'rough')[int(np.searchsorted([0.1, 0.18], image.mean(2).std() / 255))]
    name = readable(class_name)
    return [
        f'a {brightness} {colour} {name} seen from above',
        f'{name} with a {texture} surface, {brightness} and {colour}',
        f'an aerial photo of a {texture} {colour} {name}',
    ]


def write_captions(root: str | Path, splits: Sequence[str] = ('train', 'test'), name: str = 'captions.json') -> Path:
    """Caption list in the layout of RSITMD for class folders ``ROOT/SPLIT/CLASS``, by :func:`describe`.

    Returns:
        The list's path.

    Raises:
        FileNotFoundError: no folder of a split.
    """
    root = Path(root)
    images = []
    for split in splits:
        if not (root / split).is_dir():
            raise FileNotFoundError(f'folder not found: {root / split}; expected {root}/SPLIT/CLASS')
        for folder in sorted(p for p in (root / split).iterdir() if p.is_dir()):
            for path in list_images(folder).values():
                sentences = [dict(raw=text) for text in describe(_rgb(path), folder.name)]
                images.append(dict(filename=str(path.relative_to(root)), split=split, sentences=sentences))
    path = root / name
    path.write_text(json.dumps(dict(dataset=root.name, images=images), indent=1) + '\n', encoding='utf-8')
    return path


def write_grounding(root: str | Path, images: int = 6, size: int = 64, seed: int = 0) -> Path:
    """Land with one shape each, in the layout of DIOR-RSVG: ``JPEGImages``, ``Annotations``, ``train.txt``, ``test.txt``."""
    root = Path(root)
    for i in range(images):
        rng = np.random.default_rng([seed, i])
        image = render_land(CLASSES[i % len(CLASSES)], 1000 * seed + i, size)
        paint, shape = str(rng.choice(list(PAINTS))), str(rng.choice(SHAPES))
        side = int(rng.integers(size // 5, size // 2))
        x, y = (int(v) for v in rng.integers(0, size - side, 2))
        yy, xx = np.mgrid[:size, :size]
        inside = (xx >= x) & (xx < x + side) & (yy >= y) & (yy < y + side)
        if shape == 'disc':
            inside &= (xx - x - side / 2 + 0.5) ** 2 + (yy - y - side / 2 + 0.5) ** 2 <= (side / 2) ** 2
        image[inside] = PAINTS[paint]
        name = f'{i:05d}'
        write_image(root / 'JPEGImages' / f'{name}.jpg', image)
        _write_annotation(root, name, size, (x, y, x + side, y + side), f'the {paint} {shape}')
    cut = max(images * 2 // 3, 1)
    for split, numbers in (('train', range(cut)), ('val', range(cut, images)), ('test', range(cut, images))):
        (root / f'{split}.txt').write_text('\n'.join(map(str, numbers)) + '\n', encoding='utf-8')
    return root


def _write_annotation(root: Path, name: str, size: int, box: tuple[int, int, int, int], text: str) -> None:
    node = ET.Element('annotation')
    ET.SubElement(node, 'filename').text = f'{name}.jpg'
    of_image = ET.SubElement(node, 'size')
    for key in ('width', 'height'):
        ET.SubElement(of_image, key).text = str(size)
    thing = ET.SubElement(node, 'object')
    ET.SubElement(thing, 'name').text = text.rsplit(maxsplit=1)[-1]
    bounds = ET.SubElement(thing, 'bndbox')
    for key, value in zip(('xmin', 'ymin', 'xmax', 'ymax'), box, strict=True):
        ET.SubElement(bounds, key).text = str(value)
    ET.SubElement(thing, 'description').text = text
    path = root / 'Annotations' / f'{name}.xml'
    path.parent.mkdir(parents=True, exist_ok=True)
    ET.ElementTree(node).write(path)


def _rgb(path: Path) -> np.ndarray:
    image = read_image(path)
    return np.repeat(image[..., None], 3, 2) if image.ndim == 2 else image
