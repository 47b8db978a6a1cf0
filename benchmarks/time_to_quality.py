"""What a recipe's student is worth after so many seconds of training, beside the time paper B's recipe takes here.

    python benchmarks/time_to_quality.py --data-root DATA --set MSRS=DATA/test --set TNO=DATA/test_tno
    python benchmarks/time_to_quality.py --quick                                # synthetic scenes, figures mean nothing

Every budget is a training of its own whose schedule ends with it: its iterations come from the pace of the last training of
the same budget, at first of a short one that is thrown away. The clock starts before the recipe is read, so that listing,
decoding and set-up count; copying a student at --snapshots does not, nor do imports, which are stated. Paper B's network
(HybridFusion, arXiv 2602.20851) is run for a few steps only: the times of its epochs are computed, the quality drawn at
them is published.
"""

import argparse
import itertools
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from mmengine.config import DictAction
from mmengine.hooks import EMAHook, Hook
from mmengine.runner import Runner

from fusionkd.datasets.scenes import render_scene
from fusionkd.engine.config import load_config
from fusionkd.engine.sweep import QuietRunner, quiet
from fusionkd.evaluation import get_protocol
from fusionkd.evaluation.images import as_batch, quantise, to_gray
from fusionkd.evaluation.methods import score_methods
from fusionkd.fileio import atomic_path, list_images, read_image, scale_to_unit, write_image
from fusionkd.registry import MODELS

ROOT = Path(__file__).resolve().parents[1]
PROTOCOL = 'cddfuse'
METRICS = ('VIF', 'Qabf', 'SCD', 'Nabf')
COLUMNS = ('VIF', 'Qabf', 'score', 'SCD', 'target', 'Nabf')
DRAWN = ('VIF', 'Qabf', 'score')
# Paper B on MSRS, VIF and Qabf by epochs, under its own protocol on all 361 pairs; an epoch has 1083 pairs.
PUBLISHED = {2: (0.996, 0.678), 10: (1.017, 0.691), 100: (1.079, 0.721)}
EPOCH = 1083
PUBLISHED_SET = 'MSRS'
FEWEST = 10  # iterations that a schedule or a step time needs
FILLED = 0.95  # of a budget is planned for: on a shared machine the next training may be slower than the last


class Student(NamedTuple):
    """A student's weights at some moment of a training."""

    budget: float
    seed: int
    moment: float  # the snapshot's second, or the budget for the end of the training
    seconds: float  # of training until then
    iterations: int
    state: dict[str, torch.Tensor]


class Clock(Hook):
    """Seconds of training after every iteration, and copies of the student at some of them.

    Args:
        start: the moment training began, of ``time.perf_counter``.
        moments: seconds at which the student is copied, ascending.
        limit: seconds after which :class:`Enough` is raised.
        fewest: iterations before it is.
    """

    def __init__(self, start: float, moments: Sequence[float] = (), limit: float = math.inf, fewest: int = FEWEST):
        self.start = start
        self.moments = list(moments)
        self.limit = limit
        self.fewest = fewest
        self.timeline: list[float] = []
        self.copies: list[tuple[float, float, int, dict]] = []
        self.paused = 0.0

    def now(self) -> float:
        """Seconds of training."""
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return time.perf_counter() - self.start - self.paused

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None, outputs: dict | None = None
    ) -> None:
        """Note the time; copy the student if it is due."""
        now = self.now()
        self.timeline.append(now)
        if self.moments and now >= self.moments[0]:
            before = time.perf_counter()
            while self.moments and now >= self.moments[0]:
                moment = self.moments.pop(0)
            averages = [hook for hook in runner.hooks if isinstance(hook, EMAHook)]
            for hook in averages:  # what a validation now would measure
                hook.before_val_epoch(runner)
            self.copies.append((moment, now, runner.iter + 1, copy_state(runner)))
            for hook in averages:
                hook.after_val_epoch(runner)
            self.paused += time.perf_counter() - before
        if now >= self.limit and len(self.timeline) >= self.fewest:
            raise Enough


class Enough(Exception):  # noqa: N818 (no error)
    """A training that is thrown away has run long enough."""


def copy_state(runner: Runner) -> dict[str, torch.Tensor]:
    """The student's weights, on the CPU."""
    student = getattr(runner.model, 'module', runner.model).student
    return {k: v.detach().cpu().clone() for k, v in student.state_dict().items()}


def train(
    config: str,
    options: dict[str, Any],
    data_root: str,
    moments: Sequence[float] = (),
    limit: float = math.inf,
    fewest: int = FEWEST,
) -> tuple[Clock, tuple[float, int, dict] | None]:
    """Train a recipe against the clock.

    Returns:
        The clock, and the seconds, iterations and weights at the end; ``None`` where ``limit`` ended it.
    """
    with tempfile.TemporaryDirectory(prefix='time_to_quality_') as folder:
        clock = Clock(time.perf_counter(), moments, limit, fewest)
        recipe = quiet(load_config(config, options, data_root), folder, Path(folder).name, loader_processes=True)
        runner = QuietRunner.from_cfg(recipe)
        runner.register_hook(clock, priority='LOWEST')
        try:
            runner.train()
        except Enough:
            return clock, None
        return clock, (clock.now(), runner.iter, copy_state(runner))


def iterations_for(budget: float, timeline: Sequence[float]) -> int:
    """Iterations that fit into most of a budget at the mean pace of a whole training, whose steps take unequal times."""
    pace = (len(timeline) - 1) / (timeline[-1] - timeline[0])
    return max(1 + int((FILLED * budget - timeline[0]) * pace), FEWEST)


def step_time(timeline: Sequence[float]) -> float:
    """Mean seconds of a step in the second half, where the images have been decoded."""
    half = len(timeline) // 2
    return (timeline[-1] - timeline[half]) / max(len(timeline) - 1 - half, 1)


def not_counted(args: argparse.Namespace) -> str:
    """Run what only the first training of a process pays for, and say how long it took."""
    imports = 'not measured'
    if not args.quick:
        start = time.perf_counter()
        subprocess.run([sys.executable, '-c', 'import fusionkd.engine.sweep, fusionkd.models'], check=True)
        imports = f'{time.perf_counter() - start:.1f} s'
    clock, _ = train(args.config, {**args.options, 'train_cfg.max_iters': 10**6}, args.data_root, limit=0)
    first = clock.timeline[0] - step_time(clock.timeline)
    return f'imports, {imports}; set-up of the first training of a process, {first:.1f} s'


def run_budgets(args: argparse.Namespace) -> tuple[list[Student], list[dict[str, Any]]]:
    """Train every budget with every seed."""
    clock, _ = train(args.config, {**args.options, 'train_cfg.max_iters': args.calibrate}, args.data_root)
    first = clock.timeline
    print(f'calibration: {len(first)} iterations in {first[-1]:.1f} s')
    students, trainings = [], []
    timelines: dict[float, list[float]] = {}
    for seed, budget in itertools.product(args.seeds, args.budgets):
        iterations = iterations_for(budget, timelines.get(budget, first))
        options = {**args.options, 'train_cfg.max_iters': iterations, 'randomness.seed': seed}
        cpu = time.process_time()
        moments = [s for s in args.snapshots if s < budget]
        clock, (seconds, done, state) = train(args.config, options, args.data_root, moments)
        students += [Student(budget, seed, moment, at, i, copy) for moment, at, i, copy in clock.copies]
        students.append(Student(budget, seed, budget, seconds, done, state))
        first = timelines[budget] = clock.timeline  # of a budget that has none yet the last training is the best guess
        trainings.append(
            dict(
                budget=budget,
                seed=seed,
                iterations=done,
                seconds=seconds,
                cpu_seconds=time.process_time() - cpu,
                first_iteration_at=clock.timeline[0],
                step=step_time(clock.timeline),
            )
        )
        print(f'budget {budget:g} s, seed {seed}: {done} iterations in {seconds:.1f} s', flush=True)
    return students, trainings


def measure_paper(args: argparse.Namespace) -> dict[str, Any]:
    """Step time of paper B's recipe and the hours of its epochs."""
    options = {'train_dataloader.batch_size': args.paper_batch, 'train_dataloader.num_workers': 0}
    # As published, an optimiser step for 32 pairs; the steps measured end before it.
    options |= {'optim_wrapper.accumulative_counts': 32, 'train_cfg.max_iters': 10**6} | args.paper_options
    config = load_config(args.paper_config, options)
    size = next(s.size for s in config.train_dataloader.dataset.pipeline if s.type == 'RandomCropPair')
    height, width = (size, size) if isinstance(size, int) else size
    clock, _ = train(args.paper_config, options, args.data_root, limit=0, fewest=args.paper_steps + 1)
    steps = np.diff(clock.timeline).tolist()  # the first step, with its set-up, is left out
    pair = statistics.median(steps) / args.paper_batch
    return dict(
        recipe=Path(args.paper_config).name,
        batch=args.paper_batch,
        size=[height, width],
        precision=config.optim_wrapper.type,
        step_seconds=steps,
        seconds_per_pair=pair,
        epoch_seconds=EPOCH * pair,
        seconds={epochs: epochs * EPOCH * pair for epochs in PUBLISHED},
    )


@torch.no_grad()
def score_students(
    students: Sequence[Student], model: dict, folder: Path, limit: int, seafusion: bool
) -> tuple[list[dict[str, float]], dict[str, dict[str, float]], int]:
    """Means of all students and references over a set; the work on the sources is done once.

    Returns:
        One row a student, the references by name, and the number of pairs.
    """
    ir, vis = (list_images(folder / kind) for kind in ('ir', 'vi' if (folder / 'vi').is_dir() else 'vis'))
    names = [name for name in ir if name in vis]
    if not names:
        raise ValueError(f'{folder}: no infrared image has the name of a visible one')
    if limit and limit < len(names):
        names = [names[i] for i in np.linspace(0, len(names) - 1, limit).round().astype(int)]
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    fuser = MODELS.build(model).to(device, memory_format=torch.channels_last)
    teacher = MODELS.build(dict(type='SeAFusion', init_cfg=dict(type='Pretrained', checkpoint='seafusion')))
    teacher.init_weights()
    teacher.to(device, memory_format=torch.channels_last)
    protocol = get_protocol(PROTOCOL)
    rows: dict[Any, list[list[float]]] = {}
    for done, name in enumerate(names, 1):
        pair = [load_image(files[name]) for files in (ir, vis)]
        images = {}
        for i, student in enumerate(students):
            fuser.load_state_dict(student.state)
            images[i] = fuser.predict(*pair).cpu()
        images['maximum'] = torch.maximum(*(to_gray(quantise(as_batch(name, x, 1)), protocol.gray) for x in pair))[0]
        if seafusion:
            images['SeAFusion'] = teacher.predict(*pair).cpu()
        for method, values in score_methods(*pair, images, protocol, METRICS).items():
            rows.setdefault(method, []).append([values[c] for c in COLUMNS])
        print(f'\r{folder}: {done}/{len(names)} pairs\033[K', end='', file=sys.stderr, flush=True)
    print(file=sys.stderr)
    means = {m: dict(zip(COLUMNS, map(float, np.nanmean(np.array(v), axis=0)), strict=True)) for m, v in rows.items()}
    return [means.pop(i) for i in range(len(students))], means, len(names)


def load_image(path: Path) -> torch.Tensor:
    """``(1 or 3, H, W)`` in [0, 1]."""
    image = torch.from_numpy(np.ascontiguousarray(scale_to_unit(read_image(path), name=str(path))))
    return image[None] if image.ndim == 2 else image.permute(2, 0, 1)


def summarise(students: Sequence[Student], scores: Sequence[dict[str, float]]) -> list[dict[str, Any]]:
    """Mean and deviation over the seeds for every budget and moment, by seconds."""
    groups: dict[tuple[float, float], list[int]] = {}
    for i, student in enumerate(students):
        groups.setdefault((student.budget, student.moment), []).append(i)
    rows = []
    for (budget, moment), members in groups.items():
        columns = {c: [scores[i][c] for i in members] for c in COLUMNS}
        rows.append(
            dict(
                budget=budget,
                moment=moment,
                end=moment == budget,
                seeds=[students[i].seed for i in members],
                seconds=statistics.mean(students[i].seconds for i in members),
                iterations=statistics.mean(students[i].iterations for i in members),
                mean={c: statistics.mean(v) for c, v in columns.items()},
                std={c: statistics.pstdev(v) for c, v in columns.items()},
            )
        )
    return sorted(rows, key=lambda row: row['seconds'])


def first_to_reach(rows: Sequence[dict], ends: bool, vif: float, qabf: float) -> dict | None:
    """The earliest row whose means reach both; only ends of trainings, or snapshots as well."""
    found = (r for r in rows if (r['end'] or not ends) and r['mean']['VIF'] >= vif and r['mean']['Qabf'] >= qabf)
    return next(found, None)


def reached_lines(sets: dict[str, dict]) -> list[str]:
    """What to say about paper B's two epochs."""
    if PUBLISHED_SET not in sets:
        return [f'No set is called {PUBLISHED_SET}: nothing is compared with the published numbers.']
    lines = []
    for ends, what in ((True, 'trainings that end there'), (False, 'snapshots as well')):
        row = first_to_reach(sets[PUBLISHED_SET]['rows'], ends, *PUBLISHED[2])
        goal = f'VIF {PUBLISHED[2][0]:.3f} and Qabf {PUBLISHED[2][1]:.3f} on {PUBLISHED_SET} ({what})'
        if row is None:
            lines.append(f'{goal}: not reached')
            continue
        mean = row['mean']
        lines.append(
            f'{goal}: {row["seconds"]:.1f} s of the {row["budget"]:g} s training, {row["iterations"]:.0f} iterations, '
            f'with {mean["VIF"]:.3f} and {mean["Qabf"]:.3f}, mean of {len(row["seeds"])} seed(s)'
        )
    return lines


def paper_lines(paper: dict[str, Any] | None) -> list[str]:
    """What paper B's recipe costs on this machine."""
    if paper is None:
        return ['Paper B was not measured.']
    height, width = paper['size']
    steps = f'{len(paper["step_seconds"])} steps of batch {paper["batch"]} at {height} x {width}'
    hours = ', '.join(f'{epochs} epochs {duration(s)}' for epochs, s in paper['seconds'].items())
    return [
        f'{paper["recipe"]}: {steps}, {paper["precision"]}, {paper["seconds_per_pair"]:.2f} s a pair (median), scaled to '
        f'epochs of {EPOCH} pairs: {hours}. Published are batches of 16, accumulated twice; its optimiser is not counted.'
    ]


def duration(seconds: float) -> str:
    """Seconds, minutes, hours or days."""
    for unit, size in (('d', 86400), ('h', 3600), ('min', 60)):
        if seconds >= 2 * size:
            return f'{seconds / size:.1f} {unit}'
    return f'{seconds:.1f} s'


def to_markdown(result: dict[str, Any]) -> str:
    """Everything as text."""
    header = result['header']
    lines = ['# Time to quality', '', *(f'- {key}: {value}' for key, value in header.items()), '']
    lines += [*reached_lines(result['sets']), '', *paper_lines(result['paper']), '']
    for name, images in result['sets'].items():
        lines += [f'## {name}, {images["pairs"]} pairs', '']
        lines += ['| method | seconds | iterations | VIF | Qabf | score | SCD | target | Nabf |', '|---|' + '---:|' * 8]
        for row in images['rows']:
            label = f'budget {row["budget"]:g} s' + ('' if row['end'] else f', at {row["moment"]:g} s')
            cells = [f'{row["mean"][c]:.3f} ± {row["std"][c]:.3f}' for c in COLUMNS]
            label = f'**{label}**' if row['end'] else label
            lines.append(f'| {label} | {row["seconds"]:.1f} | {row["iterations"]:.0f} | {" | ".join(cells)} |')
        for method, mean in images['references'].items():
            lines.append(f'| {method} | | | {" | ".join(f"{mean[c]:.3f}" for c in COLUMNS)} |')
        if name == PUBLISHED_SET and result['paper']:
            for epochs, (vif, qabf) in PUBLISHED.items():
                seconds = result['paper']['seconds'][epochs]
                label = f'paper B, {epochs} epochs, published, protocol `hybridfusion`'
                lines.append(f'| {label} | {seconds:.0f} (computed) | | {vif:.3f} | {qabf:.3f} | | | | |')
        lines.append('')
    lines += [
        'Trainings:',
        '',
        '| budget | seed | iterations | seconds | CPU seconds | first step at | a step of the second half |',
    ]
    lines.append('|' + '---:|' * 7)
    for t in result['trainings']:
        values = f'{t["seconds"]:.2f} | {t["cpu_seconds"]:.2f} | {t["first_iteration_at"]:.2f} | {t["step"]:.4f}'
        lines.append(f'| {t["budget"]:g} | {t["seed"]} | {t["iterations"]} | {values} |')
    return '\n'.join(lines) + '\n'


def plot(result: dict[str, Any], path: Path) -> None:
    """Quality over seconds, a row of panels a set."""
    sets = result['sets']
    figure = Figure(figsize=(4.7 * len(DRAWN), 3.5 * len(sets) + 1.0), layout='constrained')
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(sets), len(DRAWN), squeeze=False, sharex=True)
    for line, (name, images) in zip(panels, sets.items(), strict=True):
        for axis, metric in zip(line, DRAWN, strict=True):
            _panel(axis, metric, images, result['paper'] if name == PUBLISHED_SET else None)
            axis.set_title(f'{name}: {metric}', fontsize=10)
    for axis in panels[-1]:
        axis.set_xlabel('seconds of training')
    labels = {}
    for axis in panels.flat:
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
            labels.setdefault(label, handle)
    figure.legend(labels.values(), labels.keys(), loc='outside lower center', ncols=4, frameon=False, fontsize=8.5)
    header = result['header']
    quick = 'QUICK, FIGURES MEAN NOTHING: ' if header['quick'] else ''
    figure.suptitle(
        f'{quick}{header["recipe"]}, {len(header["seeds"])} seed(s), {header["threads"]} of {header["cores"]} cores, '
        f'protocol {PROTOCOL}',
        fontsize=11,
    )
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=130)


def _panel(axis: Axes, metric: str, images: dict, paper: dict | None) -> None:
    ends = [row for row in images['rows'] if row['end']]
    for shade, end in enumerate(ends):
        rows = [row for row in images['rows'] if row['budget'] == end['budget']]
        x, y, spread = (
            np.array(c) for c in zip(*([r['seconds'], r['mean'][metric], r['std'][metric]] for r in rows), strict=True)
        )
        colour = (0.12, 0.47, 0.71, 0.25 + 0.5 * (shade + 1) / len(ends))
        axis.plot(x, y, '.-', color=colour, linewidth=1, markersize=4, label='snapshots within a training')
        axis.fill_between(x, y - spread, y + spread, color=colour, alpha=0.12, linewidth=0)
    x, y, spread = np.array([[r['seconds'], r['mean'][metric], r['std'][metric]] for r in ends]).T
    style = dict(color='tab:blue', linewidth=2, markersize=7, capsize=3, zorder=4)
    axis.errorbar(x, y, spread, fmt='o-', label='end of a training of this budget', **style)
    for (method, mean), style in zip(images['references'].items(), ('--', ':'), strict=False):
        axis.axhline(mean[metric], color='0.35', linestyle=style, linewidth=1.2, label=method)
    if paper is not None and metric in ('VIF', 'Qabf'):
        points = [(paper['seconds'][e], e, PUBLISHED[e][('VIF', 'Qabf').index(metric)]) for e in PUBLISHED]
        style = dict(color='tab:red', marker='*', markersize=12, markerfacecolor='white', linestyle=':', linewidth=1)
        label = 'paper B: published number (its protocol) at the time computed for its epochs here'
        axis.plot([p[0] for p in points], [p[2] for p in points], label=label, **style)
        for seconds, epochs, value in points:
            text = f'{epochs} epochs\n{duration(seconds)}'
            axis.annotate(
                text, (seconds, value), (0, -9), textcoords='offset points', ha='center', va='top', fontsize=7
            )
        axis.margins(x=0.1, y=0.15)
    axis.set_xscale('log')
    axis.grid(alpha=0.3, which='both', linewidth=0.6)


def parse_args() -> argparse.Namespace:
    """Options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--config', default=str(ROOT / 'configs/swift_minute_msrs.py'), help='the recipe')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, default={}, dest='options')
    parser.add_argument('--data-root', help='training data; default that of the recipe')
    parser.add_argument('--set', action='append', default=[], metavar='NAME=DIR', dest='sets', help='a test set')
    parser.add_argument('--pairs', type=int, default=0, help='pairs of each set, spread evenly; default all')
    parser.add_argument('--budgets', type=float, nargs='+', default=[20, 60, 300], help='seconds')
    parser.add_argument('--snapshots', type=float, nargs='*', default=[5, 10, 20, 40, 60, 120, 300], help='seconds')
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2])
    parser.add_argument(
        '--calibrate', type=int, default=100, help='iterations of the training thrown away; default 100'
    )
    parser.add_argument('--threads', type=int, default=os.cpu_count())
    parser.add_argument('--paper-config', default=str(ROOT / 'configs/fusion_hybrid_msrs_full.py'))
    parser.add_argument('--paper-steps', type=int, default=3, help='steps measured, after one more; 0 leaves it out')
    parser.add_argument('--paper-batch', type=int, default=1, help='pairs of a step measured; default 1')
    parser.add_argument('--no-seafusion', action='store_true', help='without the line of SeAFusion')
    parser.add_argument('--out', default='work_dirs/time_to_quality', type=Path)
    parser.add_argument('--quick', action='store_true', help='a few seconds on synthetic scenes; figures mean nothing')
    args = parser.parse_args()
    args.paper_options = {}
    if not args.quick and not args.sets:
        parser.error('--set NAME=DIR is needed')
    sets = {}
    for argument in args.sets:
        name, equals, folder = argument.partition('=')
        if not equals or not name or not folder or name in sets:
            parser.error(f'--set takes NAME=DIR, each name once, got {argument!r}')
        sets[name] = Path(folder)
    args.sets = sets
    args.budgets, args.snapshots = sorted(set(args.budgets)), sorted(set(args.snapshots))
    return args


def make_quick(args: argparse.Namespace, folder: Path) -> None:
    """Synthetic scenes in the layout of MSRS, and settings that take seconds."""
    for split, count, seed in (('train', 20, 0), ('test', 2, 1)):
        for i in range(count):
            scene = render_scene(i, seed, (96, 128))
            write_image(folder / split / 'ir' / f'{i:05d}.png', scene.ir)
            write_image(folder / split / 'vi' / f'{i:05d}.png', scene.vis[..., ::-1])
    args.data_root, args.sets = str(folder), {PUBLISHED_SET: folder / 'test'}
    args.budgets, args.snapshots, args.seeds, args.calibrate = [0.5, 1.0], [0.2, 0.6], [0, 1], 12
    args.paper_steps = 2
    args.options = args.options | {'train_dataloader.batch_size': 2}
    args.paper_options = {'model.student.backbone.width': 4}
    for path, options in ((args.config, args.options), (args.paper_config, args.paper_options)):
        config = load_config(path)
        for i, step in enumerate(config.train_dataloader.dataset.pipeline):
            if step.type == 'RandomCropPair':
                options[f'train_dataloader.dataset.pipeline.{i}.size'] = 64
        for i, hook in enumerate(config.get('custom_hooks', [])):
            if hook.type == 'CropSizeHook':
                options[f'custom_hooks.{i}.sizes'] = [(0, 48), (0.5, 64)]


def make_header(args: argparse.Namespace) -> dict[str, Any]:
    """Everything that the figures depend on and do not show."""
    config = load_config(args.config, args.options, args.data_root)
    dataset = config.train_dataloader.dataset
    return dict(
        recipe=Path(args.config).name,
        options=args.options,
        data=dataset.get('data_root', dataset.type),
        sets={name: str(folder) for name, folder in args.sets.items()},
        pairs=args.pairs or 'all',
        seeds=args.seeds,
        protocol=get_protocol(PROTOCOL).key,
        threads=torch.get_num_threads(),
        cores=os.cpu_count(),
        machine=platform.machine(),
        device=torch.cuda.get_device_name() if torch.cuda.is_available() else 'cpu',
        torch=torch.__version__,
        load_before=[round(x, 2) for x in os.getloadavg()],
        clock='from before the recipe is read to the last step; images may be in the page cache of the system',
        quick='quick: the figures mean nothing' if args.quick else False,
    )


def main() -> None:
    """Train, measure paper B's steps, score, write."""
    args = parse_args()
    torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory() as scenes:
        if args.quick:
            make_quick(args, Path(scenes))
        header = make_header(args)
        print('\n'.join(f'{key}: {value}' for key, value in header.items()), flush=True)
        header['not counted'] = not_counted(args)
        students, trainings = run_budgets(args)
        paper = measure_paper(args) if args.paper_steps else None
        print('\n'.join(paper_lines(paper)), flush=True)
        header['load_after'] = [round(x, 2) for x in os.getloadavg()]
        model = load_config(args.config, args.options).model.student
        sets = {}
        for name, folder in args.sets.items():
            scores, references, pairs = score_students(students, model, folder, args.pairs, not args.no_seafusion)
            each = [s._asdict() | dict(scores=v) for s, v in zip(students, scores, strict=True)]
            for student in each:
                del student['state']
            sets[name] = dict(pairs=pairs, rows=summarise(students, scores), references=references, students=each)
        result = dict(header=header, trainings=trainings, paper=paper, sets=sets)
        args.out.mkdir(parents=True, exist_ok=True)
        for suffix, text in (('json', json.dumps(result, indent=1) + '\n'), ('md', to_markdown(result))):
            with atomic_path(args.out / f'time_to_quality.{suffix}') as temporary:
                temporary.write_text(text, encoding='utf-8')
        plot(result, args.out / 'time_to_quality.png')
    print('\n'.join(reached_lines(sets)))
    print(f'written to {args.out}')


if __name__ == '__main__':
    main()
