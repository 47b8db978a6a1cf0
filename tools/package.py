r"""Put a trained network into the zoo with its card.

    python tools/package.py work_dirs/RECIPE/student_best.pth --name fusionkd-fast \
        --command 'python tools/train.py configs/RECIPE.py --data-root DATA' --data 'what it was trained on' \
        --results RESULTS/summary.json --latency LATENCY/latency.json

Results are ``summary.json`` of ``tools/evaluate.py`` or ``results.json`` of ``tools/test.py`` for this network, on as many
sets as there are; ``latency.json`` is that of ``benchmarks/latency.py`` and may come later: a card that exists keeps what is
not given again, of other weights only the latency of the same shape.
"""

import argparse
import hashlib
import json
import subprocess
from pathlib import Path

import torch
from torch import nn

from fusionkd import zoo
from fusionkd.engine.checkpoint import load_weights, save_weights
from fusionkd.fileio import atomic_path
from fusionkd.registry import MODELS

LICENCE = 'Apache-2.0; trained on data sets for research use, see data'
LARGEST = 3 * 2**20
METRICS = ('VIF', 'Qabf', 'SSIM', 'SCD', 'Nabf', 'score', 'target')


def parse_args() -> argparse.Namespace:
    """Options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('student', type=Path, help='student file with its card beside it, as a training writes it')
    parser.add_argument('--name', required=True, help='of the network in the zoo')
    parser.add_argument('--command', help='that trains it')
    parser.add_argument('--data', help='it was trained on, with its sources')
    parser.add_argument('--results', type=Path, help='summary.json of an evaluation or results.json of a test')
    parser.add_argument('--method', default='student', help='row of the results. Default student')
    parser.add_argument('--latency', type=Path, help='latency.json of the benchmark')
    parser.add_argument('--out', type=Path, default=zoo.FOLDER, help='folder. Default the zoo of the package')
    return parser.parse_args()


def measured(path: Path, method: str) -> dict:
    """Means of one method by set, as in the tables.

    Raises:
        SystemExit: no such method; the message lists those there are.
    """
    results = json.loads(path.read_text(encoding='utf-8'))
    rows = [row for row in results['rows'] if row['method'] == method]
    if not rows:
        known = sorted({row['method'] for row in results['rows']})
        raise SystemExit(f'{path} has no method {method!r}; it has {", ".join(known)}')
    sets = {
        row['set']: dict(images=row['images'], **{m: round(row['mean'][m], 4) for m in METRICS if m in row['mean']})
        for row in rows
    }
    return dict(protocol=results['protocol'], sets=sets)


def latency(path: Path, name: str) -> dict:
    """Median milliseconds of one method by size, backend and threads, and the machine.

    Raises:
        SystemExit: the benchmark did not measure this method.
    """
    timed = json.loads(path.read_text(encoding='utf-8'))
    cells = [cell for cell in timed['cells'] if cell['method'] == name and 'median' in cell]
    if not cells:
        raise SystemExit(f'{path} has no {name!r}; it has {", ".join(sorted({c["method"] for c in timed["cells"]}))}')
    medians: dict[str, float] = {}
    for cell in cells:
        height, width = cell['size']
        threads = f', {cell["threads"]} threads' if cell.get('threads') else ''
        medians[f'{height} x {width}, {cell["backend"]}{threads}'] = round(cell['median'], 2)
    return dict(machine=f'{timed["host"]["cpu"]}, {timed["host"]["cores"]} cores', median_ms=medians)


def commit() -> str | None:
    """Of the repository, with a plus sign where something is not committed; ``None`` outside of one."""
    git = ['git', '-C', str(Path(__file__).parent)]
    done = subprocess.run([*git, 'rev-parse', '--short=12', 'HEAD'], capture_output=True, text=True, check=False)
    if done.returncode:
        return None
    changed = subprocess.run(
        [*git, 'status', '--porcelain', '--untracked-files=no', 'fusionkd', 'configs', 'tools'],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() + ('+' if changed.stdout.strip() else '')


def holds(path: Path, fuser: nn.Module) -> bool:
    """Whether a file has the weights of a network."""
    old, new = torch.load(path, weights_only=True, map_location='cpu'), fuser.state_dict()
    return old.keys() == new.keys() and all(torch.equal(old[key], new[key]) for key in new)


def main() -> None:
    """Write the weights and the card."""
    args = parse_args()
    source = args.student.with_suffix('.json')
    if not source.is_file():
        raise SystemExit(f'{args.student} has no card {source.name} beside it: give the file that a training wrote')
    trained = json.loads(source.read_text(encoding='utf-8'))
    fuser = MODELS.build(dict(trained['fuser']))
    load_weights(fuser, args.student)
    path = args.out / f'{args.name}.pth'
    args.out.mkdir(parents=True, exist_ok=True)
    same = path.is_file() and holds(path, fuser)
    if not same:  # another file of the same weights has another sha256
        save_weights(fuser, path)
    if path.stat().st_size > LARGEST:
        size = path.stat().st_size / 2**20
        path.unlink()
        raise SystemExit(
            f'{args.name} has {size:.1f} MiB; weights beside the code must stay below 3: use a smaller network'
        )
    card_path = path.with_suffix('.json')
    card = json.loads(card_path.read_text(encoding='utf-8')) if card_path.is_file() else {}
    if not same:  # another network: only what holds for its shape stays
        kept = ('latency', 'licence') if card.get('fuser') == trained['fuser'] else ('licence',)
        card = {key: value for key, value in card.items() if key in kept}
    card.update(
        name=args.name,
        fuser=trained['fuser'],
        file=path.name,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        parameters=sum(p.numel() for p in fuser.parameters()),
        recipe=trained.get('recipe'),
        seed=trained.get('seed'),
        iterations=trained.get('iteration', trained.get('iterations')),
        torch=torch.__version__.split('+')[0],
    )
    card.setdefault('licence', LICENCE)
    given = dict(
        command=args.command,
        data=args.data,
        results=args.results and measured(args.results, args.method),
        latency=args.latency and latency(args.latency, args.name),
    )
    card.update({key: value for key, value in given.items() if value})
    card.setdefault('commit', commit())
    with atomic_path(card_path) as temporary:
        temporary.write_text(json.dumps(card, indent=2) + '\n', encoding='utf-8')
    print(f'{path}: {path.stat().st_size / 1024:.0f} KiB, {card["parameters"]:,} parameters')


if __name__ == '__main__':
    main()
