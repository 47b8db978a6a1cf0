"""An exported fuser in 8-bit integers."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from .export import write_model
from .runtime import OnnxFuser, _luma, _read

Pairs = Sequence[tuple[np.ndarray | str | Path, np.ndarray | str | Path]]

# Operators that move pixels about and change no value.
_MOVES = ('Reshape', 'SpaceToDepth', 'Concat', 'Transpose', 'Slice', 'Split', 'Identity', 'DepthToSpace')

# Normalisation by the statistics of an image, which onnxruntime's tools would quantise too, stays float.
_OPERATORS = (
    'Conv',
    'ConvTranspose',
    'MatMul',
    'Gemm',
    'Add',
    'Mul',
    'Relu',
    'LeakyRelu',
    'Clip',
    'Sigmoid',
    'MaxPool',
)
_OPERATORS += ('AveragePool', 'GlobalAveragePool', 'Resize', 'Pad', 'Concat', 'Split', 'Slice', 'Reshape', 'Transpose')


def quantize_onnx(path: str | Path, out: str | Path, pairs: Pairs, check: Pairs | None = None) -> dict:
    """Write the network of an exported file with 8-bit weights and activations.

    Static quantisation of onnxruntime: weights int8 with a scale per channel and in 7 of the 8 bits, for processors without
    8-bit dot products add two products in 16 bits and would saturate; activations uint8 with the range that they
    have on ``pairs``. What comes before the first convolution, and the last convolution with all that follows, stays float;
    the blend sees the float images, so that nothing but the network's decision is rounded. A fixed pyramid that fuses the
    images counts as part of that. A last convolution in 8 bits costs ``SwiftFuser`` quality and saves it no time.

    Whether it is faster depends on the processor and the network: measure it with ``benchmarks/latency.py``.

    Args:
        path: ``.onnx`` file of :func:`export_onnx`, float32.
        out: ``.onnx`` file to write; its card goes beside it.
        pairs: infrared and visible images, arrays or files as :class:`OnnxFuser` takes them; ten to fifty typical ones.
        check: pairs on which both files are compared. Default ``pairs``, on which the ranges fit best.

    Returns:
        The card, whose ``agreement`` says how both files differ in luma on ``check``: ``mean`` and ``largest`` absolute
        difference in gray levels, ``psnr`` in dB over all pixels (``None`` where they are equal), number of ``pairs``.

    Raises:
        ImageError: an image that cannot be fused.
        ValueError: no pairs, pairs of other sizes than the file's, or a file that is quantised already.
    """
    fuser = OnnxFuser(path, threads=1, spin=False)
    pairs, check = list(pairs), list(pairs if check is None else check)
    if not pairs or not check:
        raise ValueError('quantisation needs pairs of images to find the ranges of activations')
    if fuser.card['precision'] != 'float32':
        raise ValueError(f'{path} is quantised already ({fuser.card["precision"]}); give the float32 file')
    with tempfile.TemporaryDirectory() as folder:
        plain, quantised = Path(folder, 'plain.onnx'), Path(folder, 'quantised.onnx')
        # Its inference of symbolic shapes does not know SpaceToDepth, and is not needed.
        quant_pre_process(str(path), str(plain), skip_symbolic_shape=True)
        graph = onnx.load(plain).graph
        kept = _before(graph) | _after(graph)
        quantize_static(
            plain,
            quantised,
            _Reader(fuser, pairs),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            op_types_to_quantize=_OPERATORS,
            nodes_to_exclude=sorted(kept),
            extra_options=dict(TensorQuantOverrides=_image_ranges(graph)),
        )
        model = onnx.load(quantised)
    _reconnect(model.graph, kept)
    card = dict(fuser.card, precision='int8', calibrated_on=len(pairs))
    del card['largest_difference']
    write_model(model, out, card)
    card['agreement'] = _agreement(fuser, OnnxFuser(out, threads=1, spin=False), check)
    return write_model(model, out, card)


class _Reader(CalibrationDataReader):
    """Luma pairs as the network sees them, one by one."""

    def __init__(self, fuser: OnnxFuser, pairs: Pairs):
        self.inputs = (fuser.inputs(*pair) for pair in _lumas(pairs))

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self.inputs, None)


def _lumas(pairs: Pairs) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for ir, vis in pairs:
        yield _luma(_read(ir, 'ir')), _luma(_read(vis, 'vis'))


def _before(graph: onnx.GraphProto) -> set[str]:
    """Names of the nodes from the images to the first convolutions."""
    known, found = {'ir', 'vis', '', *(tensor.name for tensor in graph.initializer)}, set()
    shapes = _shapes(graph)
    for node in graph.node:
        if not _is_layer(node, shapes) and known.issuperset(node.input):
            found.add(node.name)
            known.update(node.output)
    return found


def _after(graph: onnx.GraphProto) -> set[str]:
    """Names of the last convolutions, of the nodes from them to the output, and of what these need beside them."""
    producers, shapes = _producers(graph), _shapes(graph)
    found, names = set(), [graph.output[0].name]
    while names:
        node = producers.get(names.pop())
        if node is None or node.name in found:
            continue
        found.add(node.name)
        if not _is_layer(node, shapes):
            names += node.input
    return found


def _is_layer(node: onnx.NodeProto, shapes: dict[str, Sequence[int]]) -> bool:
    """Whether a node is a convolution of the network: one of a single channel filters a pyramid of images."""
    groups = next((a.i for a in node.attribute if a.name == 'group'), 1)
    return node.op_type == 'Conv' and shapes.get(node.input[1], (0, 0))[1] * groups != 1


def _producers(graph: onnx.GraphProto) -> dict[str, onnx.NodeProto]:
    return {output: node for node in graph.node for output in node.output}


def _shapes(graph: onnx.GraphProto) -> dict[str, Sequence[int]]:
    return {tensor.name: tensor.dims for tensor in graph.initializer}


def _image_ranges(graph: onnx.GraphProto) -> dict[str, list[dict]]:
    """The range of images is known, and steps of 1 / 255 keep 8-bit images as they are."""
    images, constants = {'ir', 'vis'}, {tensor.name for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type in _MOVES and all(name in images or name in constants or not name for name in node.input):
            images.update(node.output)
    return {
        name: [dict(scale=np.array(1 / 255, np.float32), zero_point=np.array(0, np.uint8))] for name in sorted(images)
    }


def _reconnect(graph: onnx.GraphProto, kept: set[str]) -> None:
    """Let nodes that stay float see float tensors where they got the rounded copies made for the network."""
    producers = _producers(graph)
    for node in graph.node:
        if node.name not in kept:
            continue
        for i, name in enumerate(node.input):
            rounded = producers.get(name)
            if rounded is None or rounded.op_type != 'DequantizeLinear':
                continue
            quantised = producers.get(rounded.input[0])
            if quantised is None:
                continue
            source = producers.get(quantised.input[0])
            if source is None or source.name in kept:  # an image, not the decision of a convolution
                node.input[i] = quantised.input[0]


def _agreement(fuser: OnnxFuser, quantised: OnnxFuser, pairs: Pairs) -> dict:
    total = squares = largest = count = 0.0
    for ir, vis in _lumas(pairs):
        expected, actual = (np.clip(f.fuse_luma(ir, vis), 0, 1).astype(np.float64) for f in (fuser, quantised))
        difference = np.abs(actual - expected) * 255
        total, squares = total + difference.sum(), squares + np.square(difference).sum()
        largest, count = max(largest, float(difference.max())), count + difference.size
    psnr = 10 * np.log10(255**2 * count / squares) if squares else None
    return dict(mean=float(total / count), largest=largest, psnr=psnr and float(psnr), pairs=len(pairs))
