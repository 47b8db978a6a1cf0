"""Transforms of one image with what is known of it. Boxes are kept as shares of width and height."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmcv.transforms.utils import cache_randomness
from mmengine.structures import BaseDataElement

from fusionkd.fileio import read_image, scale_to_unit
from fusionkd.registry import TRANSFORMS

from .recognition import check_box


@TRANSFORMS.register_module()
class LoadImage(BaseTransform):
    """Read an image as ``(H, W, 3)`` RGB, uint8, resize it, and keep it in memory.

    A ``box`` in pixels becomes shares in [0, 1] of the file's width and height.

    Args:
        size: side of the square it is resized to, by area averaging where it shrinks. Default none: as it is.
        cache_mb: keep images in memory up to this many MiB per process. Default 0.

    Raises:
        ImageError: unreadable or truncated file.
        ValueError: a box outside the image.
    """

    def __init__(self, size: int | None = None, cache_mb: float = 0):
        self.size = size
        self.cache_bytes = int(cache_mb * 2**20)
        self._cache: dict[str, tuple[np.ndarray, tuple[int, int]]] = {}
        self._cached_bytes = 0

    def transform(self, results: dict) -> dict:
        """Add ``image``."""
        path = results['image_path']
        found = self._cache.get(path)
        if found is None:
            found = self._load(path)
            if self._cached_bytes + found[0].nbytes <= self.cache_bytes:
                self._cache[path] = found
                self._cached_bytes += found[0].nbytes
        results['image'], size = found
        if 'box' in results:
            check_box(results['box'], size, path)
            results['box'] = np.array(results['box'], np.float32) / np.array([*size, *size], np.float32)
        return results

    def _load(self, path: str) -> tuple[np.ndarray, tuple[int, int]]:
        image = read_image(path)
        if image.dtype != np.uint8:
            image = np.rint(scale_to_unit(image, name=path) * 255).astype(np.uint8)
        if image.ndim == 2:
            image = np.repeat(image[..., None], 3, axis=2)
        height, width = image.shape[:2]
        return (image if self.size is None else _resize(image, self.size)), (width, height)


@TRANSFORMS.register_module()
class RandomResizedCrop(BaseTransform):
    """Cut a random window out of the image and resize it. Not for images with a box.

    Args:
        size: side of the result.
        scale: smallest and largest share of the area. Default (0.5, 1).
        ratio: smallest and largest width by height. Default (3 / 4, 4 / 3).
    """

    def __init__(self, size: int, scale: Sequence[float] = (0.5, 1.0), ratio: Sequence[float] = (3 / 4, 4 / 3)):
        if not 0 < scale[0] <= scale[1] <= 1 or not 0 < ratio[0] <= ratio[1]:
            raise ValueError(f'scale must be in (0, 1] and ratio positive, both rising, got {scale} and {ratio}')
        self.size = size
        self.scale = tuple(scale)
        self.ratio = tuple(ratio)

    @cache_randomness
    def _window(self, height: int, width: int) -> tuple[int, int, int, int]:
        share = np.random.uniform(*self.scale)
        ratio = np.exp(np.random.uniform(*np.log(self.ratio)))
        h = min(max(round(np.sqrt(height * width * share / ratio)), 1), height)
        w = min(max(round(np.sqrt(height * width * share * ratio)), 1), width)
        return np.random.randint(height - h + 1), np.random.randint(width - w + 1), h, w

    def transform(self, results: dict) -> dict:
        """Crop and resize ``image``."""
        if 'box' in results:
            raise ValueError('RandomResizedCrop would cut boxes: leave it out of the pipeline of a grounding set')
        y, x, h, w = self._window(*results['image'].shape[:2])
        results['image'] = _resize(results['image'][y : y + h, x : x + w], self.size)
        return results


@TRANSFORMS.register_module()
class RandomSymmetry(BaseTransform):
    """One of the eight symmetries of the square: seen from above, a scene has no upper side.

    Not for images with a box or with descriptions that name directions.
    """

    @cache_randomness
    def _draw(self) -> tuple[int, bool]:
        return np.random.randint(4), np.random.rand() < 0.5

    def transform(self, results: dict) -> dict:
        """Turn ``image`` by a multiple of 90 degrees and perhaps mirror it."""
        if 'box' in results:
            raise ValueError('RandomSymmetry would move boxes: leave it out of the pipeline of a grounding set')
        turns, mirrored = self._draw()
        image = np.rot90(results['image'], turns)
        results['image'] = image[:, ::-1] if mirrored else image
        return results


@TRANSFORMS.register_module()
class ColourJitter(BaseTransform):
    """Gain of every channel and offset of all: other sensors, seasons and hours.

    Args:
        gain: relative half width around 1. Default 0.15.
        offset: half width in fractions of the full range. Default 0.1.
    """

    def __init__(self, gain: float = 0.15, offset: float = 0.1):
        self.gain = gain
        self.offset = offset

    def transform(self, results: dict) -> dict:
        """Change ``image``, keeping type and range."""
        gain = 1 + self.gain * np.random.uniform(-1, 1, 3)
        offset = 255 * self.offset * np.random.uniform(-1, 1)
        table = np.clip(np.arange(256)[:, None] * gain + offset, 0, 255).round().astype(np.uint8)
        results['image'] = cv2.LUT(np.ascontiguousarray(results['image']), table[:, None, :])
        return results


@TRANSFORMS.register_module()
class PackRecognition(BaseTransform):
    """Arrays to tensors: ``dict(inputs=dict(image), data_samples=BaseDataElement)``.

    ``image`` is ``(3, H, W)``, uint8. The sample holds ``label`` (int64 scalar), ``text``, ``captions``, ``question``,
    ``answer``, ``response`` and ``box`` (``(4,)``, x1, y1, x2, y2 as shares of width and height), whichever there are, and in
    its metainfo ``name``, ``set_name``, ``kind`` and ``image_path``. Of several captions one is drawn as ``text``.
    """

    META_KEYS = ('name', 'set_name', 'kind', 'image_path')
    TEXT_KEYS = ('text', 'question', 'answer', 'response')

    def transform(self, results: dict) -> dict:
        """Pack one image."""
        image = np.ascontiguousarray(results['image'].transpose(2, 0, 1))
        sample = BaseDataElement(metainfo={k: results[k] for k in self.META_KEYS if k in results})
        if 'label' in results:
            sample.label = torch.tensor(results['label'])
        if 'captions' in results:
            sample.captions = list(results['captions'])
            sample.text = sample.captions[np.random.randint(len(sample.captions))]
        for key in self.TEXT_KEYS:
            if key in results:
                setattr(sample, key, results[key])
        if 'box' in results:
            sample.box = torch.from_numpy(np.asarray(results['box'], np.float32))
        return dict(inputs=dict(image=torch.from_numpy(image)), data_samples=sample)


def _resize(image: np.ndarray, size: int) -> np.ndarray:
    if image.shape[:2] == (size, size):
        return image
    shrinks = min(image.shape[:2]) >= size
    return cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
