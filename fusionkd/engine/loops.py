"""Training loop that resumes exactly."""

from __future__ import annotations

import random

import numpy as np
import torch
from mmengine.hooks import CheckpointHook
from mmengine.runner import IterBasedTrainLoop
from torch.utils.data import DataLoader

from fusionkd.registry import LOOPS


@LOOPS.register_module()
class ResumableTrainLoop(IterBasedTrainLoop):
    """``IterBasedTrainLoop`` whose resumed run equals one that never stopped.

    mmengine finds its place in the data by loading every batch again. With an :class:`EndlessSampler` this loop skips
    indices instead of images, and then puts the random generators back to where :class:`RandomStateHook` found them.
    With ``num_workers=0`` a resumed run is the same bit for bit; with workers the order of the images is the same, but
    each worker draws new crops.
    """

    random_state: dict | None = None

    def run(self) -> torch.nn.Module:
        """Train, from where a resumed run stopped."""
        if self._iter > 0:
            self.dataloader_iterator = _Continued(self.dataloader, self._iter, self.random_state)
        try:
            return super().run()
        except ConnectionError:
            self._save_before_failure()
            raise

    def _save_before_failure(self) -> None:
        """Keep what was done until a server that the training asks (a judge) did not answer: ``--resume`` asks again."""
        hook = next((hook for hook in self.runner.hooks if isinstance(hook, CheckpointHook)), None)
        if hook is not None:
            self._iter -= 1  # the hook saves after an iteration is done, and this one was not
            hook._save_checkpoint(self.runner)
            self._iter += 1
            self.runner.logger.error(f'stopped in iteration {self._iter + 1}; all before it is saved: --resume goes on')


def restart_data(loop: IterBasedTrainLoop, done: int) -> None:
    """Load the batches after the first ``done`` ones anew, by new processes that see what the dataset has become."""
    loop.dataloader._iterator = None  # persistent workers would go on with the dataset they were started with
    current = loop.dataloader_iterator
    if not isinstance(current, _Continued) or current.iterator is not None:  # a resumed training's has not begun
        loop.dataloader_iterator = _Continued(loop.dataloader, done, None, asked=False)


class _Continued:
    """Iterator over batches after the first ``skip`` ones; the base class asks for those, too, and drops them."""

    def __init__(self, dataloader: DataLoader, skip: int, state: dict | None, asked: bool = True):
        self.dataloader, self.skip, self.state = dataloader, skip, state
        self.left = skip if asked else 0
        self.iterator = None

    def __next__(self) -> dict | None:
        if self.left:
            self.left -= 1
            return None
        if self.iterator is None:
            sampler = self.dataloader.sampler
            if hasattr(sampler, 'skip'):
                sampler.skip = self.skip * self.dataloader.batch_size
                self.iterator = iter(self.dataloader)
            else:
                self.iterator = iter(self.dataloader)
                for _ in range(self.skip):
                    next(self.iterator)
            if self.state is not None:
                set_random_state(self.state)
        return next(self.iterator)


def random_state() -> dict:
    """States of the generators of Python, numpy and torch, in types that load with ``weights_only=True``."""
    version, internal, gauss = random.getstate()
    name, keys, position, has_gauss, cached = np.random.get_state()
    state = dict(
        python=[version, list(internal), gauss],
        numpy=[name, torch.from_numpy(keys.astype(np.int64)), position, has_gauss, cached],
        torch=torch.get_rng_state(),
    )
    if torch.cuda.is_available():
        state['cuda'] = torch.cuda.get_rng_state_all()
    return state


def set_random_state(state: dict) -> None:
    """Restore :func:`random_state`."""
    version, internal, gauss = state['python']
    random.setstate((version, tuple(internal), gauss))
    name, keys, position, has_gauss, cached = state['numpy']
    np.random.set_state((name, keys.cpu().numpy().astype(np.uint32), position, has_gauss, cached))
    torch.set_rng_state(state['torch'].cpu())
    if 'cuda' in state and torch.cuda.is_available():
        torch.cuda.set_rng_state_all([s.cpu() for s in state['cuda']])
