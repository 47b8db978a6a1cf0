"""Loading weights with a clear answer, and writing the plain student file."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from mmengine.optim.scheduler.param_scheduler import OneCycleParamScheduler
from torch import nn

from fusionkd import zoo
from fusionkd.fileio import atomic_path

try:
    from numpy._core.multiarray import _reconstruct, scalar
except ImportError:  # numpy 1
    from numpy.core.multiarray import _reconstruct, scalar

# What an mmengine checkpoint holds besides tensors: log buffers with numpy arrays, and functions of its one-cycle
# schedule. `getattr` is how pickle names methods of these classes.
_TRUSTED = [
    HistoryBuffer,
    OneCycleParamScheduler,
    _reconstruct,
    scalar,
    np.ndarray,
    np.dtype,
    type(np.dtype('float64')),
    type(np.dtype('int64')),
    getattr,
]


@contextlib.contextmanager
def trusted_globals() -> Iterator[None]:
    """Let ``torch.load(weights_only=True)`` read mmengine's log buffers, and nothing else, inside the block."""
    if hasattr(torch.serialization, 'safe_globals'):
        with torch.serialization.safe_globals(_TRUSTED):
            yield
    else:  # torch 2.4 has no context manager and loads mmengine checkpoints without one
        torch.serialization.add_safe_globals(_TRUSTED)
        yield


def read_checkpoint(path: str | Path) -> dict:
    """Contents of a checkpoint file on the CPU, read with ``weights_only=True``.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a checkpoint, or cut off.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f'checkpoint not found: {path}')
    try:
        with trusted_globals():
            checkpoint = torch.load(path, map_location='cpu', weights_only=True)
    except Exception as error:  # torch raises many types for broken files
        raise ValueError(f'{path} cannot be read as a checkpoint ({type(error).__name__}: {error})') from error
    if not isinstance(checkpoint, dict):
        raise ValueError(f'{path} holds a {type(checkpoint).__name__}, expected a dict of tensors')
    return checkpoint


def student_state(checkpoint: dict) -> dict[str, torch.Tensor]:
    """The network's own keys: of a plain file as they are, of a training checkpoint those below ``student.``."""
    state = checkpoint.get('state_dict', checkpoint)
    student = {k.removeprefix('student.'): v for k, v in state.items() if k.startswith('student.')}
    return student or dict(state)


def load_weights(model: nn.Module, source: str | Path) -> None:
    """Load weights strictly.

    Args:
        model: receives the weights.
        source: a plain file, a training checkpoint (its student is taken), a URL, or a name of the zoo.

    Raises:
        FileNotFoundError: nothing at ``source``.
        ValueError: the file is of another network; the message says which keys differ.
    """
    path = zoo.resolve(source)
    state = student_state(read_checkpoint(path))
    own = model.state_dict()
    missing = sorted(own.keys() - state.keys())
    unexpected = sorted(state.keys() - own.keys())
    shapes = [
        f'{k} is {tuple(state[k].shape)} in the file and {tuple(own[k].shape)} in the network'
        for k in own.keys() & state.keys()
        if own[k].shape != state[k].shape
    ]
    if missing or unexpected or shapes:
        name = type(model).__name__
        lines = [f'{path} does not fit {name}:']
        if len(missing) == len(own):
            lines.append(f'  no key matches, it is a checkpoint of another network (first keys: {_some(unexpected)})')
            lines.append(f'  {name} expects: {_some(missing)}')
        else:
            lines += [f'  missing: {_some(missing)}'] if missing else []
            lines += [f'  unexpected: {_some(unexpected)}'] if unexpected else []
            lines += [f'  another shape: {_some(sorted(shapes))}'] if shapes else []
        lines.append('  build the network with the options it was trained with, or give its own checkpoint')
        raise ValueError('\n'.join(lines))
    model.load_state_dict(state)


def save_weights(model: nn.Module, path: str | Path) -> None:
    """Write a plain ``state_dict`` atomically; it loads with ``torch.load(path, weights_only=True)``."""
    state = {k: v.detach().cpu().contiguous().clone() for k, v in model.state_dict().items()}
    with atomic_path(path) as temporary:
        torch.save(state, temporary)


def fingerprint(network: nn.Module, config: str = '') -> str:
    """12 hexadecimal digits of a network's type, config and weights."""
    digest = hashlib.sha256(f'{type(network).__qualname__} {config}'.encode())
    for name, value in network.state_dict().items():
        digest.update(name.encode())
        # As bytes: numpy does not know bfloat16.
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:12]


def _some(items: list[str], count: int = 6) -> str:
    more = f' and {len(items) - count} more' if len(items) > count else ''
    return ', '.join(items[:count]) + more
