"""A fuser as one ONNX file that says for itself how it is to be used."""

from __future__ import annotations

import hashlib
import json
import math
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import onnx
import onnxruntime
import torch
from torch import Tensor, nn

from fusionkd.fileio import atomic_path
from fusionkd.models.fusers import BaseFuser, RefinedFuser

from .merge import merge

CARD_KEY = 'fusionkd'  # entry of the file's metadata that holds the card
_TOLERANCE = 1e-4


def export_onnx(
    fuser: BaseFuser,
    path: str | Path,
    size: Sequence[int] = (480, 640),
    dynamic: bool = True,
    opset: int = 18,
    divisor: int | None = None,
    config: dict | None = None,
) -> dict:
    """Write a fuser as ONNX, compare it with torch, and put a card beside it.

    The network is merged first (:func:`fusionkd.deploy.merge.merge`). Inputs ``ir`` and ``vis`` and output ``fused`` are
    float32 ``(N, 1, H, W)``, nominally in [0, 1]; H and W are multiples of the card's ``divisor``, to which
    :class:`OnnxFuser` pads. The card is in the file's metadata, too, so that the file alone is enough.

    Args:
        fuser: is not changed.
        path: ``.onnx`` file; the card is ``.json`` of the same name.
        size: height and width in pixels of a file of fixed size, and of the comparison. Rounded up to the divisor.
        dynamic: let N, H and W vary. A network that cannot be exported so gives a file of fixed size, and a warning.
        opset: ONNX operator set, 18 or later. Default 18.
        divisor: a multiple of the fuser's own. A weight map over a pyramid of L levels needs ``2 ** L`` for sizes that
            vary; borders of images that are padded further may differ from the fuser's. Default the fuser's.
        config: of the fuser, for the card. Default its class name alone.

    Returns:
        The card: ``fuser``, ``parameters``, ``divisor``, ``size`` (``None`` where it varies), ``opset``, ``precision``,
        ``largest_difference`` from torch, ``sha256``.

    Raises:
        ValueError: a :class:`RefinedFuser`, a divisor that is no multiple of the fuser's, an opset below 18, weights that
            are not finite.
        RuntimeError: the file differs from torch by more than 1e-4; the message says by how much. No file is written.

    Example:
        >>> from fusionkd.models.fusers import SeAFusion
        >>> card = export_onnx(SeAFusion(), 'seafusion.onnx')  # doctest: +SKIP
    """
    if isinstance(fuser, RefinedFuser):
        raise ValueError('RefinedFuser optimises every image and cannot be exported; export its network')
    path = Path(path)
    divisor = fuser.divisor if divisor is None else divisor
    if divisor < 1 or divisor % fuser.divisor:
        raise ValueError(
            f'divisor must be a multiple of {fuser.divisor}, that of {type(fuser).__name__}; got {divisor}'
        )
    if opset < 18:
        raise ValueError(f'opset must be 18 or later, got {opset}')
    broken = next((name for name, value in fuser.state_dict().items() if not torch.isfinite(value).all()), None)
    if broken is not None:
        raise ValueError(f'{broken} of {type(fuser).__name__} holds NaN or infinity: its training failed')
    size = [math.ceil(side / divisor) * divisor for side in size]
    network = merge(fuser).float().cpu().to(memory_format=torch.contiguous_format)
    model = None
    if dynamic:
        try:
            model = _convert(network, size, divisor, opset)
        except Exception as error:  # the exporter raises many types
            warnings.warn(
                f'{type(fuser).__name__} cannot be exported for sizes that vary (divisor {divisor}), the file is for '
                f'{size[0]} x {size[1]} pixels only; a larger divisor, such as {2 * divisor}, may help '
                f'({type(error).__name__})',
                stacklevel=2,
            )
    varies = model is not None
    if model is None:
        model = _convert(network, size, None, opset)
    difference = max(_difference(network, model, shape) for shape in _shapes(size, divisor, varies))
    if not difference <= _TOLERANCE:
        raise RuntimeError(
            f'the exported {type(fuser).__name__} differs from torch by {difference:.3g}, more than {_TOLERANCE:g}; '
            'nothing was written'
        )
    card = dict(
        fuser=config or dict(type=type(fuser).__name__),
        parameters=sum(p.numel() for p in fuser.parameters()),
        divisor=divisor,
        size=None if varies else size,
        opset=opset,
        precision='float32',
        largest_difference=difference,
    )
    return write_model(model, path, card)


def write_model(model: onnx.ModelProto, path: str | Path, card: dict) -> dict:
    """Write a model with its card inside and beside it; returns the card with the file's ``sha256``."""
    path = Path(path)
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, {CARD_KEY: json.dumps(card)})
    data = model.SerializeToString()
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)
    card = dict(card, sha256=hashlib.sha256(data).hexdigest())
    with atomic_path(path.with_suffix('.json')) as temporary:
        temporary.write_text(json.dumps(card, indent=1) + '\n', encoding='utf-8')
    return card


def _convert(network: nn.Module, size: Sequence[int], divisor: int | None, opset: int) -> onnx.ModelProto:
    """One graph; for sizes that vary by multiples of ``divisor``, or of fixed size."""
    number, shapes = 1, None
    if divisor is not None:  # at least two of everything, because torch takes a one for a constant
        number, size = 2, [max(side, 2 * divisor) for side in size]
        count, height, width = (torch.export.Dim(name) for name in ('N', 'h', 'w'))
        shapes = ({0: count, 2: divisor * height, 3: divisor * width},) * 2
    example = tuple(torch.zeros(number, 1, *size) for _ in range(2))
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        program = torch.export.export(network, example, dynamic_shapes=shapes, strict=False)
        exported = torch.onnx.export(
            program,
            input_names=['ir', 'vis'],
            output_names=['fused'],
            opset_version=opset,
            custom_translation_table={torch.ops.aten.pixel_unshuffle.default: _pixel_unshuffle},
            dynamo=True,
            verbose=False,
        )
    return _clean(exported.model_proto)


def _pixel_unshuffle(x: object, downscale_factor: int) -> object:
    """``(N, C, H, W)`` to ``(N, C r r, H / r, W / r)`` without a computation of shapes.

    ONNX counts channels last within a block and torch first; for one channel both are the same, so channels become
    images for a moment.
    """
    from onnxscript import opset18 as op  # noqa: PLC0415, needed here alone

    channels = x.shape[1] * downscale_factor**2
    planes = op.Reshape(x, op.Constant(value_ints=[-1, 1, 0, 0]))
    blocks = op.SpaceToDepth(planes, blocksize=downscale_factor)
    return op.Reshape(blocks, op.Constant(value_ints=[-1, channels, 0, 0]))


def _clean(model: onnx.ModelProto) -> onnx.ModelProto:
    """Drop what the exporter notes about the machine and the source code it ran on."""
    graph = model.graph
    for part in (model, graph, *graph.node, *graph.value_info, *graph.input, *graph.output, *graph.initializer):
        del part.metadata_props[:]
        part.doc_string = ''
    model.graph.name = 'fuser'
    return model


def _shapes(size: Sequence[int], divisor: int, varies: bool) -> Iterator[tuple[int, int, int]]:
    yield 1, *size
    if varies:
        yield 2, *(max(math.ceil(side / 3 / divisor), 1) * divisor for side in reversed(size))


def _difference(network: nn.Module, model: onnx.ModelProto, shape: tuple[int, int, int]) -> float:
    """Largest absolute difference between torch and onnxruntime on one batch of noise."""
    number, height, width = shape
    generator = torch.Generator().manual_seed(0)
    ir, vis = (torch.rand(number, 1, height, width, generator=generator) for _ in range(2))
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=['CPUExecutionProvider'])
    actual = torch.from_numpy(session.run(None, dict(ir=ir.numpy(), vis=vis.numpy()))[0])
    with torch.no_grad():
        expected: Tensor = network(ir, vis)
    if actual.shape != expected.shape:
        return math.inf
    return float((actual - expected).abs().max())
