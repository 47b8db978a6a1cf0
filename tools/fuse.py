"""Fuse two images or two folders: ``python tools/fuse.py --ir A --vis B --out C``."""

import argparse
import sys

from fusionkd import zoo
from fusionkd.apis import FusionInferencer


def parse_args() -> argparse.Namespace:
    """Options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--ir', required=True, help='infrared image or folder')
    parser.add_argument('--vis', required=True, help='visible image or folder; pairs are matched by name')
    parser.add_argument('--out', required=True, help='fused image or folder')
    parser.add_argument(
        '--student',
        default='seafusion',
        help=f'name of the zoo ({", ".join(zoo.names())}), student_best.pth of a training, .onnx file of tools/export.py, '
        'or a recipe; default seafusion',
    )
    parser.add_argument('--weights', help='checkpoint, when --student is a recipe')
    parser.add_argument('--device', help='such as cpu or cuda:0; default the first GPU, else the CPU')
    return parser.parse_args()


def show(done: int, total: int, name: str) -> None:
    """One line that is written over."""
    print(f'\r{done}/{total} {name}\033[K', end='' if done < total else '\n', file=sys.stderr, flush=True)


def main() -> int:
    """Fuse, and say what was left out; the exit status is 1 if anything was."""
    args = parse_args()
    try:
        inferencer = FusionInferencer(args.student, args.weights, args.device, progress=show)
        result = inferencer(args.ir, args.vis, args.out)
    except (OSError, ValueError, KeyError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    failed = getattr(result, 'failed', {})
    written = len(getattr(result, 'written', [args.out]))
    print(f'{written} fused image{"s" if written != 1 else ""} in {args.out}')
    for name, reason in failed.items():
        print(f'left out {name}: {reason}', file=sys.stderr)
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
