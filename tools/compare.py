"""Train the arms of a recipe with several seeds and compare what comes out, in one table.

  python tools/compare.py configs/kdrl/kdrl_rsscn7.py --data-root data/RSSCN7
  python tools/compare.py configs/ril/ril_fusion_msrs.py --data-root data/MSRS

The recipe says in `arms` what is compared, and in `study` what is trained before (`first`, recipes beside it, unless their
students are there), what is scored without training (`beside`: `start`, the student as the recipe begins with it and the
default, or `teacher: NAME`), which numbers the table has (`columns`, factor and digits; the first one decides), weights of
a column `mean`, and `updates` of the student, equal for all arms, where their lengths should differ by what a discriminator
costs. Every finished run is a folder with run.json and the student; the same command goes on where it was stopped. At the
end, and when it is interrupted, it writes table.md and table.json. Agents are compared by study.py.
"""

import argparse
import itertools
import json
import math
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.config import DictAction

from fusionkd.engine.comparison import START, ComparisonPlan, summarise
from fusionkd.engine.config import load_config
from fusionkd.engine.pool import run_tasks
from fusionkd.engine.records import digest, write_json
from fusionkd.engine.study import TEACHER, StudyTask
from fusionkd.evaluation.significance import PairedTest, compare_pairs
from fusionkd.fileio import atomic_path

MEAN = 'mean'


def parse_args() -> argparse.Namespace:
    """Options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', type=Path, help='recipe with arms, such as configs/kdrl/kdrl_rsscn7.py')
    parser.add_argument('--arms', type=lambda text: text.split(','), metavar='A,B', help="default all of the config's")
    parser.add_argument('--seeds', type=lambda text: [int(x) for x in text.split(',')], default=[0, 1, 2])
    parser.add_argument('--data-root', help='replaces the root of every data set in the recipes')
    parser.add_argument('--out', type=Path, help='folder of the study; default work_dirs/<config>_study')
    parser.add_argument('--workers', type=int, default=1, help='processes; default 1')
    parser.add_argument('--threads', type=int, default=1, help='of each worker; default 1')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, help='replace values in all arms')
    args = parser.parse_args()
    args.out = args.out or Path('work_dirs') / f'{args.config.stem}_study'
    return args


def train_first(args: argparse.Namespace, recipes: list[str]) -> None:
    """Train what the arms begin with or learn from, unless it is there.

    Raises:
        RuntimeError: a training failed.
    """
    for name in recipes:
        folder = Path('work_dirs') / Path(name).stem
        if (folder / 'student_best.pth').is_file():
            continue
        command = [sys.executable, str(Path(__file__).with_name('train.py')), str(args.config.parent / name)]
        command += ['--data-root', args.data_root] if args.data_root else []
        print(f'training {name} first', flush=True)
        environment = os.environ | dict(OMP_NUM_THREADS=str(args.threads))
        if subprocess.run(command, check=False, env=environment).returncode:
            raise RuntimeError(f'{name} could not be trained; see {folder}')


def run_study(args: argparse.Namespace) -> tuple[ComparisonPlan, dict[str, dict[int, dict]]]:
    """Train what is not there yet; the plan, and outcomes by arm and seed.

    Raises:
        ValueError: no arms, unknown ones, or a folder that holds another study.
    """
    config = load_config(args.config, args.cfg_options)
    arms, study = config.get('arms') or {}, config.get('study') or {}
    unknown = [name for name in args.arms or () if name not in arms]
    if unknown or not arms:
        raise ValueError(f'unknown arms {unknown}; {args.config} has: {", ".join(arms) or "none"}')
    wanted = {name: dict(arms[name]) for name in args.arms or arms}
    train_first(args, study.get('first', []))
    options = {**study.get('options', {}), **(args.cfg_options or {})}
    plan = ComparisonPlan(str(args.config), str(args.out), options, args.data_root, args.threads)
    plan.check(wanted)
    header, path = plan.describe(), args.out / 'study.json'
    if path.is_file() and json.loads(path.read_text(encoding='utf-8')) != header:
        raise ValueError(f'{args.out} holds another study than {header}; give another --out')
    write_json(path, header)
    beside = study.get('beside', START)
    tasks = [StudyTask(beside, 0)]
    tasks += [StudyTask(arm, seed, options) for seed in args.seeds for arm, options in wanted.items()]
    outcomes: dict[str, dict[int, dict]] = {arm: {} for arm in (beside, *wanted)}
    left = []
    for task in tasks:
        found = args.out / task.folder / 'run.json'
        record = json.loads(found.read_text(encoding='utf-8')) if found.is_file() else None
        if record is None:
            left.append(task)
        elif record['options'] != digest(task.options):
            raise ValueError(f'{found} is of an arm that was changed since: remove its folder to train it again')
        else:
            outcomes[task.arm][task.seed] = record
    print(f'{len(left)} of {len(tasks)} runs to do', flush=True)
    try:
        for task, outcome in run_tasks(left, plan, args.workers):
            if 'error' in outcome:
                print(f'{task.arm}, seed {task.seed}: FAILED: {outcome["error"]}', flush=True)
                continue
            if study.get(MEAN):
                scores = outcome['scores']
                scores[MEAN] = sum(weight * scores[name] for name, weight in study[MEAN].items())
            write_json(args.out / task.folder / 'run.json', outcome | dict(options=digest(task.options)))
            outcomes[task.arm][task.seed] = outcome
            shown = ', '.join(f'{name} {outcome["scores"][name]:.4f}' for name in study['columns'])
            print(f'{task.arm}, seed {task.seed}: {shown} ({outcome["seconds"]["total"]:.0f} s)', flush=True)
    except KeyboardInterrupt:
        print('interrupted; the same command goes on', flush=True)
    return plan, outcomes


def to_markdown(columns: Mapping[str, tuple], length: str, outcomes: Mapping[str, Mapping[int, dict]]) -> str:
    """The table: mean and standard error over the seeds, and the difference of each arm to every one before it."""
    lines = [f'| arm | seeds | {" | ".join(columns)} | CPU s a run |', f'|---|---:|{"---:|" * (len(columns) + 1)}']
    done = {arm: runs for arm, runs in outcomes.items() if runs}
    for arm, runs in done.items():
        cells = [_cell([run['scores'][name] for run in runs.values()], *columns[name]) for name in columns]
        seconds = [run['seconds']['training_cpu'] for run in runs.values() if 'training_cpu' in run['seconds']]
        cost = f'{summarise(seconds)[0]:.0f}' if seconds else ''
        lines.append(f'| {arm} | {len(runs)} | {" | ".join(cells)} | {cost} |')
    lines += ['', f'{length} a run; mean ± standard error over the seeds.', '']
    ruling = next(iter(columns))
    lines += [f'| difference | {" | ".join(columns)} | p (t) of {ruling} | seeds above |']
    lines += ['|---|' + '---:|' * (len(columns) + 2)]
    trained = [arm for arm in done if not arm.startswith(TEACHER)]
    for before, arm in itertools.combinations(trained, 2):
        seeds = sorted(done[arm] if before == START else set(done[before]) & set(done[arm]))
        if not seeds:
            continue
        pairs = {
            name: [[done[x][0 if x == START else s]['scores'][name] for s in seeds] for x in (arm, before)]
            for name in columns
        }
        tests = {name: compare_pairs(*pair) for name, pair in pairs.items()}
        cells = [_difference(test, *columns[name]) for name, test in tests.items()]
        above = sum(
            done[arm][s]['scores'][ruling] > done[before][0 if before == START else s]['scores'][ruling] for s in seeds
        )
        lines.append(f'| {arm} - {before} | {" | ".join(cells)} | {tests[ruling].p_t:.3f} | {above} of {len(seeds)} |')
    return '\n'.join(lines) + '\n'


def _difference(test: PairedTest, factor: float, digits: int) -> str:
    error = '' if math.isnan(test.error) else f' ± {factor * test.error:.{digits}f}'
    return f'{factor * test.difference:+.{digits}f}{error}'


def _cell(values: list[float], factor: float, digits: int) -> str:
    mean, error = summarise([factor * v for v in values])
    return f'{mean:.{digits}f}' + ('' if math.isnan(error) else f' ± {error:.{digits}f}')


def main() -> int:
    """Study and report; the exit status is 1 if something was wrong or a run failed."""
    args = parse_args()
    try:
        plan, outcomes = run_study(args)
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    columns: dict[str, Any] = load_config(args.config).study.columns
    about = plan.describe()
    length = f'{about["updates"]} updates of the student' if 'updates' in about else f'{about["iterations"]} iterations'
    text = to_markdown(columns, length, outcomes)
    with atomic_path(args.out / 'table.md') as temporary:
        temporary.write_text(text, encoding='utf-8')
    write_json(args.out / 'table.json', outcomes)
    print(f'\n{text}\nwritten to {args.out}')
    return 0 if all(len(runs) >= len(args.seeds) for runs in list(outcomes.values())[1:]) else 1


if __name__ == '__main__':
    sys.exit(main())
