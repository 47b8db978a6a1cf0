"""KDRLDistiller: supervised distillation of a recogniser, then rewards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from mmengine.logging import print_log
from mmengine.model import BaseModel
from mmengine.structures import BaseDataElement
from torch import Tensor, nn

from fusionkd.models.classifiers.base import Recognition
from fusionkd.models.frozen import WithFrozen
from fusionkd.registry import MODELS
from fusionkd.rl.actions import Control

from .clusters import ClusterBank
from .ema_teacher import EMATeacher
from .taps import Tap
from .term import Term

# What a loss of recognition can ask for by the names of its forward arguments.
ARGUMENTS = {
    'logits': "the student's logits, (N, ..., K)",
    'labels': 'the true options, (N, ...)',
    'target': "the teacher's logits",
    'feat_s': "the student's features at tap_s",
    'feat_t': "the teacher's features at tap_t",
    'auxiliary': 'outputs of the auxiliary heads, (N, B, D)',
    'embedding': "the teacher's features of the whole image, (N, D)",
    'centre': "the centre of the cluster of the teacher's features, (N, D)",
    'old_logits': "the older policy's logits",
    'boxes': "the student's boxes, (N, 4)",
    'true_boxes': 'the true boxes, (N, 4)',
}
OF_TEACHER = {'target', 'feat_t', 'embedding'}


class RecognitionTerm(Term):
    """A :class:`Term` whose loss is given :data:`ARGUMENTS` of recognition."""

    KNOWN = ARGUMENTS


class BlockTap(Tap):
    """A :class:`Tap` that also takes tokens ``(N, L, C)`` of transformers, as a map ``(N, C, h, w)``.

    Square grids of patches become square maps, without a class token before them; other sequences a column.
    """

    def _keep(self, module: nn.Module, inputs: tuple, output: Tensor) -> None:
        super()._keep(module, inputs, as_map(output))


def as_map(tokens: Tensor) -> Tensor:
    """``(N, L, C)`` to ``(N, C, h, w)``; anything else is returned as it is."""
    if not isinstance(tokens, Tensor) or tokens.ndim != 3:
        return tokens
    length = tokens.shape[1]
    for extra in (0, 1):
        side = round((length - extra) ** 0.5)
        if side * side == length - extra and side > 1:
            return tokens[:, extra:].transpose(1, 2).unflatten(2, (side, side))
    return tokens.transpose(1, 2)[..., None]


class AuxiliaryHead(nn.Module):
    """Features of a block to the teacher's space: pooled, normalised, mapped linearly (not from the paper)."""

    def __init__(self, channels: int, size: int):
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.map = nn.Linear(channels, size)

    def forward(self, feat: Tensor) -> Tensor:
        """``(N, C, h, w)`` to ``(N, size)``."""
        return self.map(self.norm(feat.float().mean((2, 3))))


@MODELS.register_module()
class KDRLDistiller(WithFrozen, BaseModel):
    """The model of KDRL (paper C) that the Runner trains: one recogniser, perhaps a teacher, weighted terms.

    Stages are weights of terms, set by :class:`StageHook`: first the task, logits and features, then the policy losses, while
    :class:`FadeHook` or an agent lowers the weight of the task. :class:`ClusterHook` gives the cluster centres. With the
    weights of all other terms at 0, training equals training on the task alone.

    Args:
        student: config of a recogniser.
        terms: configs of :class:`RecognitionTerm`.
        teacher: config of a recogniser, frozen, in no optimiser and no checkpoint. Default none: plain training.
        blocks: paths of the student's modules that get an auxiliary head, which are no part of the student's file. Default
            none.
        old_policy: keep the student of up to so many iterations ago, which chooses the actions of terms that are clipped.
            Default 0: none is kept.
        channels_last: memory format. Default True.
        data_preprocessor: default :class:`RecognitionPreprocessor`.
        init_cfg: mmengine's.

    Raises:
        ValueError: two terms of one name, a term whose wiring does not fit, a clipped term without an older policy.

    Example:
        >>> model = KDRLDistiller(
        ...     student=dict(type='TimmClassifier', model_name='resnet10t', num_classes=7),
        ...     terms=[dict(name='task', loss=dict(type='ClassLoss'))],
        ... )
    """

    def __init__(
        self,
        student: dict,
        terms: Sequence[dict],
        teacher: dict | None = None,
        blocks: Sequence[str] = (),
        old_policy: int = 0,
        channels_last: bool = True,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ):
        preprocessor = MODELS.build(data_preprocessor or dict(type='RecognitionPreprocessor'))
        super().__init__(data_preprocessor=preprocessor, init_cfg=init_cfg)
        self.student = MODELS.build(student)
        if teacher is not None:
            self._add_teacher(dict(teacher))
        self.terms = nn.ModuleDict()
        for cfg in terms:
            term = RecognitionTerm(**cfg)
            if term.name in self.terms:
                raise ValueError(f'two terms are named {term.name!r}; names are the keys of logs and agents')
            self.terms[term.name] = term
        self.hard_samples = None
        self.clusters: ClusterBank | None = None
        self.sample_values: dict[str, Tensor] = {}
        self.blocks = tuple(blocks)
        self.heads = nn.ModuleList()
        self.old_policy = old_policy
        self._check()
        self._place_taps()
        self.old = EMATeacher(self.student, momentum=1.0) if old_policy else None
        self.register_buffer('policy_steps', torch.zeros((), dtype=torch.long), persistent=bool(old_policy))
        if channels_last:
            self.to(memory_format=torch.channels_last)

    @property
    def teachers(self) -> dict[str, nn.Module]:
        """The teacher by its name, if there is one."""
        return self.frozen

    def forward(
        self, inputs: Mapping[str, Tensor], data_samples: Sequence | None = None, mode: str = 'tensor'
    ) -> dict[str, Tensor] | list[BaseDataElement] | Recognition:
        """Entry of the Runner.

        Args:
            inputs: ``image``, ``(N, 3, H, W)`` in [0, 1], as the preprocessor makes it.
            data_samples: one per image, with what the terms need.
            mode: ``'loss'``, ``'predict'`` or ``'tensor'``.

        Returns:
            For ``'loss'`` a dict with ``loss_<name>`` (weighted) and ``stat_<name>`` (unweighted) of every active term, and
            ``stat_<name>/<number>`` of policy losses; for ``'predict'`` the samples with what the metrics need; for
            ``'tensor'`` the student's :class:`Recognition`.

        Raises:
            ValueError: another mode.
        """
        image = inputs['image']
        if mode == 'loss':
            return self.loss(image, data_samples)
        if mode == 'predict':
            self.student.predict(image, data_samples)
            return data_samples
        if mode == 'tensor':
            return self.student(image, _texts(data_samples))
        raise ValueError(f"unknown mode {mode!r}; known: 'loss', 'predict', 'tensor'")

    def loss(self, image: Tensor, data_samples: Sequence) -> dict[str, Tensor]:
        """Losses of one batch; see :meth:`forward`."""
        active = [term for term in self.terms.values() if term.weight > 0]
        if not active:
            raise ValueError('every term has weight 0: there is nothing to train')
        wanted = {name for term in active for name in term.arguments}
        text = _texts(data_samples)
        values = self._student_values(image, text, data_samples, wanted)
        if wanted & OF_TEACHER:
            values |= self._teacher_values(image, text)
        taps_s = {path: tap.take().float() for path, tap in self._taps_s.items()}
        taps_t = {path: tap.take().float() for path, tap in self._taps_t.items() if wanted & OF_TEACHER}
        if 'auxiliary' in wanted:
            outputs = [head(taps_s[path]) for path, head in zip(self.blocks, self.heads, strict=True)]
            values['auxiliary'] = torch.stack(outputs, dim=1)
        logs: dict[str, Tensor] = {}
        self.sample_values = {}
        # Losses subtract nearly equal numbers; they are computed in float32 whatever the networks run in.
        with torch.autocast(image.device.type, enabled=False):
            for term in active:
                taps = dict(feat_s=taps_s.get(term.tap_s), feat_t=taps_t.get(term.tap_t))
                value, each = term(values | taps)
                logs[f'loss_{term.name}'] = term.weight * value
                logs[f'stat_{term.name}'] = value.detach()
                if each is not None:
                    self.sample_values[term.name] = each.detach()
                for name, number in getattr(term.loss, 'stats', {}).items():
                    logs[f'stat_{term.name}/{name}'] = torch.tensor(number)
        return logs

    def controls(self) -> dict[str, Control]:
        """Weights of the terms marked ``'agent'`` and of their parts, in their initial state."""
        return {name: c for term in self.terms.values() for name, c in term.controls().items()}

    def sample_controls(self) -> dict[str, Control]:
        """None can be set for each sample."""
        return {}

    def apply_action(self, action: Mapping[str, float]) -> None:
        """Set weights of terms.

        Raises:
            KeyError: not one of :meth:`controls`.
        """
        owners = {name: term for term in self.terms.values() for name in term.controls()}
        for name, value in action.items():
            if name not in owners:
                raise KeyError(f'{name!r} is not left to the agent; controls: {", ".join(owners) or "none"}')
            owners[name].set_control(name, float(value))

    def _student_values(self, image: Tensor, text: list | None, samples: Sequence, wanted: set[str]) -> dict:
        out = self.student(image, text)
        values = dict(logits=out.logits.float(), boxes=out.boxes)
        if 'labels' in wanted:
            values['labels'] = self.student.labels(samples).to(image.device)
        if 'true_boxes' in wanted:
            values['true_boxes'] = torch.stack([sample.box for sample in samples]).to(image.device)
        if 'centre' in wanted:
            values['centre'] = self._bank('centre', image.device).lookup(samples)
        if 'old_logits' in wanted:
            values['old_logits'] = self._old_logits(image, text, values['logits'])
        return values

    @torch.no_grad()
    def _teacher_values(self, image: Tensor, text: list | None) -> dict:
        (teacher,) = self.frozen.values()
        out = teacher(image, text)
        embedding = out.embedding.float()
        if self.clusters is not None:
            embedding = self._bank('embedding', image.device).centred(embedding)
        return dict(target=out.logits.float(), embedding=embedding)

    @torch.no_grad()
    def _old_logits(self, image: Tensor, text: list | None, logits: Tensor) -> Tensor:
        if self.old is None:
            return logits.detach()
        if self.training:
            if int(self.policy_steps) % self.old_policy == 0:
                self.old.update(self.student)
            self.policy_steps += 1
        # Batch norm sees the same batch in both policies, so that they are equal until the student has moved.
        self.old.network.train(self.training)
        return self.old.network(image, text).logits.float()

    def _bank(self, argument: str, device: torch.device) -> ClusterBank:
        if self.clusters is None:
            raise ValueError(
                f'a term asks for {argument!r}, but there are no clusters: add a ClusterHook to custom_hooks'
            )
        if self.clusters.centres.device != device:
            self.clusters = self.clusters.to(device)
        return self.clusters

    def _add_teacher(self, cfg: dict) -> None:
        name = cfg.pop('name', cfg['type'] if isinstance(cfg['type'], str) else cfg['type'].__name__).lower()
        network = MODELS.build(cfg)
        if network.init_cfg:
            network.init_weights()
        elif not cfg.get('pretrained'):
            print_log(f'teacher {name!r} has no init_cfg: it teaches with random weights', 'current', level=30)
        self.freeze(name, network)

    def _check(self) -> None:
        for term in self.terms.values():
            needs = sorted(OF_TEACHER & set(term.arguments))
            if needs and not self.frozen:
                raise ValueError(f'term {term.name!r} needs a teacher for {", ".join(needs)}, but there is none')
            if 'auxiliary' in term.arguments and not self.blocks:
                raise ValueError(f'term {term.name!r} needs auxiliary heads: name blocks of the student')
            if 'old_logits' in term.arguments and not (term.loss.on_policy or self.old_policy):
                raise ValueError(f'term {term.name!r} clips, which needs actions of an older policy: set old_policy')
        if self.blocks and not self.frozen:
            raise ValueError('auxiliary heads map to the space of a teacher, but there is none')

    def _place_taps(self) -> None:
        """Install the taps, and build adapters and auxiliary heads for what was found there."""
        paths_s = dict.fromkeys([*self.blocks, *(t.tap_s for t in self.terms.values() if t.tap_s is not None)])
        paths_t = dict.fromkeys(t.tap_t for t in self.terms.values() if t.tap_t is not None)
        self._taps_s = {path: BlockTap(self.student, path) for path in paths_s}
        (teacher,) = self.frozen.values() or (None,)
        self._taps_t = {path: BlockTap(teacher, path) for path in paths_t}
        channels_s, channels_t = _channels(self.student, self._taps_s), _channels(teacher, self._taps_t)
        for path in self.blocks:
            self.heads.append(AuxiliaryHead(channels_s[path], teacher.embedding_size))
        for term in self.terms.values():
            if hasattr(term.loss, 'bind'):
                term.loss.bind(channels_s[term.tap_s], channels_t[term.tap_t])


@torch.no_grad()
def _channels(network: nn.Module | None, taps: Mapping[str, Tap]) -> dict[str, int]:
    """Channels at all taps."""
    if not taps:
        return {}
    training = network.training
    network.eval()
    network(*network.example())
    network.train(training)
    return {path: tap.take().shape[1] for path, tap in taps.items()}


def _texts(samples: Sequence | None) -> list[str] | None:
    texts = [sample.get('text') for sample in samples or ()]
    return texts if texts and None not in texts else None
