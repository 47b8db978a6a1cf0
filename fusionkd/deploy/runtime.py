"""Fusing images with onnxruntime: needs numpy and onnxruntime, OpenCV only for files, and neither torch nor mmengine."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnxruntime

from fusionkd.fileio import ImageError, read_image, scale_to_unit

_BT601 = np.array([0.299, 0.587, 0.114], np.float32)
_STRIP = 64  # rows


class OnnxFuser:
    """Fuses an infrared and a visible image, gray or colour, of any size, with a file of ``tools/export.py``.

    Gives what :class:`FusionInferencer` gives for the same network, but for the rounding of the last gray level.

    Args:
        path: ``.onnx`` file; nothing beside it is needed.
        threads: that compute one image. Default 2.
        spin: let threads wait busily for work for a moment. Faster while images follow each other; switch it off where
            something else runs on the same cores, another session in particular. Default on.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not an ONNX file, or not one of ``tools/export.py``.

    Attributes:
        card: what the file says of itself, see :func:`export_onnx`.

    Example:
        >>> import numpy as np
        >>> fuse = OnnxFuser('student.onnx')  # doctest: +SKIP
        >>> ir, vis = np.zeros((48, 64), np.uint8), np.zeros((48, 64, 3), np.uint8)
        >>> fuse(ir, vis).shape  # doctest: +SKIP
        (48, 64, 3)
    """

    def __init__(self, path: str | Path, threads: int = 2, spin: bool = True):
        self.path = Path(path)
        if not self.path.is_file():
            raise FileNotFoundError(f'network not found: {self.path}')
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.add_session_config_entry('session.intra_op.allow_spinning', str(int(spin)))
        options.enable_mem_pattern = False  # a tenth less memory at the same speed
        options.log_severity_level = 3
        try:
            self.session = onnxruntime.InferenceSession(str(self.path), options, providers=['CPUExecutionProvider'])
        except Exception as error:  # onnxruntime's errors share no type of their own
            raise ValueError(f'{self.path} cannot be read as an ONNX network: {error}') from error
        card = self.session.get_modelmeta().custom_metadata_map.get('fusionkd')
        if card is None:
            raise ValueError(f'{self.path} was not written by tools/export.py: it does not say how to pad images')
        self.card: dict = json.loads(card)

    def __call__(self, ir: np.ndarray | str | Path, vis: np.ndarray | str | Path) -> np.ndarray:
        """Fuse two arrays or two files.

        Args:
            ir: array ``(H, W)`` or ``(H, W, 3)``, uint8, uint16 or float in [0, 1]; or a file.
            vis: the same, RGB.

        Returns:
            uint8, ``(H, W)`` for a gray and ``(H, W, 3)`` RGB for a colour visible image.

        Raises:
            ImageError: an image that cannot be fused; the message names it.
            ValueError: a size that a file of fixed size cannot take.
        """
        ir, vis = (_read(image, name) for image, name in ((ir, 'ir'), (vis, 'vis')))
        if ir.shape[:2] != vis.shape[:2]:
            raise ImageError(f'ir and vis differ in size: {ir.shape} and {vis.shape}; register and resize them first')
        luma = _luma(vis)
        fused = self.fuse_luma(_luma(ir), luma)
        return _rounded(fused) if vis.ndim == 2 else _with_luma(vis, luma, fused)

    def fuse_luma(self, ir: np.ndarray, vis: np.ndarray) -> np.ndarray:
        """Pad, run the network, crop.

        Args:
            ir: float32 ``(H, W)`` in [0, 1].
            vis: the same shape and range.

        Returns:
            float32 ``(H, W)``, neither clipped nor rounded.

        Raises:
            ValueError: a size that a file of fixed size cannot take.
        """
        height, width = ir.shape
        return self.session.run(None, self.inputs(ir, vis))[0][0, 0, :height, :width]

    def inputs(self, ir: np.ndarray, vis: np.ndarray) -> dict[str, np.ndarray]:
        """What the network is given for float32 ``ir`` and ``vis``, ``(H, W)`` in [0, 1]: padded, ``(1, 1, H', W')``.

        Pads at the bottom and right to multiples of the divisor, as :class:`BaseFuser` does.

        Raises:
            ValueError: a size that a file of fixed size cannot take.
        """
        padded = {name: _pad(x, self.card['divisor'])[None, None] for name, x in (('ir', ir), ('vis', vis))}
        size = self.card['size']
        if size is not None and list(padded['ir'].shape[2:]) != size:
            raise ValueError(
                f'{self.path} is for images of {size[0]} x {size[1]} pixels only, got {ir.shape[0]} x {ir.shape[1]}; '
                'resize them, or export the network for this size'
            )
        return padded


def _read(image: np.ndarray | str | Path, name: str) -> np.ndarray:
    """uint8, or float32 in [0, 1]; ``(H, W)`` or ``(H, W, 3)``."""
    if isinstance(image, str | Path):
        image, name = read_image(image), str(image)
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] not in (1, 3)) or not image.size:
        raise ImageError(f'{name} has shape {image.shape}; expected (H, W), (H, W, 1) or (H, W, 3)')
    if image.ndim == 3 and image.shape[2] == 1:
        image = image[..., 0]
    if image.dtype != np.uint8:
        image = scale_to_unit(image, name=name)
    return np.ascontiguousarray(image)


def _pad(x: np.ndarray, divisor: int) -> np.ndarray:
    """By reflection; a side too short to reflect repeats its edge."""
    for axis, side in enumerate(x.shape):
        pad = -side % divisor
        if pad:
            x = np.pad(x, [(0, pad if a == axis else 0) for a in range(2)], mode='reflect' if pad < side else 'edge')
    return x


def _luma(image: np.ndarray) -> np.ndarray:
    """Full-range BT.601 luma in [0, 1], float32 ``(H, W)``."""
    white = np.float32(255 if image.dtype == np.uint8 else 1)
    if image.ndim == 2:
        return image.astype(np.float32) / white
    # Strips stay in the cache. A product of matrices would be as fast, but its threads wait for those of onnxruntime.
    luma = np.empty(image.shape[:2], np.float32)
    for top in range(0, len(image), _STRIP):
        strip, sums = image[top : top + _STRIP], luma[top : top + _STRIP]
        np.multiply(strip[..., 0], _BT601[0], out=sums, dtype=np.float32)
        for channel in (1, 2):
            sums += np.multiply(strip[..., channel], _BT601[channel], dtype=np.float32)
        sums /= white
    return luma


def _rounded(fused: np.ndarray) -> np.ndarray:
    return np.rint(np.clip(fused, 0, 1) * np.float32(255)).astype(np.uint8)


def _with_luma(vis: np.ndarray, luma: np.ndarray, fused: np.ndarray) -> np.ndarray:
    """Colour image with another luma: to keep Cb and Cr and replace Y is to add the change of Y to R, G and B.

    For uint8 the change is rounded once and added in integers, in a fraction of the time of float arithmetic.
    """
    change = fused - luma
    if vis.dtype != np.uint8:
        return _rounded(vis + change[..., None])
    # In place, for memory touched for the first time costs more than the arithmetic. The bound keeps any output of a network
    # within 16 bits, and clips nothing that the sum would not.
    change *= np.float32(255)
    np.clip(np.rint(change, out=change), -255, 255, out=change)
    change, total = change.astype(np.int16), np.empty(change.shape, np.int16)
    image = np.empty_like(vis)
    for channel in range(3):
        np.add(vis[..., channel], change, out=total)
        image[..., channel] = np.clip(total, 0, 255, out=total)
    return image
