"""Trainings in processes of their own, one after the other in each.

The parent hands out tasks and keeps the record; a worker process lives as long as the pool, so that the interpreter, the
libraries and what its trainer keeps in memory are paid for once.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import warnings
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any, Protocol

import torch


class Trainer(Protocol):
    """What a worker runs its tasks with."""

    def run_task(self, task: Any) -> dict[str, Any]:
        """Outcome of a task; ``error`` in it, not an exception, where it failed."""


class Plan(Protocol):
    """What all tasks share; pickled once for each worker."""

    threads: int

    def make_trainer(self) -> Trainer:
        """Called once in each worker."""


class Pool:
    """Worker processes that stay until the pool is closed.

    A worker that dies takes its own task with it and no other; another worker takes its place.

    Args:
        plan: what all tasks share.
        workers: processes, started when there is work for them.

    Example:
        >>> with Pool(plan, workers=2) as pool:  # doctest: +SKIP
        ...     for task, outcome in pool.run(tasks):
        ...         print(task, outcome)
    """

    def __init__(self, plan: Plan, workers: int = 1):
        self.plan, self.workers = plan, workers
        self._idle: list[_Worker] = []
        self._busy: dict[Connection, _Worker] = {}

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the idle workers in peace and the others at once."""
        for worker in self._idle:
            worker.bury()
        for worker in self._busy.values():
            worker.process.terminate()
        self._idle, self._busy = [], {}

    def run(self, tasks: Sequence[Any]) -> Iterator[tuple[Any, dict[str, Any]]]:
        """Run tasks and yield each with its outcome, as they finish.

        Args:
            tasks: in the order they are begun.

        Yields:
            The task, and what the trainer returned, or ``error`` and empty ``seconds`` where the process died.

        Raises:
            RuntimeError: a worker could not begin.
        """
        queue = list(reversed(tasks))
        while queue or self._busy:
            while queue and len(self._busy) < self.workers:
                worker = self._idle.pop() if self._idle else _Worker(self.plan)
                worker.give(queue.pop())
                self._busy[worker.pipe] = worker
            for pipe in wait(list(self._busy)):
                worker = self._busy.pop(pipe)
                try:
                    outcome = pipe.recv()
                except (EOFError, OSError):
                    yield worker.task, dict(error=worker.bury(), seconds={})
                    continue
                if 'unable' in outcome:
                    raise RuntimeError(outcome['unable'])
                if queue:
                    task = worker.task
                    worker.give(queue.pop())
                    self._busy[pipe] = worker
                    yield task, outcome
                else:
                    self._idle.append(worker)
                    yield worker.task, outcome


def run_tasks(tasks: Sequence[Any], plan: Plan, workers: int = 1) -> Iterator[tuple[Any, dict[str, Any]]]:
    """:meth:`Pool.run` with a pool of its own."""
    with Pool(plan, workers) as pool:
        yield from pool.run(tasks)


class _Worker:
    """A process and the task it is at."""

    def __init__(self, plan: Plan):
        context = multiprocessing.get_context('spawn')  # forking a process that has used torch may hang
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_work, args=(theirs, plan), daemon=True)
        with _environment(OMP_NUM_THREADS=str(plan.threads)):  # is read when it loads its libraries
            self.process.start()
        theirs.close()

    def give(self, task: Any) -> None:
        self.task = task
        with contextlib.suppress(OSError):  # where it has died, the next receive will tell
            self.pipe.send(task)

    def bury(self) -> str:
        """Close the pipe, which ends a living process, and say how it ended."""
        self.pipe.close()
        self.process.join()
        return f'the worker died (exit code {self.process.exitcode})'


def _work(pipe: Connection, plan: Plan) -> None:
    """The life of a worker."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends it
    warnings.filterwarnings('ignore', 'Multi-processing start method')  # mmengine's, at every Runner
    try:
        torch.set_num_threads(plan.threads)
        trainer = plan.make_trainer()
    except Exception as error:
        pipe.send(dict(unable=short_message(error)))
        return
    try:
        while True:
            pipe.send(trainer.run_task(pipe.recv()))
    except (EOFError, OSError):
        return  # no more tasks, or no parent


@contextlib.contextmanager
def _environment(**values: str) -> Iterator[None]:
    before = {key: os.environ.get(key) for key in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for key, value in before.items():
            if value is None:
                del os.environ[key]
            else:
                os.environ[key] = value


def short_message(error: Exception) -> str:
    """One line about an error."""
    lines = str(error).strip().splitlines()
    return f'{type(error).__name__}: {lines[0] if lines else ""}'[:300]
