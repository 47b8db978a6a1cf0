"""Shows what a student draws and what it earns."""

from __future__ import annotations

from pathlib import Path

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from fusionkd.registry import HOOKS


@HOOKS.register_module()
class SampleSheetHook(Hook):
    """Writes ``sheets/iter_<n>`` into the work dir: some queries of the last group with all answers and rewards.

    Args:
        interval: iterations between two sheets. Default 200.
        queries: shown of a group. Default 4.
    """

    # After the iteration's own hooks; it only writes.
    priority = 'LOW'

    def __init__(self, interval: int = 200, queries: int = 4):
        if interval < 1 or queries < 1:
            raise ValueError(f'interval and queries must be at least 1, got {interval} and {queries}')
        self.interval = interval
        self.queries = queries
        self._due = False

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None, outputs: dict | None = None
    ) -> None:
        """Write a sheet when one is due and there was a group since."""
        self._due |= self.every_n_train_iters(runner, self.interval)
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        if not self._due or model.recent is None:
            return
        self._due = False
        folder = Path(runner.work_dir) / 'sheets'
        folder.mkdir(parents=True, exist_ok=True)
        path = model.write_sheet(folder / f'iter_{runner.iter + 1}', self.queries)
        runner.logger.info(f'sample sheet: {path}')
