"""SyntheticScenes: road scenes for two cameras, drawn by a program; needs no download."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mmengine.dataset import Compose
from torch.utils.data import Dataset

from fusionkd.registry import DATASETS, TRANSFORMS

from .origin import load_origin


@DATASETS.register_module()
class SyntheticScenes(Dataset):
    """Infrared-visible pairs from :func:`render_scene`: the same geometry seen by two cameras (not from a paper).

    Deterministic for an index, seed and size. For demos, tests and first steps; a table worth publishing needs real data.

    Args:
        num: number of scenes. Default 64.
        size: ``(height, width)`` in pixels. Default ``(240, 320)``.
        seed: of the whole set; sets of different seeds share no scene. Default 0.
        kind: illumination of every scene; by default each draws its own.
        name: of the set in results tables. Default ``'synthetic'``.
        pipeline: transforms after the drawing, which adds ``ir``, ``(H, W)``, and ``vis``, ``(H, W, 3)`` RGB, both uint8,
            and their ``origin``, see :func:`load_origin`.
        cache: keep drawn scenes in memory. Default True.
    """

    METAINFO = dict(task='infrared-visible fusion')

    def __init__(
        self,
        num: int = 64,
        size: tuple[int, int] = (240, 320),
        seed: int = 0,
        kind: str | None = None,
        name: str = 'synthetic',
        pipeline: Sequence[dict | Callable] = (),
        cache: bool = True,
        test_mode: bool = False,
    ):
        if num < 1:
            raise ValueError(f'num must be positive, got {num}')
        self.num, self.size, self.seed, self.kind, self.name = num, tuple(size), seed, kind, name
        self.metainfo = dict(self.METAINFO)
        self.pipeline = Compose([TRANSFORMS.build(t) if isinstance(t, dict) else t for t in pipeline])
        self.test_mode = test_mode
        self._cache: dict[int, tuple] | None = {} if cache else None

    def __len__(self) -> int:
        return self.num

    def get_data_info(self, index: int) -> dict:
        """``name`` and ``set_name`` of a scene; the name says what it was drawn from."""
        if not 0 <= index < self.num:
            raise IndexError(f'scene {index} of {self.num}')
        height, width = self.size
        return dict(name=f'scene_{self.seed}_{width}x{height}_{index:05d}', set_name=self.name)

    def __getitem__(self, index: int) -> dict:
        results = self.get_data_info(index)
        pair = self._cache.get(index) if self._cache is not None else None
        if pair is None:
            pair = load_origin(self._origin(index))
            if self._cache is not None:
                self._cache[index] = pair
        results['ir'], results['vis'] = pair
        results['origin'] = self._origin(index)
        return self.pipeline(results)

    def _origin(self, index: int) -> dict:
        return dict(scene=index, seed=self.seed, size=self.size, kind=self.kind)
