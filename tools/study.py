"""Train the arms of a study with several seeds and compare what comes out, on one page.

  python tools/study.py configs/study/agents_msrs.py --data-root data/MSRS --seeds 0,1,2,3,4 --workers 2 \
      --set MSRS=data/MSRS/test --set TNO=data/TNO --out work_dirs/study

Every finished run is a folder with run.json, the student and, of an agent, its decisions; --resume goes on with the rest. At
the end, and when it is interrupted, it writes study.md with its figures and study.json. See docs/agents.md.
"""

import argparse
import json
import math
import os
import platform
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.config import DictAction

from fusionkd.engine.config import load_config
from fusionkd.engine.pool import run_tasks
from fusionkd.engine.records import digest, write_json
from fusionkd.engine.study import (
    CLEAN,
    COLUMNS,
    TEACHER,
    VALIDATION,
    StudyPlan,
    StudyTask,
    agent_hook_config,
    build_teachers,
    learns,
)
from fusionkd.evaluation.significance import PairedTest, compare_pairs
from fusionkd.fileio import atomic_path
from fusionkd.rl.plots import plot_differences, plot_runs

RULED = 'balanced'  # the metric that decides
DEGRADED = 'degraded'  # the mean over all kinds of degradation


def parse_args() -> argparse.Namespace:
    """Options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='recipe with arms, such as configs/study/agents_msrs.py')
    parser.add_argument('--arms', type=_names, metavar='A,B', help="default all of the config's")
    parser.add_argument('--seeds', type=_ints, default=[0, 1, 2, 3, 4], metavar='0,1', help='default 0,1,2,3,4')
    parser.add_argument('--data-root', help='replaces the root of every data set in the recipe')
    parser.add_argument('--set', action='append', default=[], type=_set, metavar='NAME=DIR', help='with DIR/ir, DIR/vi')
    parser.add_argument('--pairs', type=int, default=20, help='of each set, spread evenly, 0 all; default 20')
    parser.add_argument(
        '--crop', type=int, default=0, help='side of the central square scored; default 0, whole images'
    )
    parser.add_argument('--policy', help='policy file of the arms that start from one')
    parser.add_argument('--out', type=Path, help='folder of the study; default work_dirs/<config>')
    parser.add_argument('--workers', type=int, default=1, help='processes; default 1')
    parser.add_argument('--threads', type=int, help='of each worker; default the cores shared among the workers')
    parser.add_argument('--resume', action='store_true', help='go on in --out: finished runs are not repeated')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, help='replace values in all arms')
    args = parser.parse_args()
    args.out = args.out or Path('work_dirs') / Path(args.config).stem
    args.threads = args.threads or max((os.cpu_count() or 1) // max(args.workers, 1), 1)
    if min(args.workers, args.threads) < 1 or min(args.pairs, args.crop) < 0:
        parser.error('--workers and --threads start at 1, --pairs and --crop at 0')
    return args


def make_plan(args: argparse.Namespace) -> tuple[StudyPlan, dict[str, dict[str, Any]]]:
    """What the runs share, and the options of the arms.

    Raises:
        ValueError: no arms, unknown ones, no test set, or arms that cannot be compared.
    """
    config = load_config(args.config)
    arms = config.get('arms', {})
    wanted = args.arms or list(arms)
    unknown = [name for name in wanted if name not in arms]
    if unknown or not wanted:
        raise ValueError(f'unknown arms {unknown}; {args.config} has: {", ".join(arms) or "none"}')
    if not args.set:
        raise ValueError('a study needs test sets: --set NAME=DIR')
    study = config.get('study', {})
    plan = StudyPlan(
        args.config,
        str(args.out),
        dict(args.cfg_options or {}),
        args.data_root,
        dict(args.set),
        args.pairs,
        args.crop,
        {kind: tuple(ops) for kind, ops in study.get('unseen', {}).items()},
        study.get('strength', 0.5),
        args.threads,
    )
    chosen = {}
    for name in wanted:
        options = arms[name].to_dict()
        policies = [key for key in options if key.endswith('init_from')]
        chosen[name] = options | (dict.fromkeys(policies, args.policy) if args.policy else {})
    plan.check(chosen)
    return plan, chosen


def begin(args: argparse.Namespace, header: dict[str, Any], tasks: Sequence[StudyTask]) -> dict[StudyTask, dict]:
    """Set up the folder and find what is finished.

    Raises:
        ValueError: the folder has another study's runs, runs of an arm that was changed, or runs and no ``--resume``.
    """
    path = args.out / 'header.json'
    if path.is_file():
        before = json.loads(path.read_text(encoding='utf-8'))
        differing = [key for key, value in header['compared'].items() if before['compared'].get(key) != value]
        if differing:
            raise ValueError(f'{args.out} has runs of another study; it differs in {", ".join(differing)}')
        if not args.resume:
            raise ValueError(f'{args.out} has runs already: give --resume or another --out')
    write_json(path, header)
    records = {}
    for task in tasks:
        file = args.out / task.folder / 'run.json'
        if not file.is_file():
            continue
        record = json.loads(file.read_text(encoding='utf-8'))
        if record['options'] != digest(task.options):
            raise ValueError(
                f'{file} is of an arm {task.arm!r} that was changed since: remove its folder to train it again'
            )
        records[key_of(task)] = record
    return records


def key_of(task: StudyTask) -> tuple[str, int]:
    """What tells a run from the others."""
    return task.arm, task.seed


def run(args: argparse.Namespace, plan: StudyPlan, tasks: Sequence[StudyTask], records: dict) -> tuple[bool, list[str]]:
    """Run what is missing; whether all was tried, and what failed."""
    left = [task for task in tasks if key_of(task) not in records]
    if len(left) < len(tasks):
        print(f'{len(tasks) - len(left)} of {len(tasks)} runs were done before')
    outcomes, spent, failed = run_tasks(left, plan, args.workers), [], []
    try:
        for task, outcome in outcomes:
            name = f'{task.arm}, seed {task.seed}'
            spent.append(outcome['seconds'].get('total', 0.0))
            minutes = statistics.mean(spent) * (len(left) - len(spent)) / args.workers / 60
            head = f'[{len(tasks) - len(left) + len(spent)}/{len(tasks)}, {minutes:.0f} min left] {name}'
            if 'error' in outcome:
                failed.append(f'{name}: {outcome["error"]}')
                print(f'{head}: FAILED: {outcome["error"]}', flush=True)
                continue
            records[key_of(task)] = json.loads((args.out / task.folder / 'run.json').read_text(encoding='utf-8'))
            shown = ', '.join(f'{s} {v["clean"][RULED]:.4f}' for s, v in outcome['scores'].items())
            print(f'{head}: {shown} ({spent[-1]:.0f} s)', flush=True)
    except KeyboardInterrupt:
        print('interrupted; --resume goes on', file=sys.stderr)
        return False, failed
    finally:
        outcomes.close()
    return True, failed


class Results:
    """Finished runs, asked for by arm, set and kind.

    Args:
        records: of the runs, by arm and seed.
        learners: arms that learn.
    """

    def __init__(self, records: Mapping[tuple[str, int], dict], learners: Sequence[str]):
        self.records = records
        self.all = list(dict.fromkeys(arm for arm, _ in records))
        self.arms = [arm for arm in self.all if not arm.startswith(TEACHER)]
        self.learners = [arm for arm in self.arms if arm in learners]
        self.schedules = [arm for arm in self.arms if arm not in learners]
        first = next(iter(records.values()))['scores']
        self.places = [(name, kind) for name in first if name != VALIDATION for kind in first[name]]
        self.kinds = list(next(iter(first.values())))
        self.has_validation = VALIDATION in first

    def values(self, arm: str, place: tuple[str, str], metric: str) -> dict[int, float]:
        """By seed, where the metric is defined."""
        name, kind = place
        if kind == DEGRADED:
            kinds = [self.values(arm, (name, k), metric) for k in self.kinds if k != CLEAN]
            seeds = set.intersection(*(set(found) for found in kinds))
            return {seed: statistics.mean(found[seed] for found in kinds) for seed in sorted(seeds)}
        found = {seed: r['scores'][name][kind][metric] for (a, seed), r in self.records.items() if a == arm}
        return {seed: value for seed, value in found.items() if value is not None}

    def mean(self, arm: str, place: tuple[str, str], metric: str = RULED) -> float:
        """Over the seeds; nan without any."""
        values = list(self.values(arm, place, metric).values())
        return statistics.mean(values) if values else math.nan

    def best(self, arms: Sequence[str]) -> str | None:
        """The one with the best balanced score on validation pairs, or on the test sets where there are none."""
        places = [(VALIDATION, kind) for kind in self.kinds] if self.has_validation else self.places
        return max(arms, key=lambda arm: statistics.mean(self.mean(arm, p) for p in places), default=None)

    def compare(self, first: str, second: str, place: tuple[str, str], metric: str = RULED) -> PairedTest | None:
        """Paired test over the seeds that both have, or ``None``."""
        a, b = self.values(first, place, metric), self.values(second, place, metric)
        seeds = sorted(a.keys() & b.keys())
        return compare_pairs([a[s] for s in seeds], [b[s] for s in seeds]) if seeds else None

    def seconds(self, arm: str, kind: str) -> list[float]:
        """Of the runs of an arm."""
        return [r['seconds'][kind] for (a, _), r in self.records.items() if a == arm and kind in r['seconds']]


def to_markdown(header: dict[str, Any], results: Results, failed: Sequence[str], figures: Sequence[str]) -> str:
    """The page."""
    compared = header['compared']
    lines = [f'# Study: {Path(header["config"]).name}', '']
    lines += [
        f'{len(results.arms)} arms, seeds {", ".join(map(str, header["seeds"]))}, {compared["iterations"]} iterations each '
        f'on the same data. Scored on {compared["pairs"] or "all"} pairs of each set'
        + (f', central {compared["crop"]} x {compared["crop"]}' if compared['crop'] else '')
        + ''.join(f'; {kind}: with {", ".join(ops)}' for kind, ops in compared['unseen'].items())
        + (f' at strength {compared["strength"]}, none of ' if compared['unseen'] else '. ')
        + ('which any arm meets in training, against the clean sources. ' if compared['unseen'] else '')
        + 'Numbers are means ± standard deviations over seeds; raw values are in study.json and runs/.',
        '',
        f'{header["workers"]} worker(s) of {header["threads"]} thread(s) on {header["cores"]} cores, '
        f'torch {header["torch"]}.',
        '',
        *_verdict(results),
        '',
        '## Balanced score, all sets',
        '',
        *_summary(results),
    ]
    for place in results.places:
        lines += ['', f'## {place[0]}, {place[1]}', '', *_table(results, place)]
    lines += ['', '## Training time', '', *_times(results)]
    for name in figures:
        lines += ['', f'![{name}]({name})']
    if failed:
        lines += ['', '## Failed', '', *(f'- {line}' for line in failed)]
    return '\n'.join(lines) + '\n'


def _verdict(results: Results) -> list[str]:
    learner, schedule = results.best(results.learners), results.best(results.schedules)
    lines = ['## The best learning agent against the best schedule', '']
    if learner is None or schedule is None:
        return [*lines, 'There is no learning agent or no schedule among the arms.']
    chosen = 'validation pairs' if results.has_validation else 'the test sets themselves, which flatters both'
    lines += [
        f'**{learner}** against **{schedule}**, each the best of its kind on {chosen}; balanced score, paired over seeds.'
    ]
    lines += [
        '',
        _row(['set', 'seeds', learner, schedule, 'difference ± s.e.', 'p (t)', 'p (sign flips)', 'better']),
        '|---' * 8 + '|',
    ]
    ahead: dict[str, list[bool]] = {}
    names = list(dict.fromkeys(name for name, _ in results.places))
    pooled = [(name, DEGRADED) for name in names] if len(results.kinds) > 2 else []
    for place in [*results.places, *pooled]:
        test = results.compare(learner, schedule, place)
        if test is None:
            continue
        better = test.difference > test.error if test.count > 1 else False
        ahead.setdefault(place[1], []).append(better)
        lines.append(
            _row(
                [
                    f'{place[0]}, {place[1]}',
                    test.count,
                    f'{results.mean(learner, place):.4f}',
                    f'{results.mean(schedule, place):.4f}',
                    f'{test.difference:+.4f} ± {test.error:.4f}',
                    f'{test.p_t:.3f}',
                    f'{test.p_flip:.3f}',
                    'yes' if better else 'no',
                ]
            )
        )
    counts = ', '.join(f'{sum(found)} of {len(found)} {kind} sets' for kind, found in ahead.items())
    return [*lines, '', f'The agent is ahead by more than the standard error on {counts}.']


def _summary(results: Results) -> list[str]:
    kinds = {kind: [p for p in results.places if p[1] == kind] for kind in results.kinds}
    lines = [_row(['arm', *map(', '.join, results.places), *(f'mean, {kind}' for kind in kinds)])]
    lines.append('|---|' + '---:|' * (len(results.places) + len(kinds)))

    def mean(arm: str, places: Sequence[tuple[str, str]]) -> float:
        return statistics.mean(results.mean(arm, p) for p in places)

    for arm in sorted(results.arms, key=lambda arm: -mean(arm, results.places)):
        values = [results.mean(arm, p) for p in results.places] + [mean(arm, places) for places in kinds.values()]
        label = arm + (' (learns)' if arm in results.learners else '')
        lines.append(_row([label, *(f'{value:.4f}' for value in values)]))
    return lines


def _table(results: Results, place: tuple[str, str]) -> list[str]:
    schedule = results.best(results.schedules)
    lines = [_row(['arm', *COLUMNS, f'over {schedule}']), '|---|' + '---:|' * (len(COLUMNS) + 1)]
    arms = sorted(results.arms, key=lambda arm: -results.mean(arm, place))
    for arm in [*arms, *(a for a in results.all if a.startswith(TEACHER))]:
        cells = []
        for metric in COLUMNS:
            values = list(results.values(arm, place, metric).values())
            spread = f' ± {statistics.stdev(values):.4f}' if len(values) > 1 else ''
            cells.append(f'{statistics.mean(values):.4f}{spread}' if values else '-')
        over = '-'
        if schedule is not None and arm != schedule and not arm.startswith(TEACHER):
            test = results.compare(arm, schedule, place)
            over = f'{test.difference:+.4f} (p {test.p_t:.3f}, {test.p_flip:.3f})' if test else '-'
        lines.append(_row([arm + (' (learns)' if arm in results.learners else ''), *cells, over]))
    return lines


def _times(results: Results) -> list[str]:
    lines = [_row(['arm', 'seconds', 'CPU seconds', 'CPU, relative']), '|---|---:|---:|---:|']
    base = results.seconds(results.arms[0], 'training_cpu')
    for arm in results.arms:
        wall, cpu = (results.seconds(arm, kind) for kind in ('training', 'training_cpu'))
        cells = [
            f'{statistics.mean(x):.1f}' + (f' ± {statistics.stdev(x):.1f}' if len(x) > 1 else '') for x in (wall, cpu)
        ]
        lines.append(_row([arm, *cells, f'{statistics.mean(cpu) / statistics.mean(base):.2f}']))
    return lines


def draw(args: argparse.Namespace, results: Results) -> list[str]:
    """Pictures of decisions and of differences; their names."""
    figures = []
    for kind, arms in (('learners', results.learners), ('schedules', results.schedules)):
        runs = {}
        for arm in arms:
            files = [args.out / StudyTask(a, seed).folder / 'agent.jsonl' for a, seed in results.records if a == arm]
            runs[arm] = [_decisions(file) for file in files if file.is_file()]
        if any(runs.values()):
            plot_runs(runs, args.out / f'decisions_{kind}.png')
            figures.append(f'decisions_{kind}.png')
    schedule = results.best(results.schedules)
    if schedule is not None and len(results.arms) > 1:
        tests = {
            arm: {', '.join(place): results.compare(arm, schedule, place) for place in results.places}
            for arm in results.arms
            if arm != schedule
        }
        rows = {arm: {p: (t.difference, t.error) for p, t in found.items() if t} for arm, found in tests.items()}
        plot_differences(rows, args.out / 'differences.png', f'balanced score over {schedule} (mean, standard error)')
        figures.append('differences.png')
    return figures


def _decisions(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding='utf-8').splitlines()]


def _row(cells: Sequence[Any]) -> str:
    return f'| {" | ".join(map(str, cells))} |'


def _ints(text: str) -> list[int]:
    return [int(x) for x in text.split(',')]


def _names(text: str) -> list[str]:
    return text.split(',')


def _set(text: str) -> tuple[str, str]:
    name, equals, folder = text.partition('=')
    if not name or not equals or not folder or name == VALIDATION:
        raise argparse.ArgumentTypeError(f'expected NAME=DIR, got {text!r}')
    return name, folder


def main() -> int:
    """Train, score and report; the exit status is 1 if something failed or was interrupted."""
    args = parse_args()
    torch.set_num_threads(1)
    try:
        plan, arms = make_plan(args)
        base = plan.load()
        tasks = [StudyTask(f'{TEACHER}{name}', 0) for name in build_teachers(base)]
        tasks += [StudyTask(arm, seed, options) for seed in args.seeds for arm, options in arms.items()]
        header = dict(
            config=args.config,
            compared=plan.describe(),
            data_root=args.data_root,
            arms=arms,
            learners=[arm for arm, options in arms.items() if learns(plan.load(options))],
            agents={arm: (agent_hook_config(plan.load(o)) or {}).get('agent') for arm, o in arms.items()},
            seeds=args.seeds,
            folders=dict(args.set),
            workers=args.workers,
            threads=args.threads,
            cores=os.cpu_count(),
            machine=platform.machine(),
            torch=torch.__version__,
        )
        records = begin(args, header, tasks)
        print(f'{len(tasks)} runs of {", ".join(arms)}', flush=True)
        complete, failed = run(args, plan, tasks, records)
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    if any(not arm.startswith(TEACHER) for arm, _ in records):
        results = Results({key_of(t): records[key_of(t)] for t in tasks if key_of(t) in records}, header['learners'])
        figures = draw(args, results)
        write_json(args.out / 'study.json', dict(header=header, runs=list(records.values())))
        with atomic_path(args.out / 'study.md') as temporary:
            temporary.write_text(to_markdown(header, results, failed, figures), encoding='utf-8')
        print(f'written to {args.out}/study.md')
    return 0 if complete and not failed else 1


if __name__ == '__main__':
    sys.exit(main())
