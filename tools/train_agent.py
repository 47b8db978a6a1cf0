"""Learn a scheduling policy over many short trainings, each of them one episode.

  python tools/train_agent.py configs/study/agents_msrs.py --arm ppo --data-root data/MSRS --episodes 60 --batch 4 \
      --workers 2 --out work_dirs/policy

A recipe starts from the result with agent=dict(type='PPOAgent', init_from='work_dirs/policy/policy.pth', frozen=True), or
keeps learning with frozen=False. After every update it writes policy.pth and its card, policy.json, with the returns of all
episodes, returns.png and, to go on with --resume, state.pth; finished episodes of an unfinished batch are kept. See
docs/agents.md.
"""

import argparse
import json
import os
import statistics
import sys
from pathlib import Path
from typing import Any

import torch
from mmengine.config import DictAction

from fusionkd.engine.checkpoint import read_checkpoint
from fusionkd.engine.config import load_config
from fusionkd.engine.episodes import EpisodePlan, EpisodeTask, learn_from, make_agents, save_agents
from fusionkd.engine.pool import Pool
from fusionkd.engine.records import digest
from fusionkd.fileio import atomic_path
from fusionkd.rl.agents import BaseAgent
from fusionkd.rl.plots import plot_returns


def parse_args() -> argparse.Namespace:
    """Options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='recipe with an AgentHook; short, for it is trained many times')
    parser.add_argument('--arm', help="of a study file: the recipe is this arm's")
    parser.add_argument('--episodes', type=int, required=True, help='trainings in all')
    parser.add_argument('--batch', type=int, help='trainings per update; default the workers')
    parser.add_argument(
        '--seed', type=int, default=1000, help='of the first training; default 1000, unlike those of a study'
    )
    parser.add_argument('--data-root', help='replaces the root of every data set in the recipe')
    parser.add_argument('--out', type=Path, help='folder; default work_dirs/<config>')
    parser.add_argument('--workers', type=int, default=1, help='processes; default 1')
    parser.add_argument('--threads', type=int, help='of each worker; default the cores shared among the workers')
    parser.add_argument('--resume', action='store_true', help='go on in --out')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, help='replace values of the recipe')
    args = parser.parse_args()
    args.out = args.out or Path('work_dirs') / Path(args.config).stem
    args.batch = args.batch or args.workers
    args.threads = args.threads or max((os.cpu_count() or 1) // max(args.workers, 1), 1)
    if min(args.episodes, args.batch, args.workers, args.threads) < 1:
        parser.error('--episodes, --batch, --workers and --threads start at 1')
    return args


def make_plan(args: argparse.Namespace) -> EpisodePlan:
    """What the episodes share.

    Raises:
        ValueError: the recipe has no such arm.
    """
    options = dict(args.cfg_options or {})
    if args.arm is not None:
        arms = load_config(args.config).get('arms', {})
        if args.arm not in arms:
            raise ValueError(f'{args.config} has no arm {args.arm!r}; it has: {", ".join(arms) or "none"}')
        options = arms[args.arm].to_dict() | options
    return EpisodePlan(args.config, options, args.data_root, args.threads)


class Session:
    """A policy on its way: what was learnt, from which episodes.

    Args:
        args: of the command line.
        plan: of the episodes.
    """

    def __init__(self, args: argparse.Namespace, plan: EpisodePlan):
        self.args, self.plan = args, plan
        self.recipe_hash = digest(EpisodePlan(plan.config, plan.options).load().to_dict())
        self.records: list[dict[str, Any]] = []
        self.agents: dict[str, BaseAgent] = make_agents(plan, args.seed)
        self.paired = any(agent.paired for agent in self.agents.values())
        if self.paired and args.batch % 2:
            raise ValueError(f'--batch {args.batch}: trainings of this agent come in pairs, give an even number')

    def begin(self) -> None:
        """Set up the folder, or go on in it.

        Raises:
            ValueError: it has another policy, or one and no ``--resume``.
        """
        path = self.args.out / 'state.pth'
        if path.is_file():
            if not self.args.resume:
                raise ValueError(f'{self.args.out} has a policy already: give --resume or another --out')
            state = read_checkpoint(path)
            for key, value in dict(recipe_hash=self.recipe_hash, seed=self.args.seed).items():
                if state[key] != value:
                    raise ValueError(f'{self.args.out} has a policy of another {key}: {state[key]}, now {value}')
            self.records = state['records']
            for role, agent in self.agents.items():
                agent.load_state_dict(state['agents'][role])
        self.save({})

    def save(self, learning: dict[str, dict[str, float]]) -> None:
        """Write policy, card, picture and state."""
        card = dict(
            config=Path(self.plan.config).name,
            recipe_hash=self.recipe_hash,
            options={key: str(value) for key, value in self.plan.options.items()},
            episodes=len(self.records),
            seeds=[r['seed'] for r in self.records],
            returns=[r['return'] for r in self.records],
            scores=[r['score'] for r in self.records],
            learning=learning,
            torch=torch.__version__,
        )
        self.policies = save_agents(self.agents, self.args.out, card)
        if self.records:
            plot_returns(card['returns'], card['scores'], self.args.out / 'returns.png')
        agents = {role: agent.state_dict() for role, agent in self.agents.items()}
        with atomic_path(self.args.out / 'state.pth') as temporary:
            torch.save(
                dict(agents=agents, records=self.records, recipe_hash=self.recipe_hash, seed=self.args.seed), temporary
            )

    def run_batch(self, pool: Pool) -> None:
        """Train with the policy as it is, and learn from what happened.

        Raises:
            RuntimeError: a training failed.
        """
        first = len(self.records)
        last = min(first + self.args.batch, self.args.episodes)
        tasks = [self._task(i) for i in range(first, last)]
        files = {task.episode: self.args.out / 'episodes' / f'{task.episode:05d}.pth' for task in tasks}
        for task, outcome in pool.run([task for task in tasks if not files[task.episode].is_file()]):
            if 'error' in outcome:
                raise RuntimeError(f'episode {task.episode} failed: {outcome["error"]}')
            with atomic_path(files[task.episode]) as temporary:
                torch.save(outcome, temporary)
            seconds = outcome['seconds']['total']
            print(
                f'[{task.episode + 1}/{self.args.episodes}] return {outcome["return"]:+.3f}, score {outcome["score"]:.4f} '
                f'({seconds:.0f} s)',
                flush=True,
            )
        outcomes = [read_checkpoint(file) for file in files.values()]
        learning = learn_from(self.agents, outcomes)
        for task, outcome in zip(tasks, outcomes, strict=True):
            kept = {key: outcome[key] for key in ('return', 'score', 'seconds', 'actions')}
            self.records.append(dict(episode=task.episode, seed=task.seed) | kept)
        self.save(learning)
        for file in files.values():
            file.unlink()
        shown = ', '.join(f'{role} {k} {v:.3g}' for role, logs in learning.items() for k, v in logs.items())
        recent = statistics.mean(r['return'] for r in self.records[-self.args.batch :])
        print(f'update after {last} episodes: mean return {recent:+.3f}; {shown}', flush=True)

    def _task(self, episode: int) -> EpisodeTask:
        if not self.paired:
            return EpisodeTask(episode, self.args.seed + episode, self.policies)
        return EpisodeTask(episode, self.args.seed + episode // 2, self.policies, mirrored=episode % 2 == 1)


def main() -> int:
    """Learn; the exit status is 1 if something failed or it was interrupted."""
    args = parse_args()
    torch.set_num_threads(1)
    try:
        plan = make_plan(args)
        session = Session(args, plan)
        session.begin()
        with Pool(plan, args.workers) as pool:
            while len(session.records) < args.episodes:
                session.run_batch(pool)
    except KeyboardInterrupt:
        print('interrupted; --resume goes on', file=sys.stderr)
        return 1
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    with atomic_path(args.out / 'episodes.jsonl') as temporary:
        temporary.write_text(''.join(json.dumps(r) + '\n' for r in session.records), encoding='utf-8')
    print(f'written to {args.out}/policy.pth')
    return 0


if __name__ == '__main__':
    sys.exit(main())
