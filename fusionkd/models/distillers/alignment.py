"""Do two objectives pull a network the same way?"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn


def gradient_cosine(first: Tensor, second: Tensor, network: nn.Module) -> float | None:
    """Cosine of two losses' gradients with respect to a network's last layer.

    The last layer is the last module with parameters of its own, in the order of registration, that both losses depend on.

    Args:
        first: scalar with a graph.
        second: scalar with a graph.
        network: whose layer is looked at; its ``.grad`` is left as it is.

    Returns:
        In [-1, 1]; ``None`` where a gradient is missing, zero or not finite.
    """
    for module in reversed(list(network.modules())):
        parameters = [p for p in module.parameters(recurse=False) if p.requires_grad]
        if not parameters:
            continue
        pair = [
            torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True) if loss.requires_grad else ()
            for loss in (first, second)
        ]
        used = [(a, b) for a, b in zip(*pair, strict=False) if a is not None and b is not None]
        if used:
            a, b = (torch.cat([g.flatten() for g in column]).double() for column in zip(*used, strict=True))
            cosine = float(a @ b / (a.norm() * b.norm()))
            return min(max(cosine, -1.0), 1.0) if math.isfinite(cosine) else None
    return None


@contextlib.contextmanager
def no_trace(model: nn.Module) -> Iterator[None]:
    """Put buffers, torch's random generators and the extra state of submodules back at the end of the block."""
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
    own = [m for m in model.modules() if type(m).get_extra_state is not nn.Module.get_extra_state]
    extra = [(module, module.get_extra_state()) for module in own]
    devices = list({b.device for b, _ in buffers if b.is_cuda} | {p.device for p in model.parameters() if p.is_cuda})
    try:
        with torch.random.fork_rng(devices=devices):
            yield
    finally:
        with torch.no_grad():
            for buffer, value in buffers:
                buffer.copy_(value)
        for module, value in extra:
            module.set_extra_state(value)
