"""ImitationDistiller: a student learns to give the answers it is shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.model import BaseModel
from mmengine.structures import BaseDataElement
from torch import Tensor, nn

from fusionkd.models.frozen import WithFrozen
from fusionkd.models.policies.base import Outputs, Queries
from fusionkd.registry import MODELS


@MODELS.register_module()
class ImitationDistiller(WithFrozen, BaseModel):
    """Supervised training on answers: where :class:`RILDistiller` begins, how its teachers are made, and what it must beat.

    The loss is the mean negative log-probability of the parts (tokens) of the answers shown. Without teachers these are the
    ``response`` of each sample; with teachers those that they give (sequence-level distillation, Kim and Rush, 2016).

    Args:
        student: config of a network.
        policy: config of a :class:`Policy`, how such networks answer.
        teachers: configs of :class:`Responder`. Default none.
        num: responses of each teacher to each query. Default 1.
        data_preprocessor: default mmengine's ``BaseDataPreprocessor``, which leaves images as they are.
        init_cfg: mmengine's.

    Example of a recipe: configs/ril/ril_vlm_start.py.
    """

    def __init__(
        self,
        student: dict,
        policy: dict,
        teachers: Sequence[dict] = (),
        num: int = 1,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ):
        preprocessor = MODELS.build(data_preprocessor or dict(type='BaseDataPreprocessor'))
        super().__init__(data_preprocessor=preprocessor, init_cfg=init_cfg)
        if num < 1:
            raise ValueError(f'num must be at least 1, got {num}')
        self.student = MODELS.build(student)
        self.policy = MODELS.build(policy)
        self.num = num
        for cfg in teachers:
            teacher = MODELS.build(cfg)
            if teacher.name in self.frozen:
                raise ValueError(f'two teachers are named {teacher.name!r}; give each its own name=')
            self.freeze(teacher.name, teacher)

    @property
    def teachers(self) -> dict[str, nn.Module]:
        """Responders by name."""
        return self.frozen

    def forward(
        self, inputs: Any, data_samples: Sequence | None = None, mode: str = 'tensor'
    ) -> dict[str, Tensor] | list[BaseDataElement] | Outputs:
        """Entry of the Runner.

        Args:
            inputs: as the preprocessor makes it.
            data_samples: one per query.
            mode: ``'loss'``, ``'predict'`` or ``'tensor'``.

        Returns:
            For ``'loss'`` a dict with ``loss_imitation``, in nats a part; for ``'predict'`` the samples with the policy's
            deterministic answers; for ``'tensor'`` one answer to each query, drawn.

        Raises:
            ValueError: another mode, or a sample without a response where there is no teacher.
        """
        if mode == 'predict':
            return self.policy.predict(self.student, inputs, data_samples)
        queries = self.policy.queries(inputs, data_samples)
        if mode == 'tensor':
            return self.policy.render(self.student, queries, self.policy.sample(self.student, queries, 1))
        if mode != 'loss':
            raise ValueError(f"unknown mode {mode!r}; known: 'loss', 'predict', 'tensor'")
        losses = []
        for responses in self._shown(queries, data_samples):
            answers = self.policy.project(self.student, queries, responses)
            log_prob, mask = self.policy.log_prob(self.student, queries, answers)
            losses.append(-log_prob.float().sum() / mask.sum())
        return dict(loss_imitation=torch.stack(losses).mean())

    def _shown(self, queries: Queries, data_samples: Sequence | None) -> list[Outputs]:
        if self.teachers:
            return [teacher.respond(queries, self.num, data_samples) for teacher in self.teachers.values()]
        missing = [sample for sample in data_samples or () if not sample.get('response')]
        if missing or not data_samples:
            raise ValueError(
                'there is nothing to imitate: give teachers, or a data set whose samples have a response, such as '
                'VisualQuestions or SyntheticQuestions'
            )
        return [[[sample.response] for sample in data_samples]]
