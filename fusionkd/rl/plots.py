"""Pictures of an agent's decisions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from fusionkd.fileio import atomic_path


def plot_decisions(decisions: Sequence[dict], path: str | Path) -> None:
    """Draw observations, actions, rewards and score over the iterations.

    Args:
        decisions: ``Decision`` records as dicts, in order.
        path: PNG to write.
    """
    steps = np.array([d['step'] for d in decisions])
    names = list(decisions[0]['observation'])
    controls = list(decisions[0]['action'])
    figure = Figure(figsize=(9, 2.2 * (2 + len(controls)) + 0.22 * len(names)), layout='constrained')
    FigureCanvasAgg(figure)
    heights = [1.0, 1.0, *([0.8] * len(controls)), max(1.0, 0.16 * len(names))]
    axes = figure.subplots(len(heights), 1, sharex=False, gridspec_kw=dict(height_ratios=heights))

    axes[0].plot(steps, [d['score'] for d in decisions], color='tab:green')
    axes[0].set_ylabel('balanced score\n(probe set)')
    rewards = [(d['step'], d['reward']) for d in decisions if d['reward'] is not None]
    axes[1].axhline(0, color='0.7', linewidth=0.8)
    axes[1].bar(*zip(*rewards, strict=True) if rewards else ([], []), width=0.8 * _gap(steps), color='tab:blue')
    axes[1].set_ylabel('reward')
    for axis, control in zip(axes[2:-1], controls, strict=True):
        acted = [(d['step'], d['action'][control]) for d in decisions if d['action']]
        axis.step(*zip(*acted, strict=True), where='post', color='tab:orange')
        axis.set_ylabel(control)
    for axis in axes[:-1]:
        axis.set_xlim(0, steps[-1] or 1)
        axis.grid(alpha=0.3)
    axes[-2].set_xlabel('iteration')

    values = np.array([[d['observation'][n] for d in decisions] for n in names], dtype=float)
    spread = values.std(axis=1, keepdims=True)
    standard = (values - values.mean(axis=1, keepdims=True)) / np.where(spread > 0, spread, 1)
    image = axes[-1].imshow(standard, aspect='auto', cmap='RdBu_r', vmin=-2.5, vmax=2.5, interpolation='nearest')
    axes[-1].set_yticks(range(len(names)), names, fontsize=6)
    axes[-1].set_xlabel('decision')
    axes[-1].set_title('observations (each standardised over the run)', fontsize=9)
    figure.colorbar(image, ax=axes[-1], fraction=0.03)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=110)


def _gap(steps: np.ndarray) -> float:
    return float(np.diff(steps).min()) if len(steps) > 1 else 1.0
