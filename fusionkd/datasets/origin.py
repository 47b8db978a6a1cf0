"""Where the images of a pair are from, as plain data: enough to read or draw them again, and to know that they changed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np

from fusionkd.fileio import ImageError, read_image, scale_to_unit
from fusionkd.version import __version__

from .scenes import render_scene


def load_origin(origin: Mapping) -> tuple[np.ndarray, np.ndarray]:
    """Both images before any crop, flip or change of their values.

    Args:
        origin: ``dict(ir_path, vis_path, ir_range, vis_range)`` of files, the ranges as in :class:`LoadImagePair`; or
            ``dict(scene, seed, size, kind)`` of a drawn scene, as in :func:`render_scene`.

    Returns:
        ir, ``(H, W)``, and vis, ``(H, W)`` or ``(H, W, 3)`` RGB, uint8 or float32 in [0, 1].

    Raises:
        ImageError: unreadable or truncated file, sizes that differ.
    """
    if 'scene' in origin:
        scene = render_scene(origin['scene'], origin['seed'], origin['size'], origin['kind'])
        return scene.ir, cv2.cvtColor(scene.vis, cv2.COLOR_BGR2RGB)
    ir_path, vis_path = origin['ir_path'], origin['vis_path']
    ir, vis = read_image(ir_path), read_image(vis_path)
    if ir.shape[:2] != vis.shape[:2]:
        raise ImageError(
            f'{ir_path} is {ir.shape[1]} x {ir.shape[0]} and {vis_path} is {vis.shape[1]} x {vis.shape[0]} pixels: '
            'register and resize the pair first'
        )
    if ir.ndim == 3:
        ir = cv2.cvtColor(ir, cv2.COLOR_RGB2GRAY)
    return _prepare(ir, origin['ir_range'], ir_path), _prepare(vis, origin['vis_range'], vis_path)


def identify_origin(origin: Mapping) -> tuple[str, str]:
    """Names for files that are made of a pair.

    Returns:
        Which pair it is, and which version of it, 16 hexadecimal digits each. A version is made of size and time of
        modification of both files; that of a drawn scene is the version of the package that draws it.
    """
    if 'scene' in origin:
        return _digest(sorted(origin.items())), _digest(__version__)
    paths = [Path(origin[key]).resolve() for key in ('ir_path', 'vis_path')]
    ranges = [list(origin[key]) if origin[key] else None for key in ('ir_range', 'vis_range')]
    versions = [(stat.st_size, stat.st_mtime_ns) for stat in (path.stat() for path in paths)]
    return _digest([*map(str, paths), *ranges]), _digest(versions)


def _digest(value: object) -> str:
    return hashlib.sha256(repr(value).encode()).hexdigest()[:16]


def _prepare(image: np.ndarray, value_range: tuple[float, float] | None, path: str) -> np.ndarray:
    return image if image.dtype == np.uint8 and value_range is None else scale_to_unit(image, value_range, path)
