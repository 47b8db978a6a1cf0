"""Transforms of a pair; both images always go through the same geometry.

Geometric transforms write what they did to ``results['geometry']``, see :func:`replay`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmcv.transforms.utils import cache_randomness
from mmengine.structures import BaseDataElement

from fusionkd.registry import TRANSFORMS

from .origin import load_origin

_SPARSE = 4  # every fourth pixel of every fourth row is looked at


@TRANSFORMS.register_module()
class LoadImagePair(BaseTransform):
    """Read both images: ir to one channel, vis gray or RGB.

    8-bit images stay uint8; 16-bit and float images become float32 in [0, 1].

    Adds ``ir``, ``(H, W)``, ``vis``, ``(H, W)`` or ``(H, W, 3)``, and their ``origin``, see :func:`load_origin`.

    Args:
        ir_range: values of the infrared file that become 0 and 1, such as ``(0, 16383)`` for 14-bit thermal data.
            Default the range of the file's type.
        vis_range: the same for the visible file.
        cache_mb: keep decoded pairs in memory up to this many MiB per process. Default 0.

    Raises:
        ImageError: unreadable or truncated file, sizes that differ.
    """

    def __init__(
        self,
        ir_range: tuple[float, float] | None = None,
        vis_range: tuple[float, float] | None = None,
        cache_mb: float = 0,
    ):
        self.ir_range = ir_range
        self.vis_range = vis_range
        self.cache_bytes = int(cache_mb * 2**20)
        self._cache: OrderedDict[tuple[str, str], tuple[np.ndarray, np.ndarray]] = OrderedDict()
        self._cached_bytes = 0

    def transform(self, results: dict) -> dict:
        """Add the images of ``ir_path`` and ``vis_path``."""
        key = (results['ir_path'], results['vis_path'])
        pair = self._cache.get(key)
        if pair is None:
            pair = self._load(*key)
            size = pair[0].nbytes + pair[1].nbytes
            # A full cache keeps what it has: replacing would make every epoch of a larger set decode everything again.
            if self._cached_bytes + size <= self.cache_bytes:
                self._cache[key] = pair
                self._cached_bytes += size
        results['ir'], results['vis'] = pair
        results['origin'] = self._origin(*key)
        return results

    def _load(self, ir_path: str, vis_path: str) -> tuple[np.ndarray, np.ndarray]:
        return load_origin(self._origin(ir_path, vis_path))

    def _origin(self, ir_path: str, vis_path: str) -> dict:
        return dict(ir_path=ir_path, vis_path=vis_path, ir_range=self.ir_range, vis_range=self.vis_range)


def replay(image: np.ndarray, geometry: Sequence[tuple] = ()) -> np.ndarray:
    """Put another image through the geometry of a pair.

    Args:
        image: ``(H, W)`` or ``(H, W, C)``, as large as the pair was when it was loaded.
        geometry: steps in order: ``('crop', y, x, height, width)``, which enlarges smaller images by reflection at the
            bottom and right first, ``('flip_x',)``, left to right, or ``('flip_y',)``. This is ``geometry`` of a sample.

    Returns:
        What the geometric transforms of the pipeline would have made of it.

    Example:
        >>> replay(np.arange(6).reshape(2, 3), [('crop', 0, 1, 2, 2), ('flip_x',)]).tolist()
        [[2, 1], [5, 4]]
    """
    for name, *numbers in geometry:
        image = _STEPS[name](image, *numbers)
    return image


def _crop(image: np.ndarray, y: int, x: int, height: int, width: int) -> np.ndarray:
    pad = [(0, max(height - image.shape[0], 0)), (0, max(width - image.shape[1], 0))]
    if pad != [(0, 0), (0, 0)]:
        image = np.pad(image, pad + [(0, 0)] * (image.ndim - 2), mode='symmetric')
    return image[y : y + height, x : x + width]


_STEPS = {'crop': _crop, 'flip_x': lambda image: image[:, ::-1], 'flip_y': lambda image: image[::-1]}


def _move(results: dict, step: tuple) -> dict:
    """Apply one geometric step to both images and write it down."""
    for key in ('ir', 'vis'):
        results[key] = replay(results[key], [step])
    results['geometry'] = (*results.get('geometry', ()), step)
    return results


@TRANSFORMS.register_module()
class RandomCropPair(BaseTransform):
    """Cut the same window out of both images; images smaller than it are enlarged by reflection first.

    Much of a pair is sky, road or wall, which teaches little. Of ``candidates`` windows the one with the most edges in both
    images together is taken (not from a paper), by the differences between pixels four apart. A network that never sees the
    rest gets its brightness wrong, most in dark scenes, so a share of the windows should stay drawn freely.

    Args:
        size: side of the square window in pixels, or ``(height, width)``.
        candidates: windows drawn. Default 1, every window alike.
        prob: probability that there is a choice; otherwise one window is drawn. Default 1.

    Raises:
        ValueError: fewer than one candidate, or a probability outside [0, 1].
    """

    def __init__(self, size: int | tuple[int, int], candidates: int = 1, prob: float = 1.0):
        if candidates < 1:
            raise ValueError(f'candidates must be at least 1, got {candidates}')
        if not 0 <= prob <= 1:
            raise ValueError(f'prob must be in [0, 1], got {prob}')
        self.size = (size, size) if isinstance(size, int) else tuple(size)
        self.candidates = candidates
        self.prob = prob

    @cache_randomness
    def _corners(self, h: int, w: int) -> list[tuple[int, int]]:
        height, width = self.size
        choice = self.candidates > 1 and (self.prob == 1 or np.random.rand() < self.prob)
        count = self.candidates if choice else 1
        return [(np.random.randint(h - height + 1), np.random.randint(w - width + 1)) for _ in range(count)]

    def transform(self, results: dict) -> dict:
        """Crop ``ir`` and ``vis``."""
        h, w = (max(side, own) for side, own in zip(results['ir'].shape[:2], self.size, strict=True))
        corners = self._corners(h, w)
        corner = corners[0] if len(corners) == 1 else self._busiest(results, corners)
        return _move(results, ('crop', *corner, *self.size))

    def _busiest(self, results: dict, corners: list[tuple[int, int]]) -> tuple[int, int]:
        """Of the corners of windows the one with the largest sum of differences, on a sparse grid."""
        edges = np.zeros([-(-side // _SPARSE) for side in results['ir'].shape[:2]], np.float32)
        for image in (results['ir'], results['vis']):
            pixels = (
                image[::_SPARSE, ::_SPARSE] if image.ndim == 2 else image[::_SPARSE, ::_SPARSE, 1]
            )  # green, about luma
            pixels = np.float32(pixels) if image.dtype != np.uint8 else pixels * np.float32(1 / 255)
            edges[:-1] += np.abs(pixels[1:] - pixels[:-1])
            edges[:, :-1] += np.abs(pixels[:, 1:] - pixels[:, :-1])
        height, width = (-(-side // _SPARSE) for side in self.size)
        cells = [(-(-y // _SPARSE), -(-x // _SPARSE)) for y, x in corners]
        sums = [edges[y : y + height, x : x + width].sum() for y, x in cells]
        return corners[int(np.argmax(sums))]


@TRANSFORMS.register_module()
class RandomFlipPair(BaseTransform):
    """Mirror both images.

    Args:
        horizontal: probability of a left-right flip. Default 0.5.
        vertical: probability of an up-down flip. Default 0.
    """

    def __init__(self, horizontal: float = 0.5, vertical: float = 0.0):
        self.horizontal = horizontal
        self.vertical = vertical

    @cache_randomness
    def _draw(self) -> tuple[bool, bool]:
        return np.random.rand() < self.horizontal, np.random.rand() < self.vertical

    def transform(self, results: dict) -> dict:
        """Flip ``ir`` and ``vis`` or leave them."""
        for flip, drawn in zip(('flip_x', 'flip_y'), self._draw(), strict=True):
            if drawn:
                _move(results, (flip,))
        return results


@TRANSFORMS.register_module()
class PhotometricJitter(BaseTransform):
    """Gain and offset drawn for each image by itself: cameras of other exposures and ranges.

    Args:
        gain: relative half width around 1. Default 0.2.
        offset: half width in fractions of the full range. Default 0.05.
    """

    def __init__(self, gain: float = 0.2, offset: float = 0.05):
        self.gain = gain
        self.offset = offset

    @cache_randomness
    def _draw(self) -> np.ndarray:
        return np.random.uniform(-1, 1, (2, 2)).astype(np.float32)

    def transform(self, results: dict) -> dict:
        """Change ``ir`` and ``vis``, keeping type and range."""
        for key, (gain, offset) in zip(('ir', 'vis'), self._draw(), strict=True):
            image = results[key]
            full = 255 if image.dtype == np.uint8 else 1
            changed = image * (1 + self.gain * gain) + full * self.offset * offset
            changed = np.clip(changed, 0, full)
            results[key] = np.rint(changed).astype(np.uint8) if full == 255 else changed.astype(np.float32)
        return results


@TRANSFORMS.register_module()
class SensorNoise(BaseTransform):
    """Gaussian noise of a strength drawn for each image by itself (not from a paper).

    Training images are often compressed, which leaves dark regions flat; cameras do not. Noise in both sources, which the
    losses see as well, keeps a network from taking flatness for granted.

    Args:
        sigma: largest standard deviation in grey levels of 255. Default 4.
        share: of the images that get any. Default 0.6.
    """

    def __init__(self, sigma: float = 4.0, share: float = 0.6):
        self.sigma = sigma
        self.share = share

    def transform(self, results: dict) -> dict:
        """Change ``ir`` and ``vis``, keeping type and range; a colour image gets the same noise in every channel."""
        for key in ('ir', 'vis'):
            strength = self.sigma * (1 - np.random.rand() / self.share)
            if strength <= 0:
                continue
            image = results[key]
            full = 255 if image.dtype == np.uint8 else 1
            noise = torch.randn(image.shape[:2]).numpy() * np.float32(strength * full / 255)
            changed = np.clip(image + (noise if image.ndim == 2 else noise[..., None]), 0, full)
            results[key] = np.rint(changed).astype(np.uint8) if full == 255 else changed.astype(np.float32)
        return results


@TRANSFORMS.register_module()
class PackFusionInputs(BaseTransform):
    """Arrays to tensors: ``dict(inputs=dict(ir, vis), data_samples=BaseDataElement)``.

    ``ir`` is ``(1, H, W)``, ``vis`` ``(1 or 3, H, W)``, uint8 or float32 in [0, 1]. The sample's metainfo holds ``name``,
    ``set_name``, the paths where there are any, and ``origin`` and ``geometry``, which say how the pair came about.
    """

    META_KEYS = ('name', 'set_name', 'ir_path', 'vis_path', 'origin', 'geometry')

    def transform(self, results: dict) -> dict:
        """Pack one pair."""
        inputs = {}
        for key in ('ir', 'vis'):
            image = results[key]
            image = image[None] if image.ndim == 2 else image.transpose(2, 0, 1)
            inputs[key] = torch.from_numpy(np.ascontiguousarray(image))
        meta = {key: results[key] for key in self.META_KEYS if key in results}
        return dict(inputs=inputs, data_samples=BaseDataElement(metainfo=meta))
