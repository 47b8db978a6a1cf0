"""Score a student: ``python tools/test.py configs/rl_distill_msrs.py work_dirs/rl_distill_msrs/student_best.pth``."""

import argparse
from pathlib import Path

from mmengine.config import ConfigDict, DictAction

from fusionkd.engine.checkpoint import load_weights
from fusionkd.engine.config import build_runner, load_config


def parse_args() -> argparse.Namespace:
    """Options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='recipe the student was trained with')
    parser.add_argument('checkpoint', help='student file, training checkpoint, or a name of the zoo')
    parser.add_argument('--work-dir', help='folder for logs and results; default work_dirs/<recipe>/test')
    parser.add_argument('--data-root', help='replaces the root of every data set in the recipe')
    parser.add_argument(
        '--test-set',
        nargs='+',
        metavar='NAME=DIR',
        help='test on these sets instead, each a folder with ir/ and vi/ (or vis/) in it',
    )
    parser.add_argument('--save-images', action='store_true', help='write the fused images into the work dir')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, help='replace values: key.sub=value ...')
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none')
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS)
    return parser.parse_args()


def named_sets(arguments: list[str]) -> ConfigDict:
    """Data set of ``NAME=DIR`` arguments."""
    datasets = []
    for argument in arguments:
        name, equals, folder = argument.partition('=')
        if not equals or not name or not folder:
            raise SystemExit(f'--test-set takes NAME=DIR, got {argument!r}')
        vis = next((v for v in ('vi', 'vis') if (Path(folder) / v).is_dir()), 'vi')
        datasets.append(
            dict(
                type='PairedFusionDataset',
                data_root=folder,
                data_prefix=dict(ir='ir', vis=vis),
                name=name,
                pipeline=[dict(type='LoadImagePair'), dict(type='PackFusionInputs')],
                test_mode=True,
            )
        )
    return ConfigDict(type='ConcatDataset', datasets=datasets)


def main() -> None:
    """Load the student strictly and score it."""
    args = parse_args()
    config = load_config(args.config, args.cfg_options, args.data_root)
    config.work_dir = args.work_dir or str(Path('work_dirs') / Path(args.config).stem / 'test')
    config.launcher = args.launcher
    if args.test_set:
        config.test_dataloader.dataset = named_sets(args.test_set)
    config.test_evaluator.out_dir = config.work_dir
    if args.save_images:
        config.test_evaluator.image_dir = str(Path(config.work_dir) / 'images')
    runner = build_runner(config, check=('test',))
    load_weights(getattr(runner.model, 'module', runner.model).student, args.checkpoint)
    runner.test()


if __name__ == '__main__':
    main()
