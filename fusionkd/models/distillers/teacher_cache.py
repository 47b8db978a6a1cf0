"""Fused images of a teacher, kept for the next time a pair is drawn."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from mmengine.logging import print_log
from torch import Tensor

from fusionkd.datasets.origin import identify_origin
from fusionkd.datasets.transforms import replay
from fusionkd.engine.checkpoint import fingerprint
from fusionkd.fileio import atomic_path

if TYPE_CHECKING:
    from .teacher import Teacher

DTYPES = ('float16', 'uint8')


class MemoryStore:
    """Keeps images in this process until its limit; what is kept stays.

    Args:
        mb: limit in MiB. Default 512: 873 images of 640 x 480 in float16.
    """

    def __init__(self, mb: float = 512):
        self.limit = int(mb * 2**20)
        self.used = 0
        self.images: dict[str, tuple[str, np.ndarray]] = {}
        self.full = False

    def read(self, folder: str, pair: str, version: str) -> np.ndarray | None:
        """The image, or ``None`` if it is not here or of another version."""
        found = self.images.get(pair)
        return found[1] if found and found[0] == version else None

    def write(self, folder: str, pair: str, version: str, image: np.ndarray) -> None:
        """Keep an image in place of other versions, if there is room."""
        old = self.images.pop(pair, None)
        self.used -= old[1].nbytes if old else 0
        if self.used + image.nbytes <= self.limit:
            self.images[pair] = version, image
            self.used += image.nbytes
        elif not self.full:
            self.full = True
            print_log(
                f'the cache of {folder} is full at {len(self.images)} images: the teacher fuses all others whole each time '
                "they are drawn. Raise mb, or use type='disk'",
                'current',
                level=30,
            )


class DiskStore:
    """Keeps images as files, which runs share, also at the same time: files appear whole or not at all.

    A file is named by teacher and weights, pair, and version of the pair; older versions are removed when a new one is
    written. Nothing else is ever removed.

    Args:
        folder: Default ``'work_dirs/teacher_cache'``.
    """

    def __init__(self, folder: str | Path = 'work_dirs/teacher_cache'):
        self.folder = Path(folder)

    def read(self, folder: str, pair: str, version: str) -> np.ndarray | None:
        """The image, read lazily: a crop costs what the crop costs. ``None`` if it is not here or broken."""
        try:
            return np.load(self.folder / folder / f'{pair}-{version}.npy', mmap_mode='r')
        except (FileNotFoundError, ValueError, EOFError):
            return None

    def write(self, folder: str, pair: str, version: str, image: np.ndarray) -> None:
        """Keep an image in place of other versions."""
        path = self.folder / folder / f'{pair}-{version}.npy'
        with atomic_path(path) as temporary:
            np.save(temporary, image)
        for old in path.parent.glob(f'{pair}-*.npy'):
            if old != path:
                old.unlink(missing_ok=True)


STORES = {'memory': MemoryStore, 'disk': DiskStore}


class TeacherCache:
    """Fused images of whole pairs before crop, flip and change of values, which are then moved as the sample was.

    The teacher thus sees more of the scene than the crop, and never what changes values: the target of a sample with sensor
    noise or jitter is the teacher's fusion of the pair as it was loaded. An image is stored with an error of at most
    1 / 4096 (``'float16'``, of images in [0, 1]) or 1 / 510 (``'uint8'``, which also clips to [0, 1]).

    An entry belongs to the teacher's weights and config, the paths of both images, their size and time of modification,
    and the storage type; if any of them changes it is computed again. Changes of a network's code are not seen: delete the
    folder.

    Args:
        type: ``'memory'`` (default) or ``'disk'``.
        dtype: ``'float16'`` (default) or ``'uint8'``.
        config: says which network it is, beside its type and weights; the distiller gives the teacher's config.
        options: of :class:`MemoryStore` or :class:`DiskStore`.

    Raises:
        ValueError: unknown type or dtype.
    """

    def __init__(self, type: str = 'memory', dtype: str = 'float16', config: str = '', **options):
        if type not in STORES or dtype not in DTYPES:
            raise ValueError(
                f'cache of type={type!r}, dtype={dtype!r}; known: {", ".join(STORES)}; {", ".join(DTYPES)}'
            )
        self.store = STORES[type](**options)
        self.dtype = dtype
        self.config = config
        self._folder: str | None = None

    def __deepcopy__(self, memo: dict) -> TeacherCache:
        return self  # what it holds does not depend on who asks

    def get(self, teacher: Teacher, sample: object, fuse: Callable[[Mapping], Tensor]) -> np.ndarray:
        """The teacher's image of one sample.

        Args:
            teacher: whose image.
            sample: data sample with ``origin`` and ``geometry``.
            fuse: called with the origin of a pair that is not in the cache; returns the whole fused image, ``(H, W)``.

        Returns:
            ``(h, w)``, float32, of the sample's crop and flip.

        Raises:
            ValueError: the sample does not say where it is from.
        """
        meta = sample.metainfo
        if 'origin' not in meta:
            raise ValueError(
                f'sample {meta.get("name", "?")!r} does not say where it is from, which the cache of teacher '
                f"{teacher.name!r} needs: load pairs with LoadImagePair, or let the data set add 'origin'"
            )
        self._folder = self._folder or f'{teacher.name}-{fingerprint(teacher.network, self.config)}-{self.dtype}'
        key = identify_origin(meta['origin'])
        image = self.store.read(self._folder, *key)
        if image is None:
            image = self._encode(fuse(meta['origin']).numpy())
            self.store.write(self._folder, *key, image)
        crop = np.ascontiguousarray(replay(image, meta.get('geometry', ())), dtype=np.float32)
        return crop / np.float32(255) if self.dtype == 'uint8' else crop

    def _encode(self, image: np.ndarray) -> np.ndarray:
        if self.dtype == 'uint8':
            return np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)
        return image.astype(np.float16)
