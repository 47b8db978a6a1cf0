"""Train a recipe at every point of a grid and rank the points on validation pairs.

  python tools/sweep.py configs/swift_hybridloss_msrs.py --preset hybridfusion --iters 100 --workers 2 --threads 1
  python tools/sweep.py configs/swift_hybridloss_msrs.py --grid param_scheduler.0.eta_max=3e-3,6e-3 --seeds 0,1

Every finished training is one line of points.jsonl at once; --resume goes on with the rest. At the end, and when it is
interrupted, it writes sweep.{md,csv,json}, winner.py and parallel_coordinates.png. See docs/sweep.md.
"""

import argparse
import csv
import io
import json
import math
import os
import platform
import shlex
import statistics
import sys
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config, DictAction

from fusionkd.engine.config import load_config
from fusionkd.engine.pool import run_tasks
from fusionkd.engine.records import plain, write_json
from fusionkd.engine.sweep import (
    METRICS,
    PRESETS,
    SCORES,
    Axis,
    Plan,
    Task,
    grid,
    parse_axes,
    point_options,
    preset_axes,
)
from fusionkd.evaluation.parallel_coordinates import plot_parallel_coordinates
from fusionkd.fileio import atomic_path

COLUMNS = (*METRICS, 'target', 'hybridfusion', 'balanced')
SHOWN = 20  # rows of the Markdown table
# What must be the same for two trainings to be ranked beside each other.
COMPARED = ('recipe', 'recipe_hash', 'iterations', 'protocol', 'val_names', 'val_crop')


def parse_args() -> argparse.Namespace:
    """Options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='recipe')
    parser.add_argument(
        '--grid', action='append', default=[], metavar='KEY=v1,v2', help='values of a dotted key; once for each key'
    )
    parser.add_argument('--preset', choices=PRESETS, help="hybridfusion: the 240 weights of paper B's loss search")
    parser.add_argument('--data-root', help='replaces the root of every data set in the recipe')
    parser.add_argument('--iters', type=int, help="iterations of a training; default the recipe's")
    parser.add_argument('--seeds', type=_ints, default=[0], metavar='0,1', help='trainings of a point; default 0')
    parser.add_argument('--score', choices=SCORES, default='balanced', help='what ranks; both are recorded')
    parser.add_argument('--val-pairs', type=int, default=16, help='validation pairs measured on, 0 all; default 16')
    parser.add_argument('--val-crop', type=int, default=256, help='side of their central square, 0 whole; default 256')
    parser.add_argument('--workers', type=int, default=1, help='processes; default 1')
    parser.add_argument('--threads', type=int, help='of each worker; default the cores shared among the workers')
    parser.add_argument('--limit', type=int, help='only this many points, the first of the order')
    parser.add_argument('--out', help='folder for the results; default work_dirs/<recipe>/sweep')
    parser.add_argument('--resume', action='store_true', help='go on in --out: finished points are not repeated')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, help='replace values at all points')
    args = parser.parse_args()
    args.out = Path(args.out or Path('work_dirs') / Path(args.config).stem / 'sweep')
    args.threads = args.threads or max((os.cpu_count() or 1) // max(args.workers, 1), 1)
    if min(args.workers, args.threads) < 1 or min(args.val_pairs, args.val_crop) < 0 or (args.iters or 1) < 1:
        parser.error('--workers, --threads and --iters start at 1, --val-pairs and --val-crop at 0')
    return args


def make_plan(args: argparse.Namespace) -> tuple[Plan, list[Axis]]:
    """What all points share, and the axes.

    Raises:
        ValueError: no axis, or one whose key the sweep sets itself, is given twice, or leads nowhere in the recipe.
    """
    fixed = dict(args.cfg_options or {}) | ({'train_cfg.max_iters': args.iters} if args.iters else {})
    plan = Plan(args.config, fixed, args.data_root, args.val_pairs, args.val_crop, args.threads)
    config = plan.load()
    axes = (preset_axes(args.preset, config) if args.preset else []) + parse_axes(args.grid)
    if not axes:
        raise ValueError('a sweep needs --grid or --preset')
    seen = set()
    for key in (key for axis in axes for key in axis.keys):
        if key in fixed or key in seen:
            raise ValueError(f'{key} has a value already, from --cfg-options, --iters or another axis')
        if key.split('.')[0].startswith(('val_', 'test_', 'randomness')):
            raise ValueError(f'{key}: every point is measured on the same pairs, and seeds are given with --seeds')
        _check_parent(config, key)
        seen.add(key)
    if len({axis.name for axis in axes}) < len(axes):
        axes = [Axis(axis.keys[0], axis.keys, axis.values) for axis in axes]
    plan.load(point_options(grid(axes)[0], axes))  # what no point can do is said now
    return plan, axes


def make_tasks(points: list[dict[str, Any]], axes: list[Axis], seeds: list[int]) -> list[Task]:
    """All points with the first seed, then all with the next."""
    return [Task(point, point_options(point, axes), seed) for seed in seeds for point in points]


def read_records(path: Path) -> list[dict[str, Any]]:
    """Lines of a record; a last one that was cut off is dropped."""
    records = []
    for line in path.read_text(encoding='utf-8').splitlines() if path.is_file() else []:
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            print(f'{path}: a broken line is left out', file=sys.stderr)
            continue
        if 'metrics' in record:
            record['metrics'] = {k: math.nan if v is None else v for k, v in record['metrics'].items()}
        records.append(record)
    return records


def begin(args: argparse.Namespace, header: dict[str, Any], axes: list[Axis]) -> dict[str, dict[str, Any]]:
    """Set up the folder; the records that count, by task, are those of trainings that did not fail.

    Raises:
        ValueError: the folder has another sweep's results, or results and no ``--resume``.
    """
    run_file, record_file = args.out / 'run.json', args.out / 'points.jsonl'
    records = {}
    if record_file.is_file():
        if not args.resume:
            raise ValueError(f'{record_file} is there already: give --resume or another --out')
        before = json.loads(run_file.read_text(encoding='utf-8'))
        differing = [key for key in COMPARED if before[key] != header[key]]
        if differing:
            raise ValueError(f'{args.out} has points of another sweep; it differs in {", ".join(differing)}')
        # Failed ones are tried again; options may have come from another grid, only those of this one are ranked.
        records = {r['task']: r for r in read_records(record_file) if 'metrics' in r}
    args.out.mkdir(parents=True, exist_ok=True)
    axes_text = {axis.name: dict(keys=axis.keys, values=axis.values) for axis in axes}
    write_json(run_file, header | dict(axes=axes_text))
    _write(record_file, ''.join(_json_line(r) for r in records.values()))
    return records


def sweep(args: argparse.Namespace, tasks: list[Task], plan: Plan, records: dict[str, dict]) -> bool:
    """Train what is missing, a line for each; False where it was interrupted."""
    left = [task for task in tasks if task.key not in records]
    done, spent = len(tasks) - len(left), []
    if done:
        print(f'{done} of {len(tasks)} trainings were done before')
    outcomes = run_tasks(left, plan, args.workers)
    try:
        with (args.out / 'points.jsonl').open('a', encoding='utf-8') as file:
            for task, outcome in outcomes:
                record = dict(task=task.key, point=task.point, options=task.options, seed=task.seed) | outcome
                file.write(_json_line(record))
                file.flush()
                os.fsync(file.fileno())
                records[task.key] = record
                done += 1
                spent.append(outcome['seconds'].get('total', 0))
                minutes = statistics.mean(spent) * (len(tasks) - done) / args.workers / 60
                print(f'[{done}/{len(tasks)}, {minutes:.0f} min left] {_line(record)}', flush=True)
    except KeyboardInterrupt:
        print('interrupted; --resume goes on', file=sys.stderr)
        return False
    finally:
        outcomes.close()
    return True


def rank(points: list[dict], tasks: list[Task], records: dict[str, dict], score: str) -> list[dict[str, Any]]:
    """Points that have been tried, best first: those that failed with some seed after all others, then by the score."""
    rows = []
    for point in points:
        trainings = [task for task in tasks if task.point == point]
        mine = [records[task.key] for task in trainings if task.key in records]
        good = [r for r in mine if 'metrics' in r]
        if not mine:
            continue
        row = dict(point=point, options=trainings[0].options, seeds=[r['seed'] for r in good])
        row['errors'] = [f'seed {r["seed"]}: {r["error"]}' for r in mine if 'error' in r]
        if good:
            row['mean'] = {m: statistics.mean(r['metrics'][m] for r in good) for m in COLUMNS}
            row['std'] = {m: statistics.pstdev([r['metrics'][m] for r in good]) for m in COLUMNS}
            row['seconds'] = {k: statistics.mean(r['seconds'][k] for r in good) for k in good[0]['seconds']}
        rows.append(row)
    rows.sort(key=lambda row: (bool(row['errors']), -row['mean'][score] if 'mean' in row else 0))
    return rows


def report(args: argparse.Namespace, axes: list[Axis], header: dict, rows: list[dict]) -> None:
    """Write the tables, the winner and the picture; print the winner."""
    ranked = [row for row in rows if 'mean' in row]
    winner = ranked[0] if ranked else None
    text = to_markdown(args, axes, header, rows)
    _write(args.out / 'sweep.md', text)
    _write(args.out / 'sweep.csv', to_csv(axes, rows))
    write_json(args.out / 'sweep.json', dict(settings=header, score=args.score, points=rows))
    if winner is None:
        print('no training succeeded; see points.jsonl', file=sys.stderr)
        return
    _write(args.out / 'winner.py', winner_config(args, winner, header))
    other = next(s for s in SCORES if s != args.score)
    plot_parallel_coordinates(
        {axis.name: axis.values for axis in axes},
        [row['point'] for row in ranked],
        {m: [row['mean'][m] for row in ranked] for m in ('VIF', 'Qabf', other, args.score)},
        args.out / 'parallel_coordinates.png',
        title=f'{header["recipe"]}, {len(ranked)} points of {header["iterations"]} iterations, {_measured(header)}',
    )
    print(f'\nbest by the {args.score} score: {_values(winner["point"])}: {_scores(winner["mean"])}')
    print(f'--cfg-options {cfg_options(all_options(args, winner, header))}\nwritten to {args.out}')


def to_markdown(args: argparse.Namespace, axes: list[Axis], header: dict, rows: list[dict]) -> str:
    """What was done, the best points, what each value does, and what failed."""
    ranked = [row for row in rows if 'mean' in row]
    names = [axis.name for axis in axes]
    lines = [f'# Sweep of {header["recipe"]}', '']
    options = all_options(args, ranked[0], header) if ranked else {}
    lines += [f'{len(ranked)} of {header["points"]} points, ranked by the {args.score} score. {_about(header)}', '']
    if ranked:
        lines += ['Best:', '', f'    --cfg-options {cfg_options(options)}', '']
        lines += [_row(['rank', *names, 'seeds', *COLUMNS, 'seconds']), '|' + '---:|' * (len(names) + len(COLUMNS) + 3)]
        for place, row in enumerate(ranked[:SHOWN], 1):
            values = [_text(row['point'][name]) for name in names]
            cells = [f'{row["mean"][m]:.4f}' + (f' ± {row["std"][m]:.4f}' * (len(row['seeds']) > 1)) for m in COLUMNS]
            lines.append(_row([place, *values, len(row['seeds']), *cells, f'{row["seconds"]["total"]:.1f}']))
        lines += ['', f'All points are in sweep.csv. What each value does to the {args.score} score:', '']
        lines += [_row(['setting', 'value', 'points', 'mean', 'best']), '|---|---:|---:|---:|---:|']
        for axis in axes:
            for value in axis.values:
                scores = [row['mean'][args.score] for row in ranked if row['point'][axis.name] == value]
                cells = [f'{statistics.mean(scores):.4f}', f'{max(scores):.4f}'] if scores else ['-', '-']
                lines.append(_row([axis.name, _text(value), len(scores), *cells]))
    failed = [(row, error) for row in rows for error in row['errors']]
    if failed:
        lines += ['', 'Failed:', '', *(f'- {_values(row["point"])}, {error}' for row, error in failed)]
    return '\n'.join(lines) + '\n'


def to_csv(axes: list[Axis], rows: list[dict]) -> str:
    """One line a point: rank, settings, seeds, means and deviations, seconds, error."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator='\n')
    columns = [c for m in COLUMNS for c in (m, f'{m}_std')]
    writer.writerow(['rank', *(axis.name for axis in axes), 'seeds', *columns, 'seconds', 'error'])
    for place, row in enumerate(rows, 1):
        cells = [row[kind][m] for m in COLUMNS for kind in ('mean', 'std')] if 'mean' in row else [''] * len(columns)
        values = [row['point'][axis.name] for axis in axes]
        seconds = row['seconds']['total'] if 'mean' in row else ''
        writer.writerow([place, *values, len(row['seeds']), *cells, seconds, '; '.join(row['errors'])])
    return text.getvalue()


def winner_config(args: argparse.Namespace, winner: dict, header: dict) -> str:
    """A recipe that inherits the swept one and has the winner's values; its length is the recipe's own."""
    base = load_config(args.config).to_dict()
    changed = load_config(args.config, all_options(args, winner, header)).to_dict()
    path = Path(os.path.relpath(Path(args.config).resolve(), args.out.resolve())).as_posix()
    return (
        f'# Best of {header["points"]} points by the {args.score} score: {_values(winner["point"])}.\n'
        f'# {_about(header)}\n'
        f'_base_ = {path!r}\n\n{Config(_changes(base, changed)).pretty_text}'
    )


def all_options(args: argparse.Namespace, row: dict, header: dict) -> dict[str, Any]:
    """Options of a point and those of the whole sweep, but not the length of its trainings."""
    fixed = {key: v for key, v in header['options'].items() if not (args.iters and key == 'train_cfg.max_iters')}
    return fixed | row['options']


def cfg_options(options: dict[str, Any]) -> str:
    """Options as ``--cfg-options`` takes them."""
    return ' '.join(shlex.quote(f'{key}={_text(value)}') for key, value in options.items())


def _changes(base: dict, changed: dict) -> dict:
    """What a config must say to become ``changed`` when it inherits ``base``; lists are replaced as a whole."""
    if base.keys() - changed.keys():
        return {**changed, '_delete_': True}
    result = {}
    for key, value in changed.items():
        if key in base and isinstance(value, dict) and isinstance(base[key], dict) and base[key] != value:
            result[key] = _changes(base[key], value)
        elif key not in base or base[key] != value:
            result[key] = value
    return result


def _check_parent(config: Config, key: str) -> None:
    """Refuse a key whose parent is not there: it would be added and change nothing."""
    node: Any = config
    *parents, last = key.split('.')
    for part in parents:
        try:
            node = node[int(part)] if isinstance(node, list | tuple) else node[part]
        except (KeyError, IndexError, ValueError, TypeError):
            raise ValueError(f'{key}: the recipe has no {part!r} there') from None
    if not isinstance(node, dict | list | Config) or (not parents and last not in node):
        raise ValueError(f'{key}: the recipe has no such place')


def _about(header: dict) -> str:
    return (
        f'{header["iterations"]} iterations a training, seeds {", ".join(map(str, header["seeds"]))}; '
        f'{_measured(header)}, protocol {header["protocol"]}; {header["workers"]} worker(s) of '
        f'{header["threads"]} thread(s) on {header["cores"]} cores, torch {header["torch"]}.'
    )


def _measured(header: dict) -> str:
    size = f'central {header["val_crop"]} x {header["val_crop"]} of ' if header['val_crop'] else ''
    return f'measured on the {size}{len(header["val_names"])} validation pairs'


def _line(record: dict) -> str:
    name = f'{_values(record["point"])}, seed {record["seed"]}'
    if 'error' in record:
        return f'{name}: FAILED: {record["error"]}'
    return f'{name}: {_scores(record["metrics"])} ({record["seconds"]["total"]:.1f} s)'


def _scores(metrics: dict) -> str:
    return ', '.join(f'{m} {metrics[m]:.3f}' for m in ('VIF', 'Qabf', 'target', *SCORES))


def _values(point: dict) -> str:
    return ', '.join(f'{name} {_text(value)}' for name, value in point.items())


def _text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ('[{}]' if isinstance(value, list) else '({})').format(','.join(map(_text, value)))
    return str(value)


def _row(cells: list) -> str:
    return f'| {" | ".join(map(str, cells))} |'


def _json_line(record: dict) -> str:
    return json.dumps(plain(record)) + '\n'


def _ints(text: str) -> list[int]:
    return [int(x) for x in text.split(',')]


def _write(path: Path, text: str) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding='utf-8')


def main() -> int:
    """Sweep and report; the exit status is 1 if something was wrong, a training failed or it was interrupted."""
    args = parse_args()
    torch.set_num_threads(1)
    try:
        plan, axes = make_plan(args)
        points = grid(axes)[: args.limit]
        tasks = make_tasks(points, axes, args.seeds)
        header = plan.describe() | dict(
            data_root=args.data_root,
            points=len(points),
            seeds=args.seeds,
            options=plan.options,
            workers=args.workers,
            threads=args.threads,
            cores=os.cpu_count(),
            machine=platform.machine(),
            torch=torch.__version__,
        )
        records = begin(args, header, axes)
        print(f'{len(tasks)} trainings of {header["recipe"]}: {_about(header)}', flush=True)
        complete = sweep(args, tasks, plan, records)
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    rows = rank(points, tasks, records, args.score)
    if rows:
        report(args, axes, header, rows)
    return 0 if complete and rows and not any(row['errors'] for row in rows) else 1


if __name__ == '__main__':
    sys.exit(main())
