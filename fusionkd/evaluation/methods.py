"""Several fused images of one pair, scored side by side: what every results table is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from . import functional as fn
from .images import as_batch, quantise, to_gray
from .protocols import Protocol
from .score import Scorer
from .scoring import evaluate, prepare_sources
from .tables import SCORE_COLUMNS
from .trivial import trivial_fusions


def score_methods(
    ir: Tensor,
    vis: Tensor,
    fused: Mapping[str, Tensor],
    protocol: Protocol,
    metrics: Sequence[str],
    score: bool = True,
    trivial: bool = False,
) -> dict[str, dict[str, float]]:
    """Score the fused images of several methods; the work on the sources is done once.

    Args:
        ir: ``(1 or 3, H, W)``, uint8 or floating in [0, 1].
        vis: the same.
        fused: by method, the same.
        protocol: set of definitions; it also decides how colour becomes gray.
        metrics: names to compute.
        score: add the balanced score and the target contrast, both on rounded luma whatever the protocol. Needs 41 x 41
            pixels. Default True.
        trivial: add the rules of :func:`fusionkd.evaluation.trivial_fusions`. Default False.

    Returns:
        For every method, the rules last, its value by metric.

    Raises:
        TypeError: see :func:`fusionkd.evaluation.evaluate`.
        ValueError: see :func:`fusionkd.evaluation.evaluate`; with ``score`` also images that are too small for it.
    """
    sources = prepare_sources(ir, vis, protocol, metrics, data_range=1)
    if score:
        fn.check_size(ir, 'score', fn.VIF_SMALLEST)
    scorer = Scorer(_luma('ir', ir), _luma('vis', vis)) if score else None
    images = {**fused, **(_rules(ir, vis, protocol) if trivial else {})}
    values = {}
    for method, image in images.items():
        scores = evaluate(None, None, image, protocol, metrics, 1, sources)
        values[method] = {name: float(value) for name, value in scores.items()}
        if scorer is not None:
            parts = scorer.parts(_luma(method, image))
            values[method] |= {name: float(parts[name]) for name in SCORE_COLUMNS}
    return values


def _rules(ir: Tensor, vis: Tensor, protocol: Protocol) -> dict[str, Tensor]:
    """The rules on what the protocol sees of the sources, rounded to whole levels as an image file would be."""
    images = [quantise(as_batch(name, x, 1)) for name, x in (('ir', ir), ('vis', vis))]
    if protocol.gray == 'channels':
        channels = max(x.shape[1] for x in images)
        images = [x.expand(-1, channels, -1, -1) for x in images]
    else:
        images = [to_gray(x, protocol.gray) for x in images]
    fused = trivial_fusions(*(x.float() for x in images))
    return {name: image.clamp(0, 255).round().to(torch.uint8) for name, image in fused.items()}


def _luma(name: str, image: Tensor) -> Tensor:
    """Rounded luma in [0, 1], ``(1, 1, H, W)``."""
    return to_gray(quantise(as_batch(name, image, 1)), 'exact') / 255
