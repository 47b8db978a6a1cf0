"""Export a network to ONNX: ``python tools/export.py STUDENT --out student.onnx``."""

import argparse
import json
import sys
import warnings
from math import inf
from pathlib import Path

from fusionkd import zoo
from fusionkd.apis import FusionInferencer
from fusionkd.deploy import export_onnx, quantize_onnx
from fusionkd.engine.config import load_config
from fusionkd.fileio import list_images

CHECK_EVERY = 4  # of the pairs for int8, those that are not calibrated on but compared


def parse_args() -> argparse.Namespace:
    """Options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        'student', help=f'name of the zoo ({", ".join(zoo.names())}), student_best.pth of a training, or a recipe'
    )
    parser.add_argument('--weights', help='checkpoint, when STUDENT is a recipe')
    parser.add_argument('--out', required=True, help='.onnx file to write; its card, .json, goes beside it')
    parser.add_argument('--int8', nargs=2, metavar=('IR_DIR', 'VIS_DIR'), help='quantise on these pairs')
    parser.add_argument(
        '--limit', type=int, default=40, help='pairs of --int8 that are used, evenly spread; default 40'
    )
    parser.add_argument(
        '--size', type=int, nargs=2, metavar=('H', 'W'), help='export for this size only; default any size'
    )
    parser.add_argument('--divisor', type=int, help='pad to multiples of this; default what the network needs')
    return parser.parse_args()


def fuser_config(student: str) -> dict:
    """Config of the network for its card."""
    if student in zoo.names():
        return zoo.card(student)['fuser']
    if Path(student).suffix == '.py':
        config = load_config(student).to_dict()
        return config['model']['student'] if 'model' in config else config
    return json.loads(zoo.resolve(student).with_suffix('.json').read_text(encoding='utf-8'))['fuser']


def find_pairs(ir: str, vis: str, limit: int) -> list[tuple[Path, Path]]:
    """At most ``limit`` pairs of equal name, evenly spread over the sorted names.

    Raises:
        FileNotFoundError: no pair.
    """
    irs, viss = list_images(ir), list_images(vis)
    names = sorted(irs.keys() & viss.keys())
    if not names:
        raise FileNotFoundError(f'no image of {ir} has its name in {vis}')
    count = min(limit, len(names))
    return [(irs[name], viss[name]) for name in (names[i * len(names) // count] for i in range(count))]


def main() -> int:
    """Export, quantise if asked to, and say what was written; the exit status is 1 on an error."""
    args = parse_args()
    out = Path(args.out)
    warnings.showwarning = lambda message, *_, **__: print(f'note: {message}', file=sys.stderr)
    try:
        if Path(args.student).suffix == '.onnx':
            raise ValueError(f'{args.student} is exported already; give the network it came from')
        pairs = find_pairs(*args.int8, args.limit) if args.int8 else []
        fuser = FusionInferencer(args.student, args.weights, device='cpu').fuser
        if Path(args.student).suffix == '.py' and args.weights is None and not fuser.init_cfg:
            warnings.warn('a recipe without --weights: the network is exported untrained', stacklevel=1)
        card = export_onnx(
            fuser,
            out,
            args.size or (480, 640),
            dynamic=args.size is None,
            divisor=args.divisor,
            config=fuser_config(args.student),
        )
        print(f'{out}: {describe(card)}, differs from torch by {card["largest_difference"]:.1g} at most')
        if pairs:
            small = out.with_name(f'{out.stem}_int8{out.suffix}')
            check = pairs[::CHECK_EVERY] if len(pairs) >= 2 * CHECK_EVERY else pairs
            calibrate = [pair for pair in pairs if pair not in check] or pairs
            card = quantize_onnx(out, small, calibrate, check)
            agreement = card['agreement']
            print(
                f'{small}: {describe(card)}, on {agreement["pairs"]} pairs differs from float32 by {agreement["mean"]:.2f} '
                f'gray levels on average and {agreement["largest"]:.1f} at most, PSNR {agreement["psnr"] or inf:.1f} dB'
            )
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    return 0


def describe(card: dict) -> str:
    """Parameters, precision and sizes of an exported network in words."""
    size = 'images of any size' if card['size'] is None else 'images of {} x {}'.format(*card['size'])
    return f'{card["parameters"]:,} parameters, {card["precision"]}, {size}'


if __name__ == '__main__':
    sys.exit(main())
