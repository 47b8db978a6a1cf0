"""One line for every point of a grid, from its settings to its scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from fusionkd.fileio import atomic_path

_STEPS = 24  # straight pieces a line has between two axes
_SPREAD = 0.62  # part of the room of a value that its lines fill
_BEST = ('tab:red', 'tab:orange', 'tab:pink', 'tab:brown', 'tab:purple')
_DPI = 130


def plot_parallel_coordinates(
    settings: Mapping[str, Sequence[Any]],
    points: Sequence[Mapping[str, Any]],
    scores: Mapping[str, Sequence[float]],
    path: str | Path,
    title: str = '',
    best: int = 3,
) -> None:
    """Draw points of a grid on parallel axes, coloured by the last score; the best few are emphasised and numbered.

    The axis of a setting has its values at equal distances, in a band each; within a band the height of a line is its rank
    by the last score, so that a band tells how good the points with this value are. Axes of scores are to scale.

    Args:
        settings: values by setting, from bottom to top.
        points: settings of each point.
        scores: by name, a finite value a point, larger is better in the last one.
        path: picture to write; the suffix gives the format.
        title: of the picture.
        best: points emphasised, five at most. Default 3.

    Raises:
        ValueError: no points, or no scores.
    """
    if not points or not scores:
        raise ValueError('nothing to draw: no points or no scores')
    last = np.asarray(list(scores.values())[-1], float)
    order = np.argsort(last, kind='stable')
    height = np.empty(len(last))
    height[order] = np.linspace(-0.5, 0.5, len(last)) if len(last) > 1 else 0.0
    columns = [_places(values, [p[name] for p in points], height) for name, values in settings.items()]
    columns += [_scaled(np.asarray(values, float)) for values in scores.values()]
    places = np.stack(columns, axis=1)

    figure = Figure(figsize=(max(1.55 * len(columns) + 2.2, 7), 6.2), layout='constrained')
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    norm, colours = _norm(last), colormaps['viridis']
    curves = [_curve(row) for row in places]
    dense = min(0.75, 4 / len(points) ** 0.45)
    axis.add_collection(
        LineCollection(
            [curves[i] for i in order], colors=[colours(norm(last[i])) for i in order], linewidths=0.9, alpha=dense
        )
    )
    for number, i in enumerate(order[::-1][: min(best, len(_BEST))], 1):
        outline = [withStroke(linewidth=4.2, foreground='white')]
        axis.plot(*curves[i].T, color=_BEST[number - 1], linewidth=2.3, zorder=4, path_effects=outline)
        axis.plot(range(len(columns)), places[i], 'o', color=_BEST[number - 1], markersize=4.5, zorder=5)
        axis.plot([], [], color=_BEST[number - 1], linewidth=2.3, label=_label(number, points[i], settings, last[i]))
    for column, (name, values) in enumerate(settings.items()):
        _setting_axis(axis, column, values)
        axis.text(column, 1.05, name, ha='center', va='bottom', fontsize=10, fontweight='bold')
    for column, (name, values) in enumerate(scores.items(), len(settings)):
        _score_axis(axis, column, np.asarray(values, float))
        axis.text(column, 1.05, name, ha='center', va='bottom', fontsize=10)
    axis.set_xlim(-0.45, len(columns) - 0.55)
    axis.set_ylim(-0.03, 1.1)
    axis.set_axis_off()
    handles = axis.get_legend_handles_labels()[0]
    figure.legend(handles=handles, loc='outside lower center', frameon=False, fontsize=8.5)
    bar = figure.colorbar(ScalarMappable(norm, colours), ax=axis, fraction=0.025, pad=0.02)
    bar.set_label(list(scores)[-1])
    figure.suptitle(title, fontsize=11)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=_DPI)


def _places(values: Sequence[Any], chosen: Sequence[Any], height: np.ndarray) -> np.ndarray:
    """Where lines cross the axis of a setting, in [0, 1]."""
    index = np.array([list(values).index(value) for value in chosen])
    return (index + 0.5 + _SPREAD * height) / len(values)


def _scaled(values: np.ndarray) -> np.ndarray:
    low, high = values.min(), values.max()
    return (values - low) / (high - low) if high > low else np.full_like(values, 0.5)


def _norm(values: np.ndarray) -> Normalize:
    """Colours over the better nine tenths: a few hopeless points must not make all others look alike."""
    low, high = float(np.quantile(values, 0.1)), float(values.max())
    return Normalize(low, high if high > low else low + 1e-6, clip=True)


def _curve(places: np.ndarray) -> np.ndarray:
    """Points of a line that crosses every axis at a right angle, ``(n, 2)``."""
    t = np.linspace(0, 1, _STEPS, endpoint=False)
    ease = t * t * (3 - 2 * t)
    pieces = [a + (b - a) * ease for a, b in pairwise(places)]
    x = np.concatenate([np.arange(len(places) - 1)[:, None] + t, [[len(places) - 1]]], axis=None)
    return np.stack([x, np.concatenate([*pieces, places[-1:]])], axis=1)


def _setting_axis(axis: Axes, column: int, values: Sequence[Any]) -> None:
    room = 1 / len(values)
    for i, value in enumerate(values):
        low = (i + 0.5 - _SPREAD / 2) * room
        axis.plot([column, column], [low, low + _SPREAD * room], color='0.25', linewidth=1.6, zorder=6)
        box = dict(boxstyle='round,pad=0.2', facecolor='white', edgecolor='none', alpha=0.85)
        text = f'{value:g}' if isinstance(value, int | float) and not isinstance(value, bool) else str(value)
        axis.text(column - 0.05, (i + 0.5) * room, text, ha='right', va='center', fontsize=10, bbox=box, zorder=7)


def _score_axis(axis: Axes, column: int, values: np.ndarray) -> None:
    axis.plot([column, column], [0, 1], color='0.25', linewidth=1.2, zorder=6)
    low, high = values.min(), values.max()
    ticks = np.linspace(low, high, 5) if high > low else [low]
    box = dict(boxstyle='round,pad=0.15', facecolor='white', edgecolor='none', alpha=0.75)
    for place, value in zip(_scaled(np.asarray(ticks, float)), ticks, strict=True):
        axis.plot([column, column + 0.03], [place, place], color='0.25', linewidth=1, zorder=6)
        axis.text(column + 0.05, place, f'{value:.3f}', va='center', fontsize=8, bbox=box, zorder=7)


def _label(number: int, point: Mapping[str, Any], settings: Mapping[str, Sequence[Any]], score: float) -> str:
    values = ', '.join(f'{name} {point[name]}' for name in settings)
    return f'{number}. {values}: {score:.3f}'
