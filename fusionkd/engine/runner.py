"""The Runner of every recipe."""

from __future__ import annotations

from mmengine.runner import Runner

from fusionkd.engine.checkpoint import trusted_globals
from fusionkd.registry import RUNNERS


@RUNNERS.register_module()
class FusionRunner(Runner):
    """mmengine's Runner, able to read its own checkpoints with ``torch.load``'s safe default."""

    def load_checkpoint(self, *args, **kwargs) -> dict:
        """As in the base class, with mmengine's log buffers allow-listed."""
        with trusted_globals():
            return super().load_checkpoint(*args, **kwargs)
