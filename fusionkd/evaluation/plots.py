"""Pictures of a results table: how metrics spread over images, methods side by side, and the worst images."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from fusionkd.fileio import atomic_path, read_image, scale_to_unit

from .tables import Row, goodness, title

_COLUMNS = 4  # panels beside each other
_GRAY = '0.55'
_RULE_STYLES = (('-', 'v'), ('-', '^'), ('--', 's'), (':', 'D'), ('-.', 'X'))  # line and marker
_DPI = 130


class WorstCase(NamedTuple):
    """One image of a row, and its files under ``ir``, ``vis`` and ``fused``."""

    row: Row
    index: int
    files: Mapping[str, Path]


def plot_distributions(rows: Sequence[Row], path: str | Path, protocol: str) -> None:
    """Draw, for every metric, how its values spread over the images: a box a method, and a dot an image.

    Boxes span the quartiles with the median as a line, whiskers the rest up to 1.5 times that span; a diamond is the mean
    that tables print. Rules without a network are gray.

    Args:
        rows: of one set.
        path: picture to write; the suffix gives the format.
        protocol: key, for the title.
    """
    metrics = list(rows[0].values)
    lines = math.ceil(len(metrics) / _COLUMNS)
    width = min(len(metrics), _COLUMNS)
    figure = _figure(3.1 * width + 1.2, lines * (0.26 * len(rows) + 0.75) + 0.5)
    axes = figure.subplots(lines, width, sharey=True, squeeze=False)
    colours = _colours(rows)
    for axis, metric in zip(axes.flat, metrics, strict=False):
        for place, (row, colour) in enumerate(zip(rows, colours, strict=True)):
            _box(axis, np.asarray(row.values[metric], float), place, colour)
        axis.set_title(title(metric), fontsize=10)
        axis.tick_params(labelsize=8)
        axis.grid(axis='x', alpha=0.3)
    for axis in axes.flat[len(metrics) :]:
        axis.set_axis_off()
    axes[0, 0].set_yticks(range(len(rows)), [row.method for row in rows])
    axes[0, 0].set_ylim(len(rows) - 0.4, -0.6)
    _head(figure, rows, protocol)
    _save(figure, path)


def plot_methods(rows: Sequence[Row], path: str | Path, protocol: str) -> None:
    """Draw the means of all methods on parallel axes, one a metric, each turned so that up is better.

    An axis spans the means of the set, best at the top; both ends carry their values. A line is broken where a metric is
    not defined. Rules without a network are gray.

    Args:
        rows: of one set.
        path: picture to write; the suffix gives the format.
        protocol: key, for the title.
    """
    metrics = list(rows[0].values)
    places = np.full((len(rows), len(metrics)), np.nan)
    figure = _figure(max(0.82 * len(metrics) + 2.4, 6), 4.6)
    axis = figure.subplots()
    for column, metric in enumerate(metrics):
        axis.axvline(column, color='0.8', linewidth=0.8, zorder=0)
        means = [row.mean(metric) for row in rows]
        defined = {i: goodness(metric, v) for i, v in enumerate(means) if math.isfinite(v)}
        if not defined:
            continue
        top, bottom = (end(defined, key=defined.get) for end in (max, min))
        style = dict(ha='center', fontsize=8, color='0.25')
        axis.text(column, 1.03, _short(means[top]), va='bottom', **style)
        axis.text(column, -0.03, _short(means[bottom]), va='top', **style)
        span = defined[top] - defined[bottom]
        for i, value in defined.items():
            places[i, column] = (value - defined[bottom]) / span if span else 0.5
    styles = iter(_RULE_STYLES * len(rows))
    for row, values, colour in zip(rows, places, _colours(rows), strict=True):
        style = dict(linestyle='-', marker='o', linewidth=2.2, markersize=5.5, zorder=2)
        if row.trivial:
            line, marker = next(styles)
            style = dict(linestyle=line, marker=marker, linewidth=1, markersize=4.5, zorder=1)
        axis.plot(values, color=colour, label=row.method, **style)
    axis.set_xticks(range(len(metrics)), [title(m) for m in metrics], fontsize=9)
    axis.tick_params(axis='x', length=0, pad=14)
    axis.set_yticks([0, 1], ['worst', 'best'], fontsize=8)
    axis.set_ylim(-0.02, 1.02)
    axis.spines[:].set_visible(False)
    axis.legend(loc='center left', bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=9, handlelength=3.2)
    _head(figure, rows, protocol)
    _save(figure, path)


def plot_worst(cases: Sequence[WorstCase], path: str | Path, protocol: str) -> None:
    """Draw the images of one method that score lowest, beside their sources.

    To the right stand the values of the image and the means of its set; red are those that are worse than the mean by more
    than one standard deviation.

    Args:
        cases: of one method.
        path: picture to write; the suffix gives the format.
        protocol: key, for the title.
    """
    kinds = list(cases[0].files)
    images = [[_unit(case.files[kind]) for kind in kinds] for case in cases]
    width = 3.1
    heights = [
        max(width * line[0].shape[0] / line[0].shape[1], 0.13 * len(cases[0].row.values) + 0.1) for line in images
    ]
    figure = _figure(len(kinds) * width + 2.3, sum(heights) + 0.34 * len(cases) + 0.5)
    axes = figure.subplots(
        len(cases),
        len(kinds) + 1,
        squeeze=False,
        gridspec_kw=dict(width_ratios=[*([width] * len(kinds)), 2.1], height_ratios=heights),
    )
    for case, line, shown in zip(cases, axes, images, strict=True):
        for axis, kind, image in zip(line, kinds, shown, strict=False):
            axis.imshow(image, cmap='gray', vmin=0, vmax=1)
            axis.set_axis_off()
            axis.set_title(kind, fontsize=8, color='0.35', pad=3)
        name, score = case.row.names[case.index], case.row.values['score'][case.index]
        line[0].set_title(f'{case.row.set_name} / {name}, score {score:.3f}', fontsize=9, loc='left', pad=3)
        line[0].set_title('', loc='center')
        _values(line[-1], case)
    figure.suptitle(f'{cases[0].row.method}: lowest balanced scores ({protocol})', fontsize=11, x=0.01, ha='left')
    _save(figure, path)


def _box(axis: Axes, values: np.ndarray, place: int, colour: tuple | str) -> None:
    values = values[np.isfinite(values)]
    if not values.size:
        axis.text(0.5, place, 'not defined', transform=axis.get_yaxis_transform(), fontsize=7, color=_GRAY, va='center')
        axis.texts[-1].set_horizontalalignment('center')
        return
    line = dict(color=colour, linewidth=1)
    axis.boxplot(
        values,
        positions=[place],
        orientation='horizontal',
        widths=0.62,
        showfliers=False,
        patch_artist=True,
        manage_ticks=False,
        boxprops=dict(facecolor=(*_rgb(colour), 0.22), edgecolor=colour, linewidth=1),
        medianprops=dict(color=colour, linewidth=1.8),
        whiskerprops=line,
        capprops=line,
    )
    # Dots are spread in a fixed pattern, so that the same table gives the same picture.
    offsets = ((np.arange(values.size) * 0.618) % 1 - 0.5) * 0.42
    size = 7 if values.size < 60 else 3
    axis.scatter(values, place + offsets, s=size, color=colour, alpha=0.55, linewidths=0, zorder=3)
    axis.plot(values.mean(), place, marker='D', markersize=4, color='white', markeredgecolor='black', zorder=4)


def _values(axis: Axes, case: WorstCase) -> None:
    axis.set_axis_off()
    metrics = list(case.row.values)
    step = 1 / (len(metrics) + 1)
    style = dict(fontsize=7.5, va='center', family='monospace')
    for x, text in ((0.62, 'image'), (0.98, 'set')):
        axis.text(x, 1 - step / 2, text, ha='right', color='0.35', **style)
    for i, metric in enumerate(metrics):
        value, mean, std = case.row.values[metric][case.index], case.row.mean(metric), case.row.std(metric)
        bad = abs(value - mean) > std and goodness(metric, value) < goodness(metric, mean)
        y = 1 - (i + 1.5) * step
        axis.text(0.02, y, title(metric), color='tab:red' if bad else 'black', **style)
        axis.text(0.62, y, _short(value), ha='right', color='tab:red' if bad else 'black', **style)
        axis.text(0.98, y, _short(mean), ha='right', color='0.35', **style)


def _unit(path: Path) -> np.ndarray:
    return scale_to_unit(read_image(path), name=str(path))


def _colours(rows: Sequence[Row]) -> list[tuple | str]:
    methods = sum(not row.trivial for row in rows)
    palette = iter(colormaps['tab10' if methods <= 10 else 'tab20'].colors * (methods // 20 + 1))
    return [_GRAY if row.trivial else next(palette) for row in rows]


def _rgb(colour: tuple | str) -> tuple:
    return (float(colour),) * 3 if isinstance(colour, str) else tuple(colour)


def _short(value: float) -> str:
    if not math.isfinite(value):
        return str(value)
    return f'{value:.3f}' if abs(value) < 10 else f'{value:.1f}' if abs(value) < 1000 else f'{value:.0f}'


def _figure(width: float, height: float) -> Figure:
    figure = Figure(figsize=(width, height), layout='constrained')
    FigureCanvasAgg(figure)
    return figure


def _head(figure: Figure, rows: Sequence[Row], protocol: str) -> None:
    count = len(rows[0].names)
    figure.suptitle(f'{rows[0].set_name}: {count} image{"s" if count != 1 else ""}, protocol {protocol}', fontsize=11)


def _save(figure: Figure, path: str | Path) -> None:
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=_DPI)
