"""Outputs of modules inside student and teachers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from .term import Term

STUDENT = ''  # its place beside the teachers' names, none of which is empty


class Tap:
    """Keeps the last output of one module of a network.

    Args:
        network: where to look.
        path: of the module, as in ``named_modules()``.

    Raises:
        ValueError: no such module; the message lists those one level down from where the path fits.
    """

    def __init__(self, network: nn.Module, path: str):
        modules = dict(network.named_modules())
        if path not in modules or not path:
            names = [n for n in modules if n and n.count('.') <= path.count('.')]
            raise ValueError(
                f'{type(network).__name__} has no module {path!r} to tap; some of its modules: {", ".join(names[:30])}'
            )
        self.path = path
        self.value: Tensor | None = None
        self.version = 0
        modules[path].register_forward_hook(self._keep)

    def _keep(self, module: nn.Module, inputs: tuple, output: Tensor) -> None:
        self.value, self.version = output, _version(output)

    def take(self) -> Tensor:
        """The output kept last, ``(N, C, h, w)``; forgets it.

        Raises:
            ValueError: the module was not called, returned something else, or what it returned was changed in place.
        """
        value, self.value = self.value, None
        if value is None:
            raise ValueError(f'the tapped module {self.path!r} was not called in the last forward pass')
        if not isinstance(value, Tensor) or value.ndim != 4:
            found = f'shape {tuple(value.shape)}' if isinstance(value, Tensor) else type(value).__name__
            raise ValueError(f'the tapped module {self.path!r} must return one (N, C, h, w) tensor, got {found}')
        if _version(value) != self.version:
            raise ValueError(f'a layer after {self.path!r} changes its output in place: tap that layer instead')
        return value


def _version(value: object) -> int:
    """How often a tensor was changed in place; torch does not count it for tensors of inference mode."""
    return value._version if isinstance(value, Tensor) and not value.is_inference() else 0


def place_taps(
    student: nn.Module, teachers: Mapping[str, nn.Module], terms: Iterable[Term]
) -> dict[str, dict[str, Tap]]:
    """Install the taps of all terms and let losses build adapters for what was found there.

    Args:
        student: the network that learns.
        teachers: by name.
        terms: which say what to tap.

    Returns:
        By network, ``''`` for the student, and path.

    Raises:
        ValueError: a module that does not exist or whose output cannot be used, or teachers that differ in channels.
    """
    networks, terms = {STUDENT: student, **teachers}, list(terms)
    taps: dict[str, dict[str, Tap]] = {owner: {} for owner in networks}
    for term in terms:
        wanted = [(STUDENT, term.tap_s), *((name, term.tap_t) for name in term.teachers(list(teachers)))]
        for owner, path in wanted:
            if path is not None and path not in taps[owner]:
                taps[owner][path] = Tap(networks[owner], path)
    channels = {(owner, path): c for owner in networks for path, c in _channels(networks[owner], taps[owner]).items()}
    for term in terms:
        if not hasattr(term.loss, 'bind'):
            continue
        found = {channels[name, term.tap_t] for name in term.teachers(list(teachers)) if term.tap_t is not None}
        if len(found) > 1:
            raise ValueError(f'term {term.name!r}: tap_t has {sorted(found)} channels; one adapter needs one')
        try:
            term.loss.bind(channels[STUDENT, term.tap_s], *found or (None,))
        except ValueError as error:
            raise ValueError(f'term {term.name!r}: {error}') from error
    return taps


@torch.no_grad()
def _channels(network: nn.Module, taps: Mapping[str, Tap]) -> dict[str, int]:
    """Channels at each tap."""
    if not taps:
        return {}
    x, training = torch.zeros(1, 1, 64, 64), network.training
    network.eval()
    network.fuse(x, x)
    network.train(training)
    return {path: tap.take().shape[1] for path, tap in taps.items()}
