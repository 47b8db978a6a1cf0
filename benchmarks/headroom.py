"""What an objective leaves to be had: the pixels of a fused image, optimised one pair at a time under an objective.

    python benchmarks/headroom.py --set MSRS=data/MSRS/test --set TNO=data/TNO --pairs 10

A network must guess from a pair what its fused image should be; here the image itself is the parameter, started from
``--start`` and moved by Adam along the gradient of ``QualityLoss`` with weights of ``--weights``. What it gains was left,
whether or not a network can learn it. Each ``--weights`` is one row a set. The images are rounded before they are scored, by
protocol ``cddfuse`` and the balanced score; the start, the maximum and, if named, networks are scored on the same pairs.
With ``--save`` the images are written, to be looked at.
"""

import argparse
import statistics
import sys
import time
from pathlib import Path

import torch
from torch import Tensor

from fusionkd.apis import FusionInferencer
from fusionkd.engine.study import PairSet, open_set
from fusionkd.evaluation import get_protocol
from fusionkd.evaluation.methods import score_methods
from fusionkd.fileio import write_image
from fusionkd.models.losses import QualityLoss
from fusionkd.ops import split_ycbcr

METRICS = ('VIF', 'Qabf', 'SSIM', 'SCD', 'Nabf')
COLUMNS = (*METRICS, 'score', 'target')


def parse_args() -> argparse.Namespace:
    """Options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--set', action='append', default=[], metavar='NAME=DIR', help='with DIR/ir, DIR/vi')
    parser.add_argument('--pairs', type=int, default=10, help='of each set, spread evenly; default 10')
    parser.add_argument('--steps', type=int, default=80, help='of Adam; default 80')
    parser.add_argument('--lr', type=float, default=0.004, help='at first, falls to 0 as a cosine; default 0.004')
    parser.add_argument('--start', default='fusionkd-teacher', help='network of the first image, or maximum')
    parser.add_argument('--weights', action='append', metavar='PART=W,...', help="of QualityLoss; default '' (its own)")
    parser.add_argument('--methods', nargs='*', default=[], help='networks to score beside it')
    parser.add_argument('--threads', type=int, default=2)
    parser.add_argument('--save', type=Path, help='folder for the images')
    return parser.parse_args()


def parse_weights(text: str) -> dict[str, float]:
    """``'qabf=5,scd=1'`` as a dict; an empty text is an empty dict."""
    return {name: float(value) for name, _, value in (part.partition('=') for part in text.split(',') if part)}


def optimise(start: Tensor, ir: Tensor, vis: Tensor, loss: QualityLoss, steps: int, lr: float) -> Tensor:
    """Move an image of ``(1, 1, H, W)`` in [0, 1] along the gradient of a loss of ``(fused, ir, vis)``.

    Args:
        start: first image.
        ir: its infrared source, the same shape.
        vis: luma of its visible source.
        loss: to lower.
        steps: of Adam.
        lr: of the first step; it falls to 0 as half a cosine.
    """
    image = start.clone().requires_grad_()
    optimiser = torch.optim.Adam([image], lr, betas=(0.8, 0.99))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in range(steps):
        optimiser.zero_grad(set_to_none=True)
        loss(image, ir, vis).backward()
        optimiser.step()
        schedule.step()
    return image.detach().clamp(0, 1)


def fuse_luma(method: str, networks: dict[str, FusionInferencer], ir: Tensor, vis: Tensor) -> Tensor:
    """Fused luma of ``(1, 1, H, W)`` sources by a network's name or the rule ``maximum``."""
    if method == 'maximum':
        return torch.maximum(ir, vis)
    with torch.no_grad():
        return networks[method].fuser.fuse(ir, vis).clamp(0, 1)


def main() -> int:
    """Print a table a set."""
    args = parse_args()
    torch.set_num_threads(args.threads)
    if not args.set:
        print('error: give at least one --set NAME=DIR', file=sys.stderr)
        return 1
    variants = {text or 'default weights': QualityLoss(**parse_weights(text)) for text in args.weights or ['']}
    methods = list(dict.fromkeys([args.start, 'maximum', *args.methods]))
    networks = {name: FusionInferencer(name) for name in methods if name != 'maximum'}
    protocol = get_protocol('cddfuse')
    for name, folder in (text.split('=', 1) for text in args.set):
        rows: dict[str, list[dict[str, float]]] = {}
        began = time.perf_counter()
        pairs = PairSet(open_set(name, folder), args.pairs)
        for place, (ir, vis) in enumerate(pairs):
            source_ir, luma = ir[None], split_ycbcr(vis[None])[0] if len(vis) == 3 else vis[None]
            fused = {method: fuse_luma(method, networks, source_ir, luma) for method in methods}
            for label, loss in variants.items():
                fused[f'pixels: {label}'] = optimise(fused[args.start], source_ir, luma, loss, args.steps, args.lr)
            values = score_methods(ir, luma[0], {k: v[0] for k, v in fused.items()}, protocol, METRICS)
            for label, row in values.items():
                rows.setdefault(label, []).append(row)
                if args.save:
                    image = (fused[label][0, 0] * 255).round().byte().numpy()
                    write_image(args.save / name / f'{place:02d}_{label.replace(" ", "_").replace(":", "")}.png', image)
        seconds = (time.perf_counter() - began) / len(pairs)
        print(f'\n{name}: {len(pairs)} pairs, {args.steps} steps from {args.start}, {seconds:.0f} s a pair')
        print(f'{"":44}' + ''.join(f'{c:>8}' for c in COLUMNS))
        for label, found in rows.items():
            means = [statistics.fmean(r[c] for r in found if r[c] == r[c]) for c in COLUMNS]
            print(f'{label:44}' + ''.join(f'{m:8.3f}' for m in means), flush=True)
    return 0


if __name__ == '__main__':
    sys.exit(main())
