"""What a distiller keeps of each teacher: the network, its weight, the cache of its outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from mmengine.dataset import pseudo_collate
from mmengine.logging import print_log
from mmengine.model import BaseDataPreprocessor
from mmengine.structures import BaseDataElement
from torch import Tensor, nn

from fusionkd.datasets.origin import load_origin
from fusionkd.datasets.transforms import PackFusionInputs
from fusionkd.models.fusers import BaseFuser
from fusionkd.registry import MODELS

from .ema_teacher import EMATeacher
from .taps import Tap
from .teacher_cache import TeacherCache


class Teacher:
    """One frozen teacher.

    Args:
        name: in targets, logs and controls.
        network: the fuser.
        weight: factor of everything it teaches, a number >= 0, or ``'agent'``: initially 1 and then set by the agent.
        cache: of its fused images, or ``None``.
        average: the module that keeps ``network`` where it is the student's average, or ``None``.

    Raises:
        ValueError: another weight.
    """

    def __init__(
        self,
        name: str,
        network: nn.Module,
        weight: float | str = 1.0,
        cache: TeacherCache | None = None,
        average: EMATeacher | None = None,
    ):
        if weight != 'agent' and (not isinstance(weight, int | float) or weight < 0):
            raise ValueError(f"teacher {name!r}: weight={weight!r}; expected a number >= 0 or 'agent'")
        self.name = name
        self.network = network
        self.by_agent = weight == 'agent'
        self.weight = 1.0 if self.by_agent else float(weight)
        self.cache = cache
        self.average = average

    @torch.no_grad()
    def run(
        self,
        ir: Tensor,
        vis: Tensor,
        rows: Sequence[int],
        taps: Mapping[str, Tap],
        samples: Sequence | None,
        preprocessor: BaseDataPreprocessor,
    ) -> dict:
        """Fuse some samples of a clean batch.

        Args:
            ir: ``(N, 1, H, W)``.
            vis: same shape.
            rows: ascending positions of the samples that are wanted.
            taps: by path; with any, the network runs even if its images are cached, as features of a crop are not crops of
                features.
            samples: data samples of the batch, where cached images are looked up; without them the network runs.
            preprocessor: turns whole images into what the network sees.

        Returns:
            ``fused`` and ``taps`` by path, each as long as the last row demands; other rows are 0.
        """
        cached = self.cache is not None and samples is not None
        features = {}
        if not cached or taps:
            prefix = list(rows) == list(range(len(rows)))
            picked = slice(len(rows)) if prefix else torch.as_tensor(rows, device=ir.device)
            fused = self.network.fuse(ir[picked], vis[picked])
            features = {path: _spread(tap.take(), rows) for path, tap in taps.items()}
        if cached:
            images = [self.look_up(samples[i], preprocessor) for i in rows]
            fused = torch.stack([torch.from_numpy(image) for image in images])[:, None].to(ir)
        return dict(fused=_spread(fused, rows), taps=features)

    def look_up(self, sample: BaseDataElement, preprocessor: BaseDataPreprocessor) -> np.ndarray:
        """Image of one sample from the cache, filled if it is not there yet: ``(h, w)``, float32."""
        return self.cache.get(self, sample, lambda origin: self.fuse_whole(origin, preprocessor))

    @torch.no_grad()
    def fuse_whole(self, origin: Mapping, preprocessor: BaseDataPreprocessor) -> Tensor:
        """Fused image of a pair as it was loaded, ``(H, W)``, float32."""
        pair = dict(zip(('ir', 'vis'), load_origin(origin), strict=True))
        inputs = preprocessor(pseudo_collate([PackFusionInputs()(pair)]))['inputs']
        with torch.autocast(inputs['ir'].device.type, enabled=False):
            return self.network.fuse(inputs['ir'], inputs['vis'])[0, 0].float().cpu()


def build_teacher(cfg: Mapping, student: BaseFuser) -> Teacher:
    """Teacher of a config.

    Args:
        cfg: of a fuser or of :class:`EMATeacher`, with ``name``, ``weight`` and ``cache``, see :class:`FusionDistiller`.
        student: whose average an :class:`EMATeacher` is.

    Raises:
        ValueError: a cache for an average, or options out of range.
    """
    cfg = dict(cfg)
    kind = cfg['type'] if isinstance(cfg['type'], str) else cfg['type'].__name__
    name = cfg.pop('name', kind).lower()
    cache, weight = cfg.pop('cache', None), cfg.pop('weight', 1.0)
    if kind == EMATeacher.__name__:
        if cache:
            raise ValueError(f'teacher {name!r} changes with the student: its images cannot be cached')
        cfg.pop('type')
        average = EMATeacher(student, **cfg)
        return Teacher(name, average.network, weight, average=average)
    network = MODELS.build(dict(cfg))
    if network.init_cfg:
        network.init_weights()
    elif any(True for _ in network.parameters()):
        print_log(f'teacher {name!r} has no init_cfg: it teaches with random weights', 'current', level=30)
    cfg.pop('init_cfg', None)
    return Teacher(
        name, network, weight, TeacherCache(**cache, config=repr(sorted(cfg.items(), key=str))) if cache else None
    )


def _spread(x: Tensor, rows: Sequence[int]) -> Tensor:
    """Put ``x``, ``(len(rows), ...)``, at its rows; zeros between."""
    if rows[-1] + 1 == len(rows):
        return x
    out = x.new_zeros(rows[-1] + 1, *x.shape[1:])
    out[torch.as_tensor(rows, device=x.device)] = x
    return out
