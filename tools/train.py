"""Train a recipe: ``python tools/train.py configs/rl_distill_msrs.py --data-root data/MSRS``."""

import argparse
from pathlib import Path

from mmengine.config import DictAction

from fusionkd.engine.checkpoint import load_weights
from fusionkd.engine.config import build_runner, enable_amp, load_config


def parse_args() -> argparse.Namespace:
    """Options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='recipe, such as configs/rl_distill_msrs.py')
    parser.add_argument('--work-dir', help='folder for checkpoints, logs and results; default work_dirs/<recipe>')
    parser.add_argument('--data-root', help='replaces the root of every data set in the recipe')
    parser.add_argument(
        '--resume', nargs='?', const='auto', help="go on: from the given checkpoint, or from the work dir's last one"
    )
    parser.add_argument('--amp', action='store_true', help='run the networks in bfloat16')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, help='replace values: key.sub=value ...')
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none')
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    """Train, then score the best student on the test sets."""
    args = parse_args()
    config = load_config(args.config, args.cfg_options, args.data_root)
    config.work_dir = args.work_dir or str(Path('work_dirs') / Path(args.config).stem)
    config.launcher = args.launcher
    if config.get('test_evaluator'):
        config.test_evaluator.out_dir = config.work_dir
    if args.amp:
        enable_amp(config)
    if args.resume:
        config.resume = True
        config.load_from = None if args.resume == 'auto' else args.resume
    runner = build_runner(config)
    runner.train()
    if config.get('test_dataloader'):
        best = Path(runner.work_dir) / 'student_best.pth'
        runner.logger.info(f'scoring {best}')
        model = getattr(runner.model, 'module', runner.model)
        load_weights(model.student, best)
        runner.test()


if __name__ == '__main__':
    main()
