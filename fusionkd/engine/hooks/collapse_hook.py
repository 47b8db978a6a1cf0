"""Says when a discriminator has stopped to teach."""

from __future__ import annotations

from mmengine.hooks import Hook
from mmengine.runner import Runner

from fusionkd.models.discriminators.collapse import CollapseDetector
from fusionkd.registry import HOOKS

KINDS = {None: 0, 'separable': 1, 'constant': 2}
ADVICE = {
    'separable': 'it is always right and all answers of the student earn the same: lower its learning rate, or stop it with '
    'train_discriminator=False',
    'constant': 'it says the same of everything: raise its learning rate or pretrain it longer',
}


@HOOKS.register_module()
class CollapseHook(Hook):
    """Watches the discriminator of a :class:`RILDistiller`, warns when it collapses and logs when it recovers.

    ``train/collapse`` is 0, 1 (separable) or 2 (constant), see :class:`CollapseDetector`.

    Args:
        options: of :class:`CollapseDetector`.
    """

    priority = 'NORMAL'

    def __init__(self, **options):
        self.detector = CollapseDetector(**options)
        self.kind: str | None = None

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None, outputs: dict | None = None
    ) -> None:
        """Look at what the iteration logged."""
        outputs = outputs or {}
        names = dict(accuracy='stat_accuracy', spread='stat_spread', constant='stat_similarity/constant')
        kind = self.detector.update({name: float(outputs[key]) for name, key in names.items() if key in outputs})
        if kind != self.kind and kind is not None:
            runner.logger.warning(
                f'the discriminator has collapsed ({kind}) at iteration {runner.iter + 1}: {ADVICE[kind]}'
            )
        elif kind != self.kind:
            runner.logger.info(f'the discriminator has recovered at iteration {runner.iter + 1}')
        self.kind = kind
        runner.message_hub.update_scalar('train/collapse', KINDS[kind])

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Keep what was seen."""
        checkpoint['collapse'] = dict(kind=self.kind, seen=self.detector.state_dict())

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Go on watching."""
        if runner._resume and 'collapse' in checkpoint:
            self.kind = checkpoint['collapse']['kind']
            self.detector.load_state_dict(checkpoint['collapse']['seen'])
