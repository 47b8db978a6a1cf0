"""FusionDistiller: one student, frozen teachers, weighted terms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from mmengine.logging import print_log
from mmengine.model import BaseModel
from mmengine.structures import BaseDataElement
from torch import Tensor, nn

from fusionkd.models.frozen import WithFrozen
from fusionkd.ops import merge_ycbcr
from fusionkd.registry import HARD_SAMPLES, MODELS

from .term import Tap, Term

HARD_STRENGTH = 'hard_strength'


@MODELS.register_module()
class FusionDistiller(WithFrozen, BaseModel):
    """The model that the Runner trains.

    In every step the student fuses the clean pair and, if a term asks for it, a hard version of the pair
    (self-learning, paper A); every term compares one of these outputs with the clean sources or with teachers that saw
    the clean pair. With all teacher terms at weight 0, training equals plain training bit for bit.

    Args:
        student: config of a fuser.
        teachers: configs of fusers; each may have a ``name``, by default its type in lower case. Frozen, evaluated, in no
            optimiser and no checkpoint.
        terms: configs of :class:`Term`.
        hard_samples: config of a generator, needed by terms on ``'hard'``.
        channels_last: memory format of student and teachers; on CPUs convolutions are several times faster with it.
            Default True.
        test_teachers: also fuse with the teachers in :meth:`test_step`, for results tables. Default False.
        data_preprocessor: default :class:`FusionPreprocessor`.
        init_cfg: mmengine's.

    Raises:
        ValueError: two terms or teachers of one name, a term whose wiring does not fit, terms on hard samples without a
            generator.

    Example:
        >>> model = FusionDistiller(student=dict(type='SwiftFuser'), terms=[dict(name='self', loss=dict(type='FusionLoss'))])
    """

    def __init__(
        self,
        student: dict,
        teachers: Sequence[dict] = (),
        terms: Sequence[dict] = (),
        hard_samples: dict | None = None,
        channels_last: bool = True,
        test_teachers: bool = False,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ):
        preprocessor = MODELS.build(data_preprocessor or dict(type='FusionPreprocessor'))
        super().__init__(data_preprocessor=preprocessor, init_cfg=init_cfg)
        self.test_teachers = test_teachers
        self.student = MODELS.build(student)
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
        self._place_taps()
        if channels_last:
            self.to(memory_format=torch.channels_last)

    @property
    def teachers(self) -> dict[str, nn.Module]:
        """Frozen teachers by name."""
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
            return self.loss(**inputs)
        if mode == 'predict':
            return self.predict(**inputs, data_samples=data_samples)
        if mode == 'tensor':
            return self.student.fuse(inputs['ir'], inputs['vis'])
        raise ValueError(f"unknown mode {mode!r}; known: 'loss', 'predict', 'tensor'")

    def loss(self, ir: Tensor, vis: Tensor, cbcr: Tensor | None = None) -> dict[str, Tensor]:
        """Losses of one batch; see :meth:`forward`."""
        active = [term for term in self.terms.values() if term.weight > 0]
        if not active:
            raise ValueError('every term has weight 0: there is nothing to train')
        views = {term.on for term in active}
        student = {}
        if 'clean' in views:
            student['clean'] = self._run_student(ir, vis)
        if 'hard' in views:
            student['hard'] = self._run_student(*self.hard_samples(ir, vis))
        teachers = self._run_teachers(active, ir, vis)

        logs: dict[str, Tensor] = {}
        # Losses subtract nearly equal numbers; they are computed in float32 whatever the networks run in.
        with torch.autocast(ir.device.type, enabled=False):
            for term in active:
                value = self._evaluate(term, student[term.on], teachers, dict(ir=ir, vis=vis, cbcr=cbcr))
                logs[f'loss_{term.name}'] = term.weight * value
                logs[f'stat_{term.name}'] = value.detach()
        return logs

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

    def controls(self) -> dict[str, float]:
        """What an agent may set, with the values in force: weights given to it and the strength of hard samples."""
        controls = {term.name: float(term.weight) for term in self.terms.values() if term.by_agent}
        if self.hard_samples is not None and getattr(self.hard_samples, 'by_agent', False):
            controls[HARD_STRENGTH] = float(self.hard_samples.high)
        return controls

    def apply_action(self, action: Mapping[str, float]) -> None:
        """Set some controls.

        Raises:
            KeyError: not one of :meth:`controls`.
        """
        known = self.controls()
        for name, value in action.items():
            if name not in known:
                raise KeyError(f'{name!r} is not left to the agent; controls: {", ".join(known) or "none"}')
            if name == HARD_STRENGTH:
                self.hard_samples.set_strength(value)
            else:
                self.terms[name].weight = float(value)

    def _add_teacher(self, cfg: dict) -> None:
        name = cfg.pop('name', cfg['type'] if isinstance(cfg['type'], str) else cfg['type'].__name__).lower()
        if name in self.frozen:
            raise ValueError(f'two teachers are named {name!r}; give each its own name=')
        teacher = MODELS.build(cfg)
        if teacher.init_cfg:
            teacher.init_weights()
        elif any(True for _ in teacher.parameters()):
            print_log(f'teacher {name!r} has no init_cfg: it teaches with random weights', 'current', level=30)
        self.freeze(name, teacher)

    def _place_taps(self) -> None:
        """Install the taps and let losses build adapters for what was found there."""
        self._taps: dict[tuple[str, str], Tap] = {}
        teachers = list(self.teachers)
        for term in self.terms.values():
            networks = [('student', self.student, term.tap_s)]
            networks += [(name, self.teachers[name], term.tap_t) for name in term.teachers(teachers)]
            for owner, network, path in networks:
                if path is not None and (owner, path) not in self._taps:
                    self._taps[owner, path] = Tap(network, path)
        if not self._taps:
            return
        shapes = self._dry_run()
        for term in self.terms.values():
            if hasattr(term.loss, 'bind'):
                channels = {shapes[name, term.tap_t][1] for name in term.teachers(teachers)}
                if len(channels) != 1:
                    raise ValueError(
                        f'term {term.name!r}: tap_t has {sorted(channels)} channels; one adapter needs one'
                    )
                term.loss.bind(shapes['student', term.tap_s][1], channels.pop())

    @torch.no_grad()
    def _dry_run(self) -> dict[tuple[str, str], torch.Size]:
        """Shapes at all taps for a small image."""
        x = torch.zeros(1, 1, 64, 64)
        self.student.eval()
        for network in (self.student, *self.teachers.values()):
            network.fuse(x, x)
        self.student.train()
        return {key: tap.take().shape for key, tap in self._taps.items()}

    def _run_student(self, ir: Tensor, vis: Tensor) -> dict[str, Tensor]:
        return dict(fused=self.student.fuse(ir, vis), taps=self._take_taps('student'))

    @torch.no_grad()
    def _run_teachers(self, active: Sequence[Term], ir: Tensor, vis: Tensor) -> dict[str, dict]:
        """Outputs of the teachers that active terms learn from, for as many samples as the terms look at."""
        outputs = {}
        for name, teacher in self.teachers.items():
            counts = [term.samples(len(ir)) for term in active if name in term.teachers(list(self.teachers))]
            if counts:
                n = max(counts)
                outputs[name] = dict(fused=teacher.fuse(ir[:n], vis[:n]), taps=self._take_taps(name))
        return outputs

    def _take_taps(self, owner: str) -> dict[str, Tensor]:
        return {path: tap.take() for (name, path), tap in self._taps.items() if name == owner}

    def _evaluate(self, term: Term, student: dict, teachers: dict, sources: dict) -> Tensor:
        """Unweighted value of one term, averaged over the teachers it learns from."""
        n = term.samples(len(sources['ir']))
        cbcr = sources['cbcr'] if term.space == 'rgb' else None

        def image(y: Tensor) -> Tensor:
            y = y[:n].float()
            return y if cbcr is None else merge_ycbcr(y, cbcr[:n])

        values = dict(fused=image(student['fused']), ir=sources['ir'][:n], vis=image(sources['vis']))
        if term.tap_s is not None:
            values['feat_s'] = student['taps'][term.tap_s][:n].float()
        names = term.teachers(list(self.teachers))
        if not names:
            if term.target is not None:
                values['target'] = image(sources[term.target])
            return term(values)
        total = 0
        for name in names:
            values['target'] = image(teachers[name]['fused'])
            if term.tap_t is not None:
                values['feat_t'] = teachers[name]['taps'][term.tap_t][:n].float()
            total = total + term(values)
        return total / len(names)
