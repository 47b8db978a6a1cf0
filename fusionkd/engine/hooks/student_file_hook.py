"""Writes the plain student file."""

from __future__ import annotations

import json
from pathlib import Path

from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from fusionkd.engine.checkpoint import save_weights
from fusionkd.fileio import atomic_path
from fusionkd.registry import HOOKS


@HOOKS.register_module()
class StudentFileHook(Hook):
    """Keeps ``student_best.pth``: the student alone, plain keys, at its best validation so far.

    ``student_best.json`` beside it says which network it is, so that :class:`FusionInferencer` can build it. Without
    validation it is the student at the end of training.

    Args:
        score: validation metric that decides, larger is better. Default ``'score'``.
        filename: Default ``'student_best.pth'``.
    """

    priority = 'LOW'

    def __init__(self, score: str = 'score', filename: str = 'student_best.pth'):
        self.score = score
        self.filename = filename
        self.best: float | None = None
        self.trained = False

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Write the file when the score rose."""
        if self.score not in (metrics or {}):
            raise KeyError(f'validation has no {self.score!r}; it has {", ".join(metrics or {}) or "no metrics"}')
        if self.best is None or metrics[self.score] > self.best:
            self.best = metrics[self.score]
            self._write(runner)

    def after_train(self, runner: Runner) -> None:
        """Remember that there was a training."""
        self.trained = True

    def after_run(self, runner: Runner) -> None:
        """Write the last student where nothing was validated."""
        if self.trained and self.best is None:
            self._write(runner)
        self.trained = False

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Remember the best score for a resumed run."""
        checkpoint['student_best_score'] = self.best

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Go on comparing with the best score so far."""
        if runner._resume:
            self.best = checkpoint.get('student_best_score')

    @master_only
    def _write(self, runner: Runner) -> None:
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        path = Path(runner.work_dir) / self.filename
        save_weights(model.student, path)
        fuser = runner.cfg.model.student.to_dict()
        fuser.pop('init_cfg', None)  # the file holds the weights, whatever they began as
        card = dict(
            fuser=fuser,
            recipe=Path(runner.cfg.filename).name if runner.cfg.filename else None,
            iteration=runner.iter,
            score=self.best,
            seed=runner.seed,
        )
        with atomic_path(path.with_suffix('.json')) as temporary:
            temporary.write_text(json.dumps(card, indent=1) + '\n', encoding='utf-8')
