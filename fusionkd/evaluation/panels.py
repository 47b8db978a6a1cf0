"""Pictures that put methods side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np

_GAIN = 4  # of the difference column
_TITLE_HEIGHT, _GAP = 26, 4


def fusion_panel(rows: Sequence[Mapping[str, np.ndarray]]) -> np.ndarray:
    """One row a pair, one titled column an image; the last column shows where the two images before it differ.

    Args:
        rows: for every pair the images by column title, uint8, ``(H, W)`` or ``(H, W, 3)`` RGB, at least two; all rows
            have the same titles. Pairs of other sizes are scaled to the first one's height.

    Returns:
        uint8 RGB image.

    Example:
        >>> gray = np.zeros((48, 64), np.uint8)
        >>> fusion_panel([dict(ir=gray, vis=gray, student=gray)]).shape
        (78, 268, 3)
    """
    titles = list(rows[0])
    height, width = rows[0][titles[0]].shape[:2]
    lines = [_titles([*titles, f'difference x {_GAIN}'], width)]
    for row in rows:
        images = [_rgb(row[title]) for title in titles]
        images.append(_difference(images[-1], images[-2]))
        images = [cv2.resize(x, (width, height)) if x.shape[:2] != (height, width) else x for x in images]
        lines.append(_join(images, axis=1))
    return _join(lines, axis=0)


def _rgb(image: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(image, cv2.COLOR_GRAY2RGB) if image.ndim == 2 else image


def _difference(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Amplified absolute difference of luma: black where equal."""
    gray = [cv2.cvtColor(x, cv2.COLOR_RGB2GRAY).astype(np.int16) for x in (a, b)]
    heat = np.clip(_GAIN * np.abs(gray[0] - gray[1]), 0, 255).astype(np.uint8)
    return cv2.cvtColor(cv2.applyColorMap(heat, cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB)


def _titles(titles: Sequence[str], width: int) -> np.ndarray:
    cells = []
    for title in titles:
        cell = np.full((_TITLE_HEIGHT, width, 3), 255, np.uint8)
        scale = min(0.5, 0.5 * (width - 6) / max(cv2.getTextSize(title, cv2.FONT_HERSHEY_SIMPLEX, 0.5, 1)[0][0], 1))
        cv2.putText(cell, title, (4, 18), cv2.FONT_HERSHEY_SIMPLEX, scale, (0, 0, 0), 1, cv2.LINE_AA)
        cells.append(cell)
    return _join(cells, axis=1)


def _join(images: Sequence[np.ndarray], axis: int) -> np.ndarray:
    gap = np.full_like(images[0][:, :_GAP] if axis == 1 else images[0][:_GAP], 255)
    parts = [part for image in images for part in (image, gap)]
    return np.concatenate(parts[:-1], axis=axis)
