"""Target contrast retention: are hot targets as salient in the fused image as in the infrared one? (not from a paper)"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor

from .levels import to_levels

# Areas are shares of the image: a target is a target at any resolution.
_MIN_AREA, _MAX_AREA = 2e-4, 0.03
_MIN_PIXELS = 16
_MIN_CONTRAST = 40.0  # core minus ring, grey levels
_MIN_SOLIDITY = 0.75  # area over that of the convex hull: compact, not a wire, a kerb or foliage
_MAX_ASPECT = 5.0  # a person standing is about 3
_HOTTEST = 0.85  # targets are brighter than this share of the image
_LEVELS = 12  # thresholds at which regions are looked for
_MAX_TARGETS = 12  # the most contrasted ones
_RING = 0.6  # width of the ring in square roots of the target's area


class TargetTerms(NamedTuple):
    """Hot targets of a batch: linear weights that turn an image into its core-to-ring contrasts."""

    weights: list[Tensor]  # one sparse (targets, H * W) matrix an image
    contrast: list[Tensor]  # (targets,) in the infrared image


def target_contrast(ir: Tensor, vis: Tensor, fused: Tensor, data_range: float) -> Tensor:
    """Contrast of hot targets that a fused image keeps, 1 if all of it (not from a paper).

    Targets are bright compact regions of the infrared image that stand out of their surroundings by at least 40 grey
    levels. For each, the mean of its core minus the mean of a ring around it is taken in the fused image and divided by
    the same in the infrared image; an image's value is the median over its targets. No published metric sees dulled
    targets: plain averaging keeps about half of their contrast and still has the best SSIM.

    Differentiable in ``fused``. Above 1 the target was amplified, below 0 it is darker than its surroundings.

    Args:
        ir: gray, ``(N, 1, H, W)`` in [0, ``data_range``].
        vis: the same shape; not looked at, there for the interface of all metrics.
        fused: the same shape.
        data_range: value of white, 1 or 255.

    Returns:
        ``(N,)``, higher is better up to 1; nan for an image without hot targets.

    Raises:
        ValueError: shapes that differ.

    Example:
        >>> ir = torch.zeros(1, 1, 64, 64)
        >>> ir[..., 20:40, 30:38] = 1
        >>> round(float(target_contrast(ir, 0 * ir, ir / 2, data_range=1)), 3)
        0.5
    """
    sources, fused = to_levels(ir, vis, fused, data_range, 'target contrast')
    return target_scores(target_terms(sources[:, :1]), fused)


def target_terms(ir: Tensor) -> TargetTerms:
    """Find the targets of ``(N, 1, H, W)`` in grey levels."""
    weights, contrasts = [], []
    for image in ir[:, 0].detach():
        matrix = _target_weights(image.cpu().numpy().astype(np.float32)).to(ir)
        weights.append(matrix)
        contrasts.append((matrix @ image.reshape(-1, 1))[:, 0])
    return TargetTerms(weights, contrasts)


def target_scores(terms: TargetTerms, fused: Tensor) -> Tensor:
    """Median retention of ``fused``, ``(N, 1, H, W)`` in grey levels: ``(N,)``, nan where there is no target."""
    scores = []
    for matrix, contrast, image in zip(terms.weights, terms.contrast, fused[:, 0], strict=True):
        kept = (matrix @ image.reshape(-1, 1))[:, 0] / contrast
        # torch.median takes the lower of two middle values; the mean of both has half the variance.
        scores.append(kept.quantile(0.5) if len(kept) else image.new_tensor(float('nan')))
    return torch.stack(scores)


def _target_weights(image: np.ndarray) -> Tensor:
    """Sparse ``(targets, H * W)``: 1 / area on a target's core, -1 / area on its ring."""
    h, w = image.shape
    rows, columns, values = [], [], []
    for number, (core, ring, x, y) in enumerate(_find_targets(image)):
        for mask, sign in ((core, 1.0), (ring, -1.0)):
            py, px = np.nonzero(mask)
            rows.append(np.full(len(py), number))
            columns.append((py + y) * w + px + x)
            values.append(np.full(len(py), sign / len(py)))
    count = len(rows) // 2
    if not count:
        return torch.sparse_coo_tensor(
            torch.zeros(2, 0, dtype=torch.long), torch.zeros(0), (0, h * w), check_invariants=False
        )
    index = torch.from_numpy(np.stack([np.concatenate(rows), np.concatenate(columns)]))
    return torch.sparse_coo_tensor(
        index, torch.from_numpy(np.concatenate(values)), (count, h * w), check_invariants=False
    ).coalesce()


def _find_targets(image: np.ndarray) -> list[tuple[np.ndarray, np.ndarray, int, int]]:
    """Core and ring of every target as masks of a patch, with the patch's corner ``(x, y)``; best contrast first.

    Regions are looked for at several thresholds, since no single one separates a person from a warm wall and a car from
    a cold street; of overlapping regions the one with the best contrast stays.
    """
    smooth = cv2.GaussianBlur(image, (0, 0), max(min(image.shape) / 400, 0.7))
    low, high = np.quantile(smooth, _HOTTEST), float(smooth.max())
    candidates = []
    for level in np.linspace(low, high, _LEVELS + 1)[:-1]:
        candidates += _regions(smooth, smooth > level)
    candidates.sort(key=lambda c: -c[0])
    taken = np.zeros(image.shape, bool)
    targets = []
    for _, core, ring, x, y in candidates:
        area = np.s_[y : y + core.shape[0], x : x + core.shape[1]]
        if not (taken[area] & core).any():
            taken[area] |= core
            targets.append((core, ring, x, y))
        if len(targets) == _MAX_TARGETS:
            break
    return targets


def _regions(image: np.ndarray, hot: np.ndarray) -> list[tuple[float, np.ndarray, np.ndarray, int, int]]:
    """Regions of a mask that look like targets: contrast, core, ring, x, y."""
    h, w = image.shape
    count, labels, stats, _ = cv2.connectedComponentsWithStats(hot.astype(np.uint8), connectivity=4)
    found = []
    for label in range(1, count):
        x, y, width, height, area = (int(v) for v in stats[label])
        if not max(_MIN_AREA * h * w, _MIN_PIXELS) <= area <= _MAX_AREA * h * w:
            continue
        if max(width, height) > _MAX_ASPECT * min(width, height):
            continue
        if x == 0 or y == 0 or x + width == w or y + height == h:
            continue  # cut off by the border: neither its shape nor its ring is known
        core = (labels[y : y + height, x : x + width] == label).astype(np.uint8)
        contours, _ = cv2.findContours(core, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        hull = cv2.convexHull(np.concatenate(contours))
        # Contours run through pixel centres: half the perimeter and one pixel are missing from the polygon's area.
        hull_area = cv2.contourArea(hull) + 0.5 * cv2.arcLength(hull, True) + 1
        if area < _MIN_SOLIDITY * hull_area:
            continue
        margin = max(round(_RING * area**0.5), 3) + 1
        left, top = min(x, margin), min(y, margin)
        right, bottom = min(w - x - width, margin), min(h - y - height, margin)
        core = np.pad(core, ((top, bottom), (left, right)))
        patch = np.s_[y - top : y + height + bottom, x - left : x + width + right]
        disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * margin - 1, 2 * margin - 1))
        square = np.ones((3, 3), np.uint8)
        # The blurred edge belongs to neither; other hot regions nearby are no background.
        ring = (cv2.dilate(core, disc) > 0) & (cv2.dilate(core, square) == 0) & ~hot[patch]
        inner = cv2.erode(core, square) > 0
        inner = inner if inner.sum() >= _MIN_PIXELS // 2 else core > 0
        if ring.sum() < area / 2:
            continue
        contrast = float(image[patch][inner].mean() - image[patch][ring].mean())
        if contrast >= _MIN_CONTRAST:
            found.append((contrast, inner, ring, x - left, y - top))
    return found
