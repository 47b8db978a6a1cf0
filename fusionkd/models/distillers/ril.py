"""RILDistiller: a student learns from rewards on what it draws and from what its teachers answer, unified."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.logging import print_log
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapperDict
from mmengine.structures import BaseDataElement
from torch import Tensor, nn

from fusionkd.engine.checkpoint import fingerprint
from fusionkd.models.frozen import WithFrozen
from fusionkd.models.policies.base import Answers, Outputs, Queries
from fusionkd.registry import MODELS
from fusionkd.rl.functional import group_policy_loss

from .group import DISCRIMINATOR, STUDENT, Group
from .rewards import find_rewards, reward_stats

REFERENCE = 'reference'


@MODELS.register_module()
class RILDistiller(WithFrozen, BaseModel):
    """The model of RIL (paper D, arXiv 2510.19307) that the Runner trains.

    For a batch of queries the student draws ``num`` answers and every teacher gives ``teacher_num``. A discriminator learns
    for ``mu`` updates to tell them apart (student 1, teacher 0). Every answer then earns 1 where the discriminator takes it
    for a teacher's, D < 0.5, and 1 where the judge says it is good. A discriminator or a judge that speaks of every part of
    an answer (the cells of a map) pays every part for itself; what it pays to whole answers all their parts earn. ``mu``
    updates of the student by the loss of :func:`group_policy_loss` follow, in which all answers count, the teachers' too.
    One iteration of the Runner is one update; batches that arrive while a group is under work are passed over. The group,
    its phase and what it earned are in the checkpoint, so that a run resumed between two updates goes on exactly.

    The student is in evaluation mode (dropout off, statistics of batch norm as they are): an answer must have the same
    probability as long as the weights are the same.

    Args:
        student: config of a network.
        policy: config of a :class:`Policy`, how such networks answer.
        teachers: configs of :class:`Responder`. Default none: plain Dr.GRPO on the student's own answers.
        discriminator: config of a :class:`Discriminator`. Default none: no similarity reward (ablation of paper D).
        judge: config of a :class:`Judge`. Default none: no answer reward (ablation of paper D).
        num: G, answers of the student in a group. Default 4 (paper D).
        teacher_num: responses of each teacher in a group. Default ``num`` (paper D).
        mu: updates of the discriminator, and then of the student, with the same group. Default 1 (paper D).
        clip: eps of the ratio. Default 0.2 (paper D).
        beta: weight of the divergence from the starting point. Default 0.01 (paper D, where 0 collapses).
        length: the largest number of parts of an answer. Default that of each group; give it where answers differ in length.
        pretrain: updates of the discriminator alone before the first group. Default 100 (not from the paper).
        pretrain_num: answers of the student, and of all teachers together, to each query in such an update. Default 16
            (paper D).
        train_discriminator: go on training it after that. Default True; False is paper D's ablation "frozen".
        graded: the similarity reward is 1 - D instead of 1[D < 0.5]. Default False (paper D, where binary was better).
        data_preprocessor: default :class:`FusionPreprocessor`.
        init_cfg: mmengine's.

    Attributes:
        recent: the group of the last update of the student, for pictures, or ``None``.

    Raises:
        ValueError: neither discriminator nor judge, a discriminator without teachers, two teachers of one name, numbers
            outside their range.

    Example of a recipe: configs/ril/ril_fusion_msrs.py.
    """

    def __init__(
        self,
        student: dict,
        policy: dict,
        teachers: Sequence[dict] = (),
        discriminator: dict | None = None,
        judge: dict | None = None,
        num: int = 4,
        teacher_num: int | None = None,
        mu: int = 1,
        clip: float = 0.2,
        beta: float = 0.01,
        length: int | None = None,
        pretrain: int = 100,
        pretrain_num: int = 16,
        train_discriminator: bool = True,
        graded: bool = False,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ):
        preprocessor = MODELS.build(data_preprocessor or dict(type='FusionPreprocessor'))
        super().__init__(data_preprocessor=preprocessor, init_cfg=init_cfg)
        self.student = MODELS.build(student)
        self.policy = MODELS.build(policy)
        self.discriminator = MODELS.build(discriminator) if discriminator else None
        self.judge = MODELS.build(judge) if judge else None
        for cfg in teachers:
            self._add_teacher(MODELS.build(cfg))
        self.num, self.mu, self.clip, self.beta, self.length = num, mu, clip, beta, length
        self.teacher_num = num if teacher_num is None else teacher_num
        self.pretrain_num, self.graded = pretrain_num, graded
        self.train_discriminator = train_discriminator and self.discriminator is not None
        self.pretrain_left = pretrain if self.discriminator is not None else 0
        self.group: Group | None = None
        self.recent: Group | None = None
        self._check()
        if self.discriminator is not None:
            self.discriminator.bind(self.student)
        self._reference_digest: str | None = None

    @property
    def teachers(self) -> dict[str, nn.Module]:
        """Responders by name."""
        return {name: module for name, module in self.frozen.items() if name != REFERENCE}

    @property
    def part(self) -> str:
        """What the next iteration updates, ``'discriminator'`` or ``'student'``."""
        if self.pretrain_left:
            return DISCRIMINATOR
        return self.group.phase if self.group is not None else self._first_phase

    def init_weights(self) -> None:
        """Initialise, and keep the starting point, which is the student before a resumed run's weights are loaded."""
        super().init_weights()
        self._keep_reference()
        if self.discriminator is not None:
            self.discriminator.bind(self.student)

    def train(self, mode: bool = True) -> RILDistiller:
        """Switch the discriminator; the student stays in evaluation."""
        super().train(mode)
        self.student.eval()
        return self

    def train_step(self, data: dict, optim_wrapper: OptimWrapperDict) -> dict[str, Tensor]:
        """One update, of :attr:`part`.

        Args:
            data: a batch of the loader.
            optim_wrapper: with ``student`` and, if there is one, ``discriminator``; see :class:`PartsOptimConstructor`.

        Raises:
            FloatingPointError: the loss is not finite; the weights are as they were.
        """
        wrapper = optim_wrapper[self.part]
        data = self.data_preprocessor(data, True)
        with wrapper.optim_context(self):
            logs = self.loss(data['inputs'], data.get('data_samples'))
        loss, values = self.parse_losses(logs)
        if not torch.isfinite(loss):
            raise FloatingPointError(
                f'{next(iter(logs))} is {loss.item()}: the network has gone too far in a few steps. Lower its learning rate'
            )
        wrapper.update_params(loss)
        return values

    def forward(
        self, inputs: Any, data_samples: Sequence | None = None, mode: str = 'tensor'
    ) -> dict[str, Tensor] | list[BaseDataElement] | Outputs:
        """Entry of the Runner.

        Args:
            inputs: as the preprocessor makes it.
            data_samples: one per query, or ``None``.
            mode: ``'loss'``, ``'predict'`` or ``'tensor'``.

        Returns:
            For ``'loss'`` see :meth:`loss`; for ``'predict'`` the samples with the policy's deterministic answers; for
            ``'tensor'`` one answer to each query, drawn.

        Raises:
            ValueError: another mode.
        """
        if mode == 'loss':
            return self.loss(inputs, data_samples)
        if mode == 'predict':
            return self.policy.predict(self.student, inputs, data_samples)
        if mode == 'tensor':
            queries = self.policy.queries(inputs, data_samples)
            return self.policy.render(self.student, queries, self.policy.sample(self.student, queries, 1))
        raise ValueError(f"unknown mode {mode!r}; known: 'loss', 'predict', 'tensor'")

    def loss(self, inputs: Any, data_samples: Sequence | None = None) -> dict[str, Tensor]:
        """Loss of the next update, which is counted as done.

        Returns:
            Of the discriminator ``loss_discriminator``, ``stat_accuracy`` (mean of both sides, 0.5 is chance) and
            ``stat_spread`` (standard deviation of D over the answers). Of the student ``loss_policy``;
            ``stat_<reward>/student`` and ``stat_<reward>/teacher``, means of ``similarity`` and ``judge``;
            ``stat_similarity/constant``, share of queries whose student answers all earn the same similarity; and
            ``stat_kl``, ``stat_ratio``, ``stat_clipfrac`` and ``stat_approx_kl``.
        """
        if self.pretrain_left:
            return self._pretrain(inputs, data_samples)
        if self.group is None:
            queries = self.policy.queries(inputs, data_samples)
            answers = self._draw(queries, data_samples, self.num, self.teacher_num)
            self.group = Group(queries, answers, self.num, self._first_phase)
        group = self.group
        if group.phase == DISCRIMINATOR:
            logs = self._discriminate(group.queries, group.answers, group.students)
        else:
            logs = self._improve(group)
        if group.advance(self.mu):
            self.group = None
        return logs

    @torch.no_grad()
    def write_sheet(self, path: Path, queries: int = 4) -> Path:
        """Show some queries of the last group with all answers and rewards, see :meth:`Policy.write_sheet`."""
        group = self.recent
        shown = slice(min(queries, len(group.total)))
        owners = ['student'] * group.students
        owners += [name for name in self.teachers for _ in range(self.teacher_num)]
        titles = [
            [
                ', '.join(
                    [owner, *(f'{name} {float(value[b, i].mean()):.2g}' for name, value in group.rewards.items())]
                )
                for i, owner in enumerate(owners)
            ]
            for b in range(shown.stop)
        ]
        some = {name: value[shown] for name, value in group.queries.items()}
        outputs = self.policy.render(self.student, some, group.answers.select(shown))
        return self.policy.write_sheet(path, some, outputs, titles)

    def get_extra_state(self) -> dict:
        """What is under work, for the training checkpoint."""
        return dict(
            group=None if self.group is None else self.group.state_dict(),
            pretrain_left=self.pretrain_left,
            reference=self._reference_digest,
        )

    def set_extra_state(self, state: Mapping) -> None:
        """Go on where the checkpoint stopped.

        Raises:
            ValueError: the run began with other weights than the student has now.
        """
        if self._reference_digest and state['reference'] not in (None, self._reference_digest):
            raise ValueError(
                'the checkpoint belongs to a run that began with other weights than this one, and is tied to them: give the '
                "student's init_cfg the file that it began with"
            )
        device = next(self.student.parameters()).device
        self.group = None if state['group'] is None else Group.from_state(state['group'], device)
        self.pretrain_left = int(state['pretrain_left'])

    @property
    def _first_phase(self) -> str:
        return DISCRIMINATOR if self.train_discriminator else STUDENT

    def _pretrain(self, inputs: Any, data_samples: Sequence | None) -> dict[str, Tensor]:
        queries = self.policy.queries(inputs, data_samples)
        each = -(-self.pretrain_num // len(self.teachers))
        answers = self._draw(queries, data_samples, self.pretrain_num, each)
        logs = self._discriminate(queries, answers, self.pretrain_num)
        self.pretrain_left -= 1
        if not self.pretrain_left:
            print_log(f'discriminator pretrained, accuracy {logs["stat_accuracy"]:.3f}', 'current')
        return logs

    @torch.no_grad()
    def _draw(self, queries: Queries, data_samples: Sequence | None, num: int, teacher_num: int) -> Answers:
        """The student's answers, then those of every teacher."""
        parts = [self.policy.sample(self.student, queries, num)]
        for teacher in self.teachers.values():
            responses = teacher.respond(queries, teacher_num, data_samples)
            parts.append(self.policy.project(self.student, queries, responses))
        return Answers.cat(parts)

    def _discriminate(self, queries: Queries, answers: Answers, students: int) -> dict[str, Tensor]:
        """Loss of telling the student's answers, the first ones, from the teachers'."""
        logits = self.discriminator(queries, self.policy.render(self.student, queries, answers)).float()
        own, others = logits[:, :students], logits[:, students:]
        # -log D of the student's and -log(1 - D) of the teachers', each side as one half whatever its size.
        loss = F.softplus(-own).mean() + F.softplus(others).mean()
        with torch.no_grad():
            accuracy = ((own > 0).float().mean() + (others < 0).float().mean()) / 2
            return dict(loss_discriminator=loss, stat_accuracy=accuracy, stat_spread=logits.sigmoid().std())

    def _improve(self, group: Group) -> dict[str, Tensor]:
        """Loss of the student; the group is judged before its first update."""
        if not group.rewards:
            outputs = self.policy.render(self.student, group.queries, group.answers)
            group.rewards = find_rewards(group, outputs, self.discriminator, self.judge, self.graded)
        log_prob, mask = self.policy.log_prob(self.student, group.queries, group.answers)
        log_prob = log_prob.float()
        total = group.check_parts(log_prob.shape).total
        if group.old_log_prob is None:
            group.old_log_prob = log_prob.detach()
            group.reference_log_prob = self._reference_log_prob(group)
        divergence = self.policy.divergence(self.student, self.frozen[REFERENCE], group.queries, group.answers)
        with torch.autocast(log_prob.device.type, enabled=False):
            loss, stats = group_policy_loss(
                log_prob,
                group.old_log_prob,
                group.reference_log_prob,
                total,
                mask,
                self.length,
                self.clip,
                self.beta,
                divergence,
            )
        self.recent = group
        logs = dict(loss_policy=loss) | reward_stats(group)
        stats['kl'] = stats.pop('reference_kl')
        return logs | {f'stat_{name}': log_prob.new_tensor(value) for name, value in stats.items()}

    @torch.no_grad()
    def _reference_log_prob(self, group: Group) -> Tensor:
        if REFERENCE not in self.frozen:
            self._keep_reference()
        return self.policy.log_prob(self.frozen[REFERENCE], group.queries, group.answers)[0].float()

    def _keep_reference(self) -> None:
        reference = self.freeze(REFERENCE, self.policy.reference(self.student))
        self._reference_digest = fingerprint(reference)

    def _add_teacher(self, teacher: nn.Module) -> None:
        if teacher.name in self.frozen or teacher.name == REFERENCE:
            raise ValueError(
                f'two teachers are named {teacher.name!r}, or it is {REFERENCE!r}; give each its own name='
            )
        self.freeze(teacher.name, teacher)

    def _check(self) -> None:
        if self.discriminator is None and self.judge is None:
            raise ValueError('nothing is rewarded: give a discriminator, a judge or both')
        if self.discriminator is not None and not self.frozen:
            raise ValueError("a discriminator tells the student's answers from its teachers', but there are none")
        least = dict(num=1, teacher_num=1, mu=1, clip=0, beta=0, pretrain_left=0, pretrain_num=1)
        wrong = {name: getattr(self, name) for name, low in least.items() if getattr(self, name) < low}
        if wrong:
            raise ValueError(f'numbers below their range: {wrong}; the smallest are {least}')
        if self.num + (self.teacher_num if self.frozen else 0) < 2:
            raise ValueError('a group of one answer has no advantage: give num=2 or more')
