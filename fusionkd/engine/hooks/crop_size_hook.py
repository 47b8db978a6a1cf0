"""Smaller crops at first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch.utils.data import Dataset

from fusionkd.datasets import RandomCropPair
from fusionkd.engine.loops import restart_data
from fusionkd.registry import HOOKS


@HOOKS.register_module()
class CropSizeHook(Hook):
    """Changes the side of the training crops on the way (progressive resizing, not from the papers).

    A small crop costs a fraction of a large one and teaches edges as well; what is a property of a scene (SCD, targets)
    needs the large ones, which come last.

    Args:
        sizes: ``(share, size)``, ascending: from this share of the training on, the first 0, crops have this side in
            pixels, or ``(height, width)``.

    Raises:
        ValueError: shares that do not begin with 0 or do not ascend below 1; no :class:`RandomCropPair` in the pipeline of
            the training data.

    Example:
        >>> custom_hooks = [dict(type='CropSizeHook', sizes=[(0, 128), (0.7, 192)])]
    """

    def __init__(self, sizes: Sequence[tuple[float, int | tuple[int, int]]]):
        shares = [share for share, _ in sizes]
        if not shares or shares[0] != 0 or shares != sorted(set(shares)) or shares[-1] >= 1:
            raise ValueError(f'sizes need (share, size) with shares that begin with 0 and ascend below 1, got {sizes}')
        self.sizes = [(share, (size, size) if isinstance(size, int) else tuple(size)) for share, size in sizes]

    def before_train(self, runner: Runner) -> None:
        """Find the crops, and set them for the first iteration, or that of a resumed training."""
        self._crops = list(_crops(runner.train_dataloader.dataset))
        if not self._crops:
            raise ValueError('CropSizeHook needs RandomCropPair in the pipeline of train_dataloader.dataset')
        self._recipe = [crop.size for crop in self._crops]
        self._set(runner, runner.iter)

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None, outputs: dict | None = None
    ) -> None:
        """Set the size of the next batch, which is loaded after this."""
        self._set(runner, runner.iter + 1)

    def after_train(self, runner: Runner) -> None:
        """Leave the dataset as the recipe has it."""
        for crop, size in zip(self._crops, self._recipe, strict=True):
            crop.size = size

    def _set(self, runner: Runner, done: int) -> None:
        """Give the crops the size of the iteration after ``done`` ones."""
        size = next(size for share, size in reversed(self.sizes) if done / runner.max_iters >= share)
        changed = any(crop.size != size for crop in self._crops)
        for crop in self._crops:
            crop.size = size
        if changed and runner.train_dataloader.num_workers:  # their processes have copies of the dataset
            restart_data(runner.train_loop, done)


def _crops(dataset: Dataset) -> Iterator[RandomCropPair]:
    """The crops of a dataset, or of all that it joins."""
    for part in getattr(dataset, 'datasets', None) or [dataset]:
        steps = getattr(getattr(part, 'pipeline', None), 'transforms', [])
        yield from (step for step in steps if isinstance(step, RandomCropPair))
