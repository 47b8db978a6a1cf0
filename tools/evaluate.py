"""Score fused images on disk, made by anyone.

One set, two methods (images belong together by name):

  python tools/evaluate.py --ir TNO/ir --vis TNO/vis --fused mine=out/mine SeAFusion=out/sea --out results

Several sets, each begun with --set:

  python tools/evaluate.py --set TNO --ir TNO/ir --vis TNO/vis --fused mine=out/tno
                           --set MSRS --ir MSRS/ir --vis MSRS/vis --fused mine=out/msrs --out results

Written are per_image.csv, summary.{txt,md,tex,csv,json}, left_out.csv, worst.csv and plots. A pair with a bad or missing
image is left out of all methods of its set and listed at the end; the exit status is then 1.
"""

import argparse
import sys
from pathlib import Path

from fusionkd.evaluation import METRICS, PROTOCOLS, ImageSet, LeftOut, evaluate_folders, save_report


class SetOption(argparse.Action):
    """Options of a set: ``--set`` begins one, the others fill the one that was begun last."""

    def __call__(self, parser, namespace, values, option_string=None) -> None:
        """Store an option."""
        sets = namespace.sets
        if self.dest == 'set':
            sets.append(dict(set=values))
            return
        if not sets:
            sets.append({})
        if self.dest in sets[-1]:
            parser.error(f'{option_string} twice in one set; begin every set with --set NAME')
        sets[-1][self.dest] = values


def parse_args() -> argparse.Namespace:
    """Options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.set_defaults(sets=[])
    option = dict(action=SetOption, default=argparse.SUPPRESS)
    parser.add_argument('--set', metavar='NAME', help='begin a set; may be left out if there is one', **option)
    parser.add_argument('--ir', metavar='DIR', help='infrared images of the set', **option)
    parser.add_argument('--vis', metavar='DIR', help='visible images of the set', **option)
    parser.add_argument(
        '--fused',
        nargs='+',
        metavar='NAME=DIR',
        help='fused images of each method; a plain folder is a method named after it',
        **option,
    )
    parser.add_argument('--out', required=True, help='folder for the results')
    parser.add_argument('--protocol', default='cddfuse', choices=PROTOCOLS, help='definitions; default cddfuse')
    parser.add_argument(
        '--metrics', nargs='+', metavar='METRIC', help=f'default those of the protocol; known: {", ".join(METRICS)}'
    )
    parser.add_argument('--no-score', action='store_true', help='without balanced score and target contrast')
    parser.add_argument('--no-trivial', action='store_true', help='without the rows of rules that need no network')
    parser.add_argument('--worst', type=int, default=4, metavar='N', help='pairs of a set shown as worst; default 4')
    parser.add_argument('--workers', type=int, default=1, metavar='N', help='processes; the numbers do not change')
    args = parser.parse_args()
    args.sets = [image_set(parser, options) for options in args.sets or [{}]]
    return args


def image_set(parser: argparse.ArgumentParser, options: dict) -> ImageSet:
    """Set of its options; a set without name is called after the folder that holds its infrared folder."""
    name = options.get('set')
    missing = [f'--{key}' for key in ('ir', 'vis', 'fused') if key not in options]
    if missing:
        parser.error(f'{", ".join(missing)} missing' + (f' in set {name!r}' if name else ''))
    fused = {}
    for argument in options['fused']:
        method, equals, folder = argument.partition('=')
        if not equals:
            method, folder = Path(argument).resolve().name, argument
        if method in fused:
            parser.error(f'two methods are called {method!r}; name them: --fused NAME=DIR')
        fused[method] = Path(folder)
    return ImageSet(
        name or Path(options['ir']).resolve().parent.name or 'set', Path(options['ir']), Path(options['vis']), fused
    )


def show(done: int, total: int, name: str) -> None:
    """One line that is written over."""
    bar = '#' * round(20 * done / total)
    print(f'\r[{bar:.<20}] {done}/{total} {name}\033[K', end='' if done < total else '\n', file=sys.stderr, flush=True)


def report(left_out: list[LeftOut]) -> None:
    """One line a set and reason."""
    reasons: dict[tuple[str, str], list[str]] = {}
    for image in left_out:
        reasons.setdefault((image.set_name, image.reason), []).append(image.name)
    for (set_name, reason), names in reasons.items():
        some = ', '.join(names[:5]) + (f' and {len(names) - 5} more' if len(names) > 5 else '')
        print(f'left out of {set_name}, all methods: {some}: {reason}', file=sys.stderr)


def main() -> int:
    """Score, write, and say what was left out; the exit status is 1 if anything was."""
    args = parse_args()
    try:
        table = evaluate_folders(
            args.sets, args.protocol, args.metrics, not args.no_score, not args.no_trivial, args.workers, show
        )
        save_report(table, args.sets, args.out, args.worst)
    except (OSError, ValueError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    print(f'{table.to_text()}\nwritten to {args.out}')
    report(table.left_out)
    return 1 if table.left_out else 0


if __name__ == '__main__':
    sys.exit(main())
