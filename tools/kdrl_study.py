"""Train the arms of a recognition recipe with several seeds and compare what comes out, in one table.

  python tools/kdrl_study.py configs/kdrl/kdrl_rsscn7.py --data-root data/RSSCN7 --teacher configs/kdrl/kdrl_rsscn7_teacher.py

Every finished run is a folder with run.json and the student; the same command goes on where it was stopped. At the end, and
when it is interrupted, it writes table.md and table.json. With --teacher, a teacher that is not there is trained first.
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

from fusionkd.engine.config import load_config
from fusionkd.engine.pool import run_tasks
from fusionkd.engine.recognition_study import RecognitionPlan, summarise
from fusionkd.engine.records import write_json
from fusionkd.engine.study import TEACHER, StudyTask
from fusionkd.evaluation.significance import compare_pairs
from fusionkd.fileio import atomic_path

COLUMNS = {'top1': (100, 2), 'ece': (100, 2), 'nll': (1, 4)}  # factor and digits in the table


def parse_args() -> argparse.Namespace:
    """Options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='recipe with arms, such as configs/kdrl/kdrl_rsscn7.py')
    parser.add_argument('--teacher', help="the teacher's recipe, trained first if its weights are not there")
    parser.add_argument('--arms', type=lambda text: text.split(','), metavar='A,B', help="default all of the config's")
    parser.add_argument('--seeds', type=lambda text: [int(x) for x in text.split(',')], default=[0, 1, 2])
    parser.add_argument('--data-root', help='replaces the root of every data set in the recipe')
    parser.add_argument('--out', type=Path, help='folder of the study; default work_dirs/<config>_study')
    parser.add_argument('--workers', type=int, default=1, help='processes; default 1')
    parser.add_argument('--threads', type=int, default=1, help='of each worker; default 1')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, help='replace values in all arms')
    args = parser.parse_args()
    args.out = args.out or Path('work_dirs') / f'{Path(args.config).stem}_study'
    return args


def train_teacher(args: argparse.Namespace) -> None:
    """Train the teacher by its recipe unless its weights are there.

    Raises:
        RuntimeError: the training failed.
    """
    weights = Path(load_config(args.config, args.cfg_options).model.teacher.init_cfg.checkpoint)
    if weights.is_file() or not args.teacher:
        return
    command = [
        sys.executable,
        str(Path(__file__).with_name('train.py')),
        args.teacher,
        '--work-dir',
        str(weights.parent),
    ]
    command += ['--data-root', args.data_root] if args.data_root else []
    resume = ['--resume'] if (weights.parent / 'last_checkpoint').is_file() else []
    print(f'training the teacher first: {" ".join(command)}', flush=True)
    environment = os.environ | dict(OMP_NUM_THREADS=str(args.threads))
    if subprocess.run([*command, *resume], check=False, env=environment).returncode or not weights.is_file():
        raise RuntimeError(f'the teacher could not be trained: {weights} is not there')


def run_study(args: argparse.Namespace) -> tuple[RecognitionPlan, dict[str, dict], dict[str, dict[int, dict]]]:
    """Train what is not there yet; plan, arms, and outcomes by arm and seed.

    Raises:
        ValueError: no arms, unknown ones, or a folder that holds another study.
    """
    arms = load_config(args.config, args.cfg_options).get('arms') or {}
    unknown = [name for name in args.arms or () if name not in arms]
    if unknown or not arms:
        raise ValueError(f'unknown arms {unknown}; {args.config} has: {", ".join(arms) or "none"}')
    plan = RecognitionPlan(args.config, str(args.out), args.cfg_options or {}, args.data_root, args.threads)
    wanted = {name: dict(arms[name]) for name in args.arms or arms}
    plan.check(wanted)
    header, path = plan.describe(), args.out / 'study.json'
    if path.is_file() and json.loads(path.read_text(encoding='utf-8')) != header:
        raise ValueError(f'{args.out} holds another study than {header}; give another --out')
    write_json(path, header)
    tasks = [StudyTask(TEACHER + 'teacher', 0)]
    tasks += [StudyTask(arm, seed, options) for seed in args.seeds for arm, options in wanted.items()]
    outcomes: dict[str, dict[int, dict]] = {}
    left = []
    for task in tasks:
        found = args.out / task.folder / 'run.json'
        if found.is_file():
            outcomes.setdefault(task.arm, {})[task.seed] = json.loads(found.read_text(encoding='utf-8'))
        else:
            left.append(task)
    print(f'{len(left)} of {len(tasks)} runs to do', flush=True)
    try:
        for task, outcome in run_tasks(left, plan, args.workers):
            if 'error' in outcome:
                print(f'{task.arm}, seed {task.seed}: FAILED: {outcome["error"]}', flush=True)
                continue
            write_json(args.out / task.folder / 'run.json', outcome)
            outcomes.setdefault(task.arm, {})[task.seed] = outcome
            print(
                f'{task.arm}, seed {task.seed}: {_line(outcome["scores"])} ({outcome["seconds"]["total"]:.0f} s)',
                flush=True,
            )
    except KeyboardInterrupt:
        print('interrupted; the same command goes on', flush=True)
    return plan, wanted, outcomes


def to_markdown(plan: RecognitionPlan, arms: Mapping[str, Any], outcomes: Mapping[str, Mapping[int, dict]]) -> str:
    """The table: mean and standard error over the seeds, and the difference of each arm to the one named in ``versus``."""
    columns = [
        name for name in COLUMNS if any(name in r['scores'] for runs in outcomes.values() for r in runs.values())
    ]
    columns = columns or ['score']
    lines = [f'| arm | seeds | {" | ".join(columns)} | CPU s a run |', f'|---|---:|{"---:|" * (len(columns) + 1)}']
    order = [arm for arm in (TEACHER + 'teacher', *arms) if arm in outcomes]
    for arm in order:
        runs = list(outcomes[arm].values())
        cells = [_cell([run['scores'][name] for run in runs], name) for name in columns]
        seconds = [run['seconds']['training_cpu'] for run in runs if 'training_cpu' in run['seconds']]
        cost = f'{summarise(seconds)[0]:.0f}' if seconds else ''
        lines.append(f'| {arm} | {len(runs)} | {" | ".join(cells)} | {cost} |')
    lines += ['', f'{plan.describe()["iterations"]} iterations a run; mean ± standard error over the seeds.', '']
    trained = [arm for arm in order if not arm.startswith(TEACHER)]
    lines += ['| difference | ' + ' | '.join(columns) + ' |', '|---|' + '---:|' * len(columns)]
    for before, arm in [*itertools.pairwise(trained), *((trained[1], a) for a in trained[3:])]:
        seeds = sorted(set(outcomes[before]) & set(outcomes[arm]))
        if seeds:
            lines.append(
                f'| {arm} - {before} | {" | ".join(_difference(outcomes, arm, before, seeds, c) for c in columns)} |'
            )
    return '\n'.join(lines) + '\n'


def _difference(outcomes: Mapping, arm: str, before: str, seeds: list[int], name: str) -> str:
    test = compare_pairs(*([outcomes[a][s]['scores'][name] for s in seeds] for a in (arm, before)))
    factor, digits = COLUMNS.get(name, (1, 4))
    error = '' if math.isnan(test.error) else f' ± {factor * test.error:.{digits}f}'
    return f'{factor * test.difference:+.{digits}f}{error}'


def _cell(values: list[float], name: str) -> str:
    factor, digits = COLUMNS.get(name, (1, 4))
    mean, error = summarise([factor * v for v in values])
    return f'{mean:.{digits}f}' + ('' if math.isnan(error) else f' ± {error:.{digits}f}')


def _line(scores: Mapping[str, float]) -> str:
    return ', '.join(f'{name} {value:.4f}' for name, value in scores.items() if '/' not in name)


def main() -> int:
    """Study and report; the exit status is 1 if something was wrong or a run failed."""
    args = parse_args()
    try:
        train_teacher(args)
        plan, arms, outcomes = run_study(args)
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    text = to_markdown(plan, arms, outcomes)
    with atomic_path(args.out / 'table.md') as temporary:
        temporary.write_text(text, encoding='utf-8')
    write_json(args.out / 'table.json', outcomes)
    print(f'\n{text}\nwritten to {args.out}')
    complete = all(len(outcomes.get(arm, {})) >= len(args.seeds) for arm in arms)
    return 0 if complete else 1


if __name__ == '__main__':
    sys.exit(main())
