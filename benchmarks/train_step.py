"""What a training step costs: plain, with fixed distillation, and with an agent, without and with cached teacher images.

    python benchmarks/train_step.py --data-root DATA              # about a quarter of an hour on two cores
    python benchmarks/train_step.py --guide L1Loss EncoderLoss    # on drawn scenes; other guidance than the recipe's

``plain`` is the recipe's student with its own terms and no teacher. Each arm trains with the Runner and all hooks of the
recipe, but without validation and files. Teacher images are cached on disk before anything is timed. A round trains every
arm once, for a warm-up in which every image is loaded, and then for the steps that are timed, with the agent's decisions
among them; the time of an arm in a round is the mean over these steps. Arms take turns for ``--rounds`` rounds, so that a
change of the machine meets all of them. Tables show medians over the rounds, of times and of ratios to ``plain`` in the same
round. CPU time is that of all threads of the process; unlike wall time it hardly depends on what else the machine does.

The degradation of hard samples, and what a pass of the student for a second view costs, are rows of their own. A recipe whose
guidance looks at the clean view while its self-learning looks at the hard one needs that pass; with ``on='hard'`` for both
it does not.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from mmengine.config import Config, ConfigDict
from mmengine.dataset import pseudo_collate
from mmengine.hooks import Hook
from mmengine.logging import MMLogger
from mmengine.runner import Runner

from fusionkd.datasets.origin import load_origin
from fusionkd.engine.config import build_runner, load_config
from fusionkd.fileio import atomic_path
from fusionkd.registry import DATASETS

ROOT = Path(__file__).resolve().parents[1]
CLOCKS = ('wall', 'cpu')
GOAL = 1.25  # of a step with agent and cache to a plain one
ENCODER = dict(type='SeAFusion', init_cfg=dict(type='Pretrained', checkpoint='seafusion'))
GUIDES = {
    'L1Loss': dict(type='L1Loss'),
    'SSIMLoss': dict(type='SSIMLoss'),
    'FrequencyLoss': dict(type='FrequencyLoss'),
    'LaplacianBandLoss': dict(type='LaplacianBandLoss'),
    'WeightMapLoss': dict(type='WeightMapLoss'),
    'EncoderLoss': dict(type='EncoderLoss', encoder=ENCODER, taps=['vis_rgbd1', 'vis_rgbd2']),
    'PerceptualLoss': dict(type='PerceptualLoss', weights=None),  # the cost does not depend on the weights
}


class Stopwatch(Hook):
    """Times the steps from ``first`` on, ``count`` of them, with everything that happens in between."""

    priority = 'VERY_HIGH'

    def __init__(self, first: int, count: int):
        self.first, self.last = first, first + count
        self.start = self.seconds = (math.nan, math.nan)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: dict | None = None) -> None:
        """Look at the clock."""
        if runner.iter == self.first:
            self.start = time.perf_counter(), time.process_time()
        elif runner.iter == self.last:
            self.seconds = time.perf_counter() - self.start[0], time.process_time() - self.start[1]


def is_taught(term: ConfigDict) -> bool:
    """Whether a term of the recipe learns from teachers."""
    return str(term.get('target')).startswith('teacher') or 'tap_t' in term


def plain(model: ConfigDict) -> None:
    """No teachers."""
    model.teachers = []
    model.terms = [term for term in model.terms if not is_taught(term)]


def clean(model: ConfigDict) -> None:
    """No teachers, and nothing is degraded."""
    plain(model)
    model.hard_samples = None
    for term in model.terms:
        term.on = 'clean'


def two_passes(model: ConfigDict) -> None:
    """No teachers, but a second pass of the student, by a term that costs nothing itself."""
    plain(model)
    views = {term.get('on', 'clean') for term in model.terms}
    other = 'clean' if views == {'hard'} else 'hard'
    model.terms.append(ConfigDict(name='pass', loss=dict(type='L1Loss'), target='ir', on=other))


def one_view(model: ConfigDict) -> None:
    """Guidance looks at the view that the student learns on by itself."""
    view = next(term.get('on', 'clean') for term in model.terms if not is_taught(term))
    for term in model.terms:
        if is_taught(term):
            term.on = view


# Name, change of the model, whether its teachers are cached, whether there is an agent.
ARMS: dict[str, tuple[Callable[[ConfigDict], None], bool, bool]] = {
    'plain': (plain, False, False),
    'plain, clean samples only': (clean, False, False),
    'plain, a pass for each view': (two_passes, False, False),
    'fixed': (lambda model: None, False, False),
    'fixed, cached': (lambda model: None, True, False),
    'RL': (lambda model: None, False, True),
    'RL, cached': (lambda model: None, True, True),
    'fixed, cached, one view': (one_view, True, False),
    'RL, cached, one view': (one_view, True, True),
}


def make_config(args: argparse.Namespace, arm: str, guide: str, folder: Path) -> Config:
    """The recipe as an arm trains it."""
    change, cached, with_agent = ARMS[arm]
    config = load_config(args.config, args.options, args.data_root)
    model = config.model
    for term in model.terms:
        if is_taught(term):
            if guide != 'recipe':
                term.loss = ConfigDict(copy.deepcopy(GUIDES[guide]))
            elif term.loss.type == 'PerceptualLoss':
                term.loss.weights = None
            if args.share is not None:
                term.share = args.share
    for teacher in model.get('teachers', []):
        teacher.cache = dict(type='disk', folder=args.cache) if cached else None
    change(model)
    agents = [hook for hook in config.get('custom_hooks', []) if hook.type == 'AgentHook']
    config.custom_hooks = [hook for hook in config.get('custom_hooks', []) if hook.type != 'AgentHook' or with_agent]
    if not with_agent:
        for term in model.terms:
            term.weight = 1.0 if term.get('weight') == 'agent' else term.get('weight', 1.0)
        if model.get('hard_samples') and model.hard_samples.get('strength') == 'agent':
            model.hard_samples.strength = (0.0, 1.0)
    interval = agents[0].get('interval', 20) if agents else 10
    dataset = config.train_dataloader.dataset
    dataset['indices' if dataset.type == 'PairedFusionDataset' else 'num'] = args.pairs
    config.warm_up = 1 + math.ceil(args.pairs / config.train_dataloader.batch_size)
    config.timed = math.ceil(args.steps / interval) * interval
    config.train_cfg.max_iters = config.warm_up + config.timed + 1
    for key in ('val_cfg', 'val_dataloader', 'val_evaluator', 'test_cfg', 'test_dataloader', 'test_evaluator'):
        config[key] = None
    for name in ('checkpoint', 'student_file'):
        config.default_hooks.pop(name, None)
    config.default_hooks.logger.interval = config.train_cfg.max_iters
    config.visualizer.vis_backends = []
    config.log_level = 'ERROR'
    config.work_dir = str(folder)
    config.experiment_name = f'{arm}-{time.time_ns()}'
    return config


def time_arm(args: argparse.Namespace, arm: str, guide: str) -> dict[str, float]:
    """Mean seconds a step of one training, wall and CPU."""
    with tempfile.TemporaryDirectory() as folder:
        config = make_config(args, arm, guide, Path(folder))
        runner = build_runner(config, check=())
        watch = Stopwatch(config.warm_up, config.timed)
        runner.register_hook(watch)
        runner.train()
        for logger in list(MMLogger._instance_dict.values()):
            logger.handlers = [h for h in logger.handlers if not getattr(h, 'baseFilename', '').startswith(folder)]
    return {clock: seconds / config.timed for clock, seconds in zip(CLOCKS, watch.seconds, strict=True)}


def fill_cache(args: argparse.Namespace) -> dict:
    """Fill the cache of all arms; seconds in which a teacher fuses a whole image, and a crop, medians of all images."""
    with tempfile.TemporaryDirectory() as folder:
        config = make_config(args, 'fixed, cached', 'L1Loss', Path(folder))
        model = build_runner(config, check=()).model
        dataset = DATASETS.build(config.train_dataloader.dataset)
    whole, crop = [], []
    for i in range(len(dataset)):
        batch = model.data_preprocessor(pseudo_collate([dataset[i]]))
        (sample,), inputs = batch['data_samples'], batch['inputs']
        for guide in model.guides.values():
            start = time.perf_counter()
            guide.look_up(sample, model.data_preprocessor)
            middle = time.perf_counter()
            with torch.no_grad():
                guide.network.fuse(inputs['ir'], inputs['vis'])
            whole.append(middle - start)
            crop.append(time.perf_counter() - middle)
    seconds = dict(whole=statistics.median(whole), crop=statistics.median(crop))
    size = load_origin(sample.metainfo['origin'])[0].shape
    return dict(size=list(size), crop_size=list(inputs['ir'].shape[-2:]), **seconds)


def run(args: argparse.Namespace) -> dict:
    """All arms in turns, for every guidance."""
    times: dict[str, dict[str, list[dict[str, float]]]] = {
        guide: {arm: [] for arm in args.arms} for guide in args.guide
    }
    for turn in range(args.rounds):
        for guide, rows in times.items():
            for arm, seconds in rows.items():
                seconds.append(time_arm(args, arm, guide))
                spent = ', '.join(f'{1e3 * s:.1f} ms {clock}' for clock, s in seconds[-1].items())
                print(f'round {turn + 1}, {guide}, {arm}: {spent} a step', flush=True)
    return times


def summarise(times: dict[str, list[dict[str, float]]]) -> list[dict]:
    """By arm and clock: median, and median, smallest and largest ratio to ``plain`` in the same round."""
    rows = []
    for arm, seconds in times.items():
        row = dict(arm=arm)
        for clock in CLOCKS:
            ratios = [s[clock] / p[clock] for s, p in zip(seconds, times['plain'], strict=True)]
            row[clock] = dict(
                milliseconds=1e3 * statistics.median(s[clock] for s in seconds),
                ratio=statistics.median(ratios),
                smallest=min(ratios),
                largest=max(ratios),
            )
        rows.append(row)
    return rows


def fill_line(fill: dict) -> str:
    """When a cache pays."""
    size, crop = (' x '.join(map(str, fill[key])) for key in ('size', 'crop_size'))
    visits = math.ceil(fill['whole'] / fill['crop'])
    return (
        f'The teacher fuses a whole image of {size} in {1e3 * fill["whole"]:.0f} ms and a crop of {crop} in '
        f'{1e3 * fill["crop"]:.0f} ms: a cache pays from visit {visits} of an image on, over all runs that share it on disk.'
    )


def to_markdown(result: dict) -> str:
    """Everything as text."""
    lines = ['# Training step', '', *(f'- {key}: {value}' for key, value in result['header'].items()), '']
    for guide, rows in result['tables'].items():
        columns = ' | '.join(f'{clock}, ms | to plain | range' for clock in CLOCKS)
        lines += [f'## Guidance: {guide}', '', f'| arm | {columns} |', '|---' + '|---:' * 3 * len(CLOCKS) + '|']
        for row in rows:
            cells = [
                f'{c["milliseconds"]:.1f} | {c["ratio"]:.2f} | {c["smallest"]:.2f} to {c["largest"]:.2f}'
                for c in (row[clock] for clock in CLOCKS)
            ]
            lines.append(f'| {row["arm"]} | {" | ".join(cells)} |')
        reached = [(row['arm'], row['cpu']['ratio']) for row in rows if row['arm'].startswith('RL, cached')]
        lines += ['', *(f'{a}: CPU {"within" if r <= GOAL else "above"} {GOAL} x plain.' for a, r in reached), '']
    return '\n'.join([*lines, fill_line(result['fill']), ''])


def parse_args() -> argparse.Namespace:
    """Options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        '--config', help='a recipe with an agent; default rl_distill_msrs.py, or rl_distill_demo.py without data'
    )
    parser.add_argument('--data-root', help='training data in the layout of MSRS; default scenes drawn by a program')
    parser.add_argument('--arms', nargs='+', choices=ARMS, default=list(ARMS), metavar='ARM', help=', '.join(ARMS))
    parser.add_argument(
        '--guide', nargs='+', choices=['recipe', *GUIDES], default=['recipe'], help='loss of the guidance'
    )
    parser.add_argument('--share', type=float, help='of the batch that guidance looks at; default that of the recipe')
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--steps', type=int, default=30, help='timed, rounded up to whole intervals of the agent')
    parser.add_argument('--pairs', type=int, default=24, help='images, all loaded in the warm-up')
    parser.add_argument('--threads', type=int, default=os.cpu_count())
    parser.add_argument('--out', default='work_dirs/train_step', type=Path)
    parser.add_argument('--quick', action='store_true', help='seconds on small crops; figures mean nothing')
    args = parser.parse_args()
    args.config = args.config or str(ROOT / f'configs/rl_distill_{"msrs" if args.data_root else "demo"}.py')
    args.arms = ['plain', *(arm for arm in args.arms if arm != 'plain')]
    args.options = {}
    if args.quick:
        args.rounds, args.steps, args.pairs = 1, 1, 2
        args.options = {'train_dataloader.batch_size': 2}
        for i, step in enumerate(load_config(args.config).train_dataloader.dataset.pipeline):
            if step.type == 'RandomCropPair':
                args.options[f'train_dataloader.dataset.pipeline.{i}.size'] = 48
    return args


def main() -> None:
    """Measure and write."""
    args = parse_args()
    torch.set_num_threads(args.threads)
    header = dict(
        recipe=Path(args.config).name,
        data=args.data_root or 'drawn scenes',
        batch=load_config(args.config, args.options).train_dataloader.batch_size,
        share=args.share or 'as in the recipe',
        rounds=args.rounds,
        steps=args.steps,
        threads=args.threads,
        cores=os.cpu_count(),
        machine=platform.machine(),
        torch=torch.__version__,
        load_before=[round(x, 2) for x in os.getloadavg()],
        quick='quick: the figures mean nothing' if args.quick else False,
    )
    print('\n'.join(f'{key}: {value}' for key, value in header.items()), flush=True)
    with tempfile.TemporaryDirectory() as args.cache:
        fill, times = fill_cache(args), run(args)
    header['load_after'] = [round(x, 2) for x in os.getloadavg()]
    result = dict(header=header, tables={g: summarise(rows) for g, rows in times.items()}, fill=fill, seconds=times)
    args.out.mkdir(parents=True, exist_ok=True)
    for suffix, text in (('json', json.dumps(result, indent=1) + '\n'), ('md', to_markdown(result))):
        with atomic_path(args.out / f'train_step.{suffix}') as temporary:
            temporary.write_text(text, encoding='utf-8')
    print(to_markdown(result))


if __name__ == '__main__':
    main()
