"""The endless stream of indices for training by iterations."""

import itertools
from collections.abc import Iterator, Sized

import torch
from mmengine.dist import get_dist_info, sync_random_seed
from torch.utils.data import Sampler

from fusionkd.registry import DATA_SAMPLERS


@DATA_SAMPLERS.register_module()
class EndlessSampler(Sampler):
    """Shuffles the dataset again and again; every process takes its own share.

    Unlike mmengine's ``InfiniteSampler`` it can start anywhere in its stream, so that a resumed run finds its place
    without loading what was trained on.

    Args:
        dataset: its length matters.
        shuffle: Default True.
        seed: one for all processes. Default drawn.
    """

    def __init__(self, dataset: Sized, shuffle: bool = True, seed: int | None = None):
        self.size = len(dataset)
        self.shuffle = shuffle
        self.seed = sync_random_seed() if seed is None else seed
        self.skip = 0  # indices of this process that are left out
        self.rank, self.world_size = get_dist_info()

    def __iter__(self) -> Iterator[int]:
        mine = itertools.islice(self._stream(), self.rank, None, self.world_size)
        return itertools.islice(mine, self.skip, None)

    def __len__(self) -> int:
        return self.size

    def _stream(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self.seed)
        while True:
            if self.shuffle:
                yield from torch.randperm(self.size, generator=generator).tolist()
            else:
                yield from range(self.size)
