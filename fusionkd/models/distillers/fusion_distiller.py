"""FusionDistiller: one student, frozen teachers, weighted terms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from mmengine.model import BaseModel
from mmengine.structures import BaseDataElement
from torch import Tensor, nn

from fusionkd.models.frozen import WithFrozen
from fusionkd.ops import merge_ycbcr
from fusionkd.registry import HARD_SAMPLES, MODELS
from fusionkd.rl.actions import Control

from .alignment import gradient_cosine, no_trace
from .guidance import ALL, Batch, Value, evaluate_term, followed, group_samples, wanted_rows
from .hard_view import HardView
from .taps import STUDENT, Tap, place_taps
from .teacher import Teacher, build_teacher
from .term import Term

SAMPLE_CONTROLS = ('hard_strength', 'hard_op', 'teacher')


@MODELS.register_module()
class FusionDistiller(WithFrozen, BaseModel):
    """The model that the Runner trains.

    In every step the student fuses the clean pair and, if a term asks for it, a hard version of the pair
    (self-learning, paper A); every term compares one of these outputs with the clean sources or with teachers that saw
    the clean pair. With all teacher terms at weight 0, training equals plain training bit for bit.

    Args:
        student: config of a fuser.
        teachers: configs of fusers, frozen, evaluated, in no optimiser and no checkpoint. Each may also have a ``name``, by
            default its type in lower case; a ``weight``, a factor of all it teaches, by default 1, or ``'agent'``; and
            a ``cache``, the config of a :class:`TeacherCache`. ``dict(type='EMATeacher', momentum=0.01)`` is the
            average of the student itself, see :class:`EMATeacher`; its state is in the checkpoint.
        terms: configs of :class:`Term`.
        hard_samples: config of a generator, needed by terms on ``'hard'``.
        hard_share: share of a batch that is made hard in the view ``'hard'``, in [0, 1]; the other samples, spread evenly,
            stay clean. Default 1.
        follow: ``'all'`` (default), or the name of the only teacher that terms learn from; those that name another rest.
        channels_last: memory format of student and teachers; on CPUs convolutions are several times faster with it.
            Default True.
        test_teachers: also fuse with the teachers in :meth:`test_step`, for results tables. Default False.
        data_preprocessor: default :class:`FusionPreprocessor`.
        init_cfg: mmengine's.

    Attributes:
        sample_values: after :meth:`loss`, by term: the unweighted loss of each sample, ``(N,)``, detached, of terms whose
            loss has ``per_sample``; nan for samples that the term did not look at.

    Raises:
        ValueError: two terms or teachers of one name, a term whose wiring does not fit, terms on hard samples without a
            generator, numbers outside their range.

    Example:
        >>> model = FusionDistiller(student=dict(type='SwiftFuser'), terms=[dict(name='self', loss=dict(type='FusionLoss'))])
    """

    def __init__(
        self,
        student: dict,
        teachers: Sequence[dict] = (),
        terms: Sequence[dict] = (),
        hard_samples: dict | None = None,
        hard_share: float = 1.0,
        follow: str = ALL,
        channels_last: bool = True,
        test_teachers: bool = False,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ):
        preprocessor = MODELS.build(data_preprocessor or dict(type='FusionPreprocessor'))
        super().__init__(data_preprocessor=preprocessor, init_cfg=init_cfg)
        self.test_teachers = test_teachers
        self.student = MODELS.build(student)
        self.averages = nn.ModuleDict()
        self.guides: dict[str, Teacher] = {}
        for cfg in teachers:
            self._add_teacher(dict(cfg))
        self.hard_samples = HARD_SAMPLES.build(hard_samples) if hard_samples else None
        self.terms = nn.ModuleDict()
        for cfg in terms:
            term = Term(**cfg)
            if term.name in self.terms:
                raise ValueError(f'two terms are named {term.name!r}; names are the keys of logs and agents')
            if term.on == 'hard' and self.hard_samples is None:
                raise ValueError(f"term {term.name!r} is on='hard', but the distiller has no hard_samples")
            self.terms[term.name] = term
        self.hard_view = HardView(self.hard_samples, self.terms.values(), hard_share)
        self.follow = self.initial_follow = follow
        if follow not in (ALL, *self.guides):
            raise ValueError(f'follow={follow!r}; known: {", ".join((ALL, *self.guides))}')
        self.sample_values: dict[str, Tensor] = {}
        self._sample_action: dict[str, list] = {}
        self._taps = place_taps(self.student, self.teachers, self.terms.values())
        if channels_last:
            self.to(memory_format=torch.channels_last)

    @property
    def teachers(self) -> dict[str, nn.Module]:
        """Frozen networks of the teachers by name."""
        return self.frozen

    def forward(
        self, inputs: Mapping[str, Tensor], data_samples: Sequence | None = None, mode: str = 'tensor'
    ) -> dict[str, Tensor] | list[BaseDataElement] | Tensor:
        """Entry of the Runner.

        Args:
            inputs: ``ir`` and ``vis``, ``(N, 1, H, W)`` in [0, 1], and ``cbcr``, ``(N, 2, H, W)`` or ``None``, as the
                preprocessor makes them.
            data_samples: one per pair, or ``None``.
            mode: ``'loss'``, ``'predict'`` or ``'tensor'``.

        Returns:
            For ``'loss'`` a dict with ``loss_<name>`` (weighted) and ``stat_<name>`` (unweighted) of every active term; for
            ``'predict'`` the samples with ``fused``, ``(1 or 3, H, W)`` in [0, 1]; for ``'tensor'`` the fused luma.

        Raises:
            ValueError: another mode.
        """
        if mode == 'loss':
            return self.loss(**inputs, data_samples=data_samples)
        if mode == 'predict':
            return self.predict(**inputs, data_samples=data_samples)
        if mode == 'tensor':
            return self.student.fuse(inputs['ir'], inputs['vis'])
        raise ValueError(f"unknown mode {mode!r}; known: 'loss', 'predict', 'tensor'")

    def loss(
        self, ir: Tensor, vis: Tensor, cbcr: Tensor | None = None, data_samples: Sequence | None = None
    ) -> dict[str, Tensor]:
        """Losses of one batch; see :meth:`forward`. Without data samples teachers run instead of being looked up."""
        active = [term for term in self.terms.values() if term.weight > 0]
        if not active:
            raise ValueError('every term has weight 0: there is nothing to train')
        if self.training:
            for average in self.averages.values():
                average.update(self.student)
        action, self._sample_action = self._sample_action, {}
        wrong = {name: len(values) for name, values in action.items() if len(values) != len(ir)}
        if wrong:
            raise ValueError(f'decisions for another number of samples than the batch has, {len(ir)}: {wrong}')
        values = self._evaluate(active, Batch(ir, vis, cbcr, data_samples), action)
        self.sample_values = {name: value.each for name, value in values.items() if value.each is not None}
        logs: dict[str, Tensor] = {}
        for name, value in values.items():
            logs[f'loss_{name}'] = self.terms[name].weight * value.loss
            logs[f'stat_{name}'] = value.stat
        return logs or dict(loss_idle=0 * self.student.fuse(ir, vis).sum())  # the agent chose teachers of no term

    def gradient_alignment(self, inputs: Mapping[str, Tensor], data_samples: Sequence | None = None) -> float | None:
        """Do the teachers pull the student where it goes by itself?

        Cosine between the gradients of the sum of the teacher terms and of the sum of all others with respect to the
        student's last layer. Weights in force count, but those left to an agent count as 1. Nothing is searched, and no
        gradient, buffer or random generator changes.

        Args:
            inputs: as in :meth:`forward`.
            data_samples: as in :meth:`loss`.

        Returns:
            In [-1, 1]; ``None`` where there are no teacher terms, no others, or a gradient is 0.
        """
        terms = [term for term in self.terms.values() if term.weight > 0 or term.by_agent]
        with no_trace(self), torch.enable_grad():
            values = self._evaluate(terms, Batch(**inputs, samples=data_samples), search=False)
            sums: dict[bool, Tensor] = {}
            for name, value in values.items():
                term = self.terms[name]
                weighted = value.loss if term.by_agent else term.weight * value.loss
                sums[term.taught] = sums.get(term.taught, 0) + weighted
            return gradient_cosine(sums[True], sums[False], self.student) if len(sums) == 2 else None

    @torch.no_grad()
    def predict(
        self, ir: Tensor, vis: Tensor, cbcr: Tensor | None = None, data_samples: Sequence | None = None
    ) -> list[BaseDataElement]:
        """Fused images of one batch; see :meth:`forward`."""
        samples = data_samples or [BaseDataElement() for _ in range(len(ir))]
        fused = merge_ycbcr(self.student.fuse(ir, vis).float(), cbcr)
        for sample, image in zip(samples, fused, strict=True):
            sample.fused = image
        return samples

    @torch.no_grad()
    def test_step(self, data: dict) -> list[BaseDataElement]:
        """:meth:`predict` of one batch of the loader, with ``teacher_<name>`` beside ``fused`` if asked for."""
        data = self.data_preprocessor(data, False)
        inputs = data['inputs']
        samples = self.predict(**inputs, data_samples=data['data_samples'])
        if self.test_teachers:
            for name, teacher in self.teachers.items():
                images = merge_ycbcr(teacher.fuse(inputs['ir'], inputs['vis']).float(), inputs['cbcr'])
                for sample, image in zip(samples, images, strict=True):
                    sample.set_field(image, f'teacher_{name}')
        return samples

    def controls(self) -> dict[str, Control]:
        """What an agent may set, in its initial state.

        The weight of every term marked ``'agent'`` under the term's name, and those of its ``parts`` as ``<term>_<part>``;
        the weight of every teacher marked so as ``teacher_<name>``; ``hard_strength``, ``hard_op`` and ``hard_share`` if the
        generator's strength is ``'agent'``; and with several teachers ``teacher``, the one to follow, or ``'all'``.
        """
        controls = {name: c for term in self.terms.values() for name, c in term.controls().items()}
        controls |= {f'teacher_{g.name}': Control(1.0, 0.0, 2.0) for g in self.guides.values() if g.by_agent}
        controls |= self.hard_view.controls()
        if len(self.guides) > 1:
            options = (*self.guides, ALL)
            controls['teacher'] = Control(options.index(self.initial_follow), options=options)
        return controls

    def sample_controls(self) -> dict[str, Control]:
        """Those of :meth:`controls` that can be set for each sample."""
        return {name: control for name, control in self.controls().items() if name in SAMPLE_CONTROLS}

    def apply_action(self, action: Mapping[str, float | str]) -> None:
        """Set some controls.

        Raises:
            KeyError: not one of :meth:`controls`.
            ValueError: no such option.
        """
        known = self.controls()
        owners = {control: term for term in self.terms.values() for control in term.controls()}
        for name, value in action.items():
            self._check_action(name, [value], known)
            if name == 'teacher':
                self.follow = value
            elif name.startswith('hard_'):
                self.hard_view.set(name, value)
            elif name in owners:
                owners[name].set_control(name, float(value))
            else:
                self.guides[name.removeprefix('teacher_')].weight = float(value)

    def apply_sample_action(self, action: Mapping[str, Sequence]) -> None:
        """Set some controls for each sample of the next batch that :meth:`loss` sees, and for no other.

        Args:
            action: N values by control. A sample that follows one teacher is compared with no other, and teachers that
                nobody follows do not run.

        Raises:
            KeyError: not one of :meth:`sample_controls`.
            ValueError: no such option. :meth:`loss` raises it if the batch has another number of samples.
        """
        known = self.sample_controls()
        for name, values in action.items():
            self._check_action(name, values, known)
        self._sample_action = {name: list(values) for name, values in action.items()}

    def _check_action(self, name: str, values: Sequence, known: Mapping[str, Control]) -> None:
        if name not in known:
            raise KeyError(f'{name!r} is not left to the agent; controls: {", ".join(known) or "none"}')
        options = known[name].options
        unknown = sorted({v for v in values if v not in options}) if options else []
        if unknown:
            raise ValueError(f'control {name!r} has no option {unknown}; it has: {", ".join(options)}')

    def _add_teacher(self, cfg: dict) -> None:
        teacher = build_teacher(cfg, self.student)
        if teacher.name in self.frozen or teacher.name == ALL:
            raise ValueError(f'two teachers are named {teacher.name!r}, or it is {ALL!r}; give each its own name=')
        self.freeze(teacher.name, teacher.network)
        self.guides[teacher.name] = teacher
        if teacher.average is not None:
            self.averages[teacher.name] = teacher.average

    def _evaluate(
        self, terms: Sequence[Term], batch: Batch, action: Mapping[str, list] | None = None, search: bool = True
    ) -> dict[str, Value]:
        """Unweighted values of those terms that somebody teaches or that need no teacher."""
        ir, vis = batch.ir, batch.vis
        action = action or {}
        groups = group_samples(action.get('teacher'), self.follow)
        terms = [t for t in terms if not t.taught or any(followed(t, g, self.guides) for g in groups)]
        student = self._run_views(terms, batch, action, search)
        outputs = {
            name: self.guides[name].run(
                ir, vis, rows, self._wanted_taps(name, terms), batch.samples, self.data_preprocessor
            )
            for name, rows in wanted_rows(terms, groups, self.guides, len(ir)).items()
        }
        for name in self.teachers:
            for tap in self._taps[name].values():
                tap.value = None  # of a whole image, or wanted by no active term
        # Losses subtract nearly equal numbers; they are computed in float32 whatever the networks run in.
        with torch.autocast(ir.device.type, enabled=False):
            values = {t.name: evaluate_term(t, student[t.on], outputs, groups, self.guides, batch) for t in terms}
        return {name: value for name, value in values.items() if value is not None}

    def _run_views(self, terms: Sequence[Term], batch: Batch, action: Mapping[str, list], search: bool) -> dict:
        """The student's outputs by view, each for as many samples as its terms look at."""
        counts: dict[str, int] = {}
        for term in terms:
            counts[term.on] = max(counts.get(term.on, 0), term.samples(len(batch.ir)))
        views = {}
        for on, n in sorted(counts.items()):  # clean before hard
            ir, vis = batch.ir[:n], batch.vis[:n]
            if on == 'hard':
                cbcr = None if batch.cbcr is None else batch.cbcr[:n]
                hard = self.hard_view(self.student, ir, vis, cbcr, action, search)
                if hard[0] is ir and counts.get('clean') == n:  # nothing was degraded
                    views[on] = views['clean']
                    continue
                ir, vis = hard
            views[on] = self._run_student(ir, vis)
        return views

    def _run_student(self, ir: Tensor, vis: Tensor) -> dict:
        fused = self.student.fuse(ir, vis)
        return dict(fused=fused, taps={path: tap.take() for path, tap in self._taps[STUDENT].items()})

    def _wanted_taps(self, name: str, terms: Sequence[Term]) -> dict[str, Tap]:
        paths = {term.tap_t for term in terms if name in term.teachers(list(self.guides))}
        return {path: tap for path, tap in self._taps[name].items() if path in paths}
