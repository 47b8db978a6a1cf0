"""Pictures of agents' decisions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from fusionkd.fileio import atomic_path

_DPI = 110


def plot_decisions(decisions: Sequence[dict], path: str | Path) -> None:
    """Draw observations, actions, rewards and score of one run over the iterations.

    Args:
        decisions: ``Decision`` records as dicts, in order.
        path: PNG to write.
    """
    steps = np.array([d['step'] for d in decisions])
    names = list(decisions[0]['observation'])
    controls = list(decisions[0]['action'])
    heights = [1.0, 1.0, *([0.8] * len(controls)), max(1.0, 0.16 * len(names))]
    figure = _figure(9, 2.2 * (2 + len(controls)) + 0.22 * len(names))
    axes = figure.subplots(len(heights), 1, sharex=False, gridspec_kw=dict(height_ratios=heights))

    axes[0].plot(steps, [d['score'] for d in decisions], color='tab:green')
    axes[0].set_ylabel('balanced score\n(probe set)')
    rewards = [(d['step'], d['reward']) for d in decisions if d['reward'] is not None]
    axes[1].axhline(0, color='0.7', linewidth=0.8)
    axes[1].bar(*zip(*rewards, strict=True) if rewards else ([], []), width=0.8 * _gap(steps), color='tab:blue')
    axes[1].set_ylabel('reward')
    for axis, control in zip(axes[2:-1], controls, strict=True):
        acted = [(d['step'], d['action'][control]) for d in decisions if d['action']]
        if isinstance(acted[0][1], str):
            axis.scatter(*zip(*acted, strict=True), marker='s', s=14, color='tab:orange')
        else:
            axis.step(*zip(*acted, strict=True), where='post', color='tab:orange')
        axis.set_ylabel(control)
    for axis in axes[:-1]:
        axis.set_xlim(0, steps[-1] or 1)
        axis.grid(alpha=0.3)
        for step, _ in _stages(decisions)[1:]:
            axis.axvline(step, color='0.4', linestyle='--', linewidth=0.8)
    for step, name in _stages(decisions):
        axes[0].annotate(name, (step, 1), xycoords=('data', 'axes fraction'), fontsize=7, va='top')
    axes[-2].set_xlabel('iteration')

    values = np.array([[d['observation'][n] for d in decisions] for n in names], dtype=float)
    spread = values.std(axis=1, keepdims=True)
    standard = (values - values.mean(axis=1, keepdims=True)) / np.where(spread > 0, spread, 1)
    image = axes[-1].imshow(standard, aspect='auto', cmap='RdBu_r', vmin=-2.5, vmax=2.5, interpolation='nearest')
    axes[-1].set_yticks(range(len(names)), names, fontsize=6)
    axes[-1].set_xlabel('decision')
    axes[-1].set_title('observations (each standardised over the run)', fontsize=9)
    figure.colorbar(image, ax=axes[-1], fraction=0.03)
    _save(figure, path)


def plot_runs(arms: Mapping[str, Sequence[Sequence[dict]]], path: str | Path) -> None:
    """Draw what agents decided over time: a column an arm, the mean over its runs as a line, one deviation as a band.

    Of a choice, the share of the runs that took each option. Arms stand beside each other in every row, so that a control
    that two of them have can be compared.

    Args:
        arms: by name, the runs' ``Decision`` records as dicts; runs of one arm decided at the same iterations.
        path: picture to write; the suffix gives the format.

    Raises:
        ValueError: nothing to draw.
    """
    arms = {name: [run for run in runs if run] for name, runs in arms.items()}
    arms = {name: runs for name, runs in arms.items() if runs}
    if not arms:
        raise ValueError('nothing to draw: no arm has decisions')
    rows = ['balanced score (probe)']
    rows += dict.fromkeys(c for runs in arms.values() for c in runs[0][0]['action'])
    figure = _figure(2.6 * len(arms) + 1.2, 1.7 * len(rows) + 0.6)
    axes = figure.subplots(len(rows), len(arms), squeeze=False, sharex=True, sharey='row')
    for column, (name, runs) in enumerate(arms.items()):
        length = min(len(run) for run in runs)
        steps = [d['step'] for d in runs[0][:length]]
        axes[0, column].set_title(f'{name} ({len(runs)} runs)', fontsize=9)
        _band(axes[0, column], steps, [[d['score'] for d in run[:length]] for run in runs], 'tab:green')
        for axis, control in zip(axes[1:, column], rows[1:], strict=True):
            if control not in runs[0][0]['action']:
                axis.set_axis_off()
                continue
            taken = [[d['action'][control] for d in run[:length] if d['action']] for run in runs]
            if isinstance(taken[0][0], str):
                _shares(axis, steps, taken)
            else:
                _band(axis, steps[: len(taken[0])], taken, 'tab:orange')
        axes[-1, column].set_xlabel('iteration', fontsize=8)
    for axis, row in zip(axes[:, 0], rows, strict=True):
        axis.set_ylabel(row, fontsize=8)
    for axis in axes.flat:
        axis.tick_params(labelsize=7)
        axis.grid(alpha=0.3)
    _save(figure, path)


def plot_differences(arms: Mapping[str, Mapping[str, tuple[float, float]]], path: str | Path, title: str) -> None:
    """Draw how far each arm is from a baseline on each set.

    Args:
        arms: by name, mean difference and its standard error by set.
        path: picture to write; the suffix gives the format.
        title: what the differences are of.
    """
    sets = list(dict.fromkeys(name for found in arms.values() for name in found))
    figure = _figure(8, 0.28 * len(arms) * max(len(sets), 2) ** 0.5 + 2)
    axis = figure.subplots()
    axis.axvline(0, color='0.6', linewidth=0.8)
    for i, name in enumerate(sets):
        offset = 0.6 * ((i + 0.5) / len(sets) - 0.5)
        points = [(row + offset, *found[name]) for row, found in enumerate(arms.values()) if name in found]
        y, x, error = zip(*points, strict=True)
        axis.errorbar(x, y, xerr=np.nan_to_num(error), fmt='o', markersize=3.5, label=name, linewidth=1)
    axis.set_yticks(range(len(arms)), list(arms), fontsize=8)
    axis.set_ylim(len(arms) - 0.5, -0.5)
    axis.set_title(title, fontsize=9)
    axis.grid(axis='x', alpha=0.3)
    axis.legend(fontsize=7, loc='center left', bbox_to_anchor=(1.01, 0.5))
    _save(figure, path)


def plot_returns(returns: Sequence[float], scores: Sequence[float], path: str | Path) -> None:
    """Draw how a policy does, episode by episode: the return, and the balanced score that the student ended with.

    Args:
        returns: sum of the rewards of each episode.
        scores: on the probe set, at the end of each.
        path: picture to write; the suffix gives the format.
    """
    figure = _figure(7, 5)
    axes = figure.subplots(2, 1, sharex=True)
    for axis, values, label in zip(axes, (returns, scores), ('return', 'balanced score (probe)'), strict=True):
        x = np.arange(1, len(values) + 1)
        axis.plot(x, values, '.', color='0.6')
        width = max(len(values) // 10, 1)
        mean = np.convolve(values, np.ones(width) / width, mode='valid')
        axis.plot(x[width - 1 :], mean, color='tab:blue', label=f'mean of {width}')
        axis.set_ylabel(label)
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8)
    axes[-1].set_xlabel('episode (one training each)')
    _save(figure, path)


def _band(axis: Axes, steps: Sequence[float], runs: Sequence[Sequence[float]], colour: str) -> None:
    values = np.array(runs, dtype=float)
    mean, std = values.mean(0), values.std(0)
    axis.fill_between(steps, mean - std, mean + std, color=colour, alpha=0.25, linewidth=0)
    axis.plot(steps, mean, color=colour)


def _shares(axis: Axes, steps: Sequence[float], runs: Sequence[Sequence[str]]) -> None:
    options = sorted({option for run in runs for option in run})
    shares = [[np.mean([run[i] == option for run in runs]) for i in range(len(runs[0]))] for option in options]
    colours = [colormaps['tab20'](i % 20) for i in range(len(options))]
    axis.stackplot(steps[: len(runs[0])], shares, labels=options, colors=colours)
    axis.legend(fontsize=5, loc='upper left', ncols=2)


def _stages(decisions: Sequence[dict]) -> list[tuple[float, str]]:
    """Where each stage begins."""
    starts: dict[str, float] = {}
    for decision in decisions:
        if decision['stage']:
            starts.setdefault(decision['stage'], decision['step'])
    return [(step, name) for name, step in starts.items()]


def _figure(width: float, height: float) -> Figure:
    figure = Figure(figsize=(width, height), layout='constrained')
    FigureCanvasAgg(figure)
    return figure


def _save(figure: Figure, path: str | Path) -> None:
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=_DPI)


def _gap(steps: np.ndarray) -> float:
    return float(np.diff(steps).min()) if len(steps) > 1 else 1.0
