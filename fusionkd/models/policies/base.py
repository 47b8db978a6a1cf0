"""What a network must be able to do to be trained by rewards on its answers: draw them and know how probable they are."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from mmengine.structures import BaseDataElement
from torch import Tensor, nn

# Plain containers of tensors, numbers and strings, which a checkpoint can hold: what was asked.
Queries = Mapping[str, Any]
# What discriminator and judge see, N for each of B queries: a tensor (B, N, ...) or B lists of N texts.
Outputs = Tensor | list[list[str]]


@dataclass
class Answers:
    """N answers to each of B queries, as the policy's own actions: weight maps, tokens.

    Attributes:
        fields: tensors ``(B, N, ...)`` by name, without gradients.
        fill: by name, what pads the later dimensions where answers of different lengths are put together. Default 0.
    """

    fields: dict[str, Tensor]
    fill: dict[str, float] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Tensor:
        return self.fields[name]

    @property
    def num(self) -> int:
        """N, answers to each query."""
        return next(iter(self.fields.values())).shape[1]

    def select(
        self, rows: slice | Sequence[int] = slice(None), columns: slice | Sequence[int] = slice(None)
    ) -> Answers:
        """Some queries, and some answers to each of them."""
        return Answers({name: value[rows][:, columns] for name, value in self.fields.items()}, self.fill)

    def to(self, device: torch.device | str) -> Answers:
        """The same on another device."""
        return Answers({name: value.to(device) for name, value in self.fields.items()}, self.fill)

    def state_dict(self) -> dict:
        """Plain contents for a checkpoint."""
        return dict(fields=dict(self.fields), fill=dict(self.fill))

    @classmethod
    def from_state(cls, state: Mapping) -> Answers:
        """From :meth:`state_dict`."""
        return cls(dict(state['fields']), dict(state['fill']))

    @classmethod
    def cat(cls, parts: Sequence[Answers]) -> Answers:
        """More answers to the same queries; shorter ones are padded at the end of each later dimension."""
        fill = parts[0].fill
        fields = {}
        for name in parts[0].fields:
            values = [part.fields[name] for part in parts]
            sizes = [max(value.shape[d] for value in values) for d in range(2, values[0].ndim)]
            fields[name] = torch.cat([_pad(value, sizes, fill.get(name, 0)) for value in values], dim=1)
        return cls(fields, fill)


def cat_outputs(parts: Sequence[Outputs]) -> Outputs:
    """More outputs for the same queries."""
    if isinstance(parts[0], Tensor):
        return torch.cat(list(parts), dim=1)
    return [[text for row in rows for text in row] for rows in zip(*parts, strict=True)]


class Policy(ABC):
    """How networks of one kind answer: all a learner from rewards needs to know about its world.

    It holds settings and no weights: every method is given the network, which may be the student, or the starting point it is
    tied to. Networks are in the mode (training, evaluation) in which they are given; :class:`RILDistiller` gives them in
    evaluation, so that the same answer has the same probability as long as the weights are the same.

    Shapes: B queries, N answers to each, T parts of an answer (tokens, or cells of a map), whose log-probabilities add up to
    the answer's.
    """

    @abstractmethod
    def queries(self, inputs: Any, data_samples: Sequence | None = None) -> Queries:
        """A batch as the preprocessor makes it, as plain containers of tensors, numbers and strings, with all that the
        other methods, discriminators and judges need (such as the true answers). It may be saved in a checkpoint. Every
        value is as long as the batch, so that a slice of all of them is a smaller batch.
        """

    @abstractmethod
    def sample(self, network: nn.Module, queries: Queries, num: int) -> Answers:
        """Draw ``num`` answers to each query, without gradients, by torch's global random generator."""

    @abstractmethod
    def log_prob(self, network: nn.Module, queries: Queries, answers: Answers) -> tuple[Tensor, Tensor]:
        """Log-probability of each part of each answer; differentiable, batched.

        Returns:
            Log-probabilities ``(B, N, T)``, finite everywhere, and the mask ``(B, N, T)``, 1 where there is a part and 0 in
            padding. Parts that the network did not choose (the question, image tokens) are no parts.
        """

    def divergence(self, network: nn.Module, reference: nn.Module, queries: Queries, answers: Answers) -> Tensor | None:
        """Exact KL(network || reference) of every part of every answer, ``(B, N, T)``, differentiable, where it is known.

        Default ``None``: it is estimated from log-probabilities by k3, as in paper D.
        """
        return None

    @abstractmethod
    def project(self, network: nn.Module, queries: Queries, responses: Outputs) -> Answers:
        """Responses of a teacher as answers that this policy could have given: the weight map that reproduces an image best,
        the tokens of a text.

        Args:
            network: the student.
            queries: what was asked.
            responses: N of them to each query, as :meth:`Responder.respond` gives them.
        """

    @abstractmethod
    def render(self, network: nn.Module, queries: Queries, answers: Answers) -> Outputs:
        """What discriminator and judge see of answers, without gradients: fused images ``(B, N, 1, H, W)`` in [0, 1], or B
        lists of N texts. The same answers always give the same.
        """

    @abstractmethod
    def predict(self, network: nn.Module, inputs: Any, data_samples: Sequence | None) -> list[BaseDataElement]:
        """Deterministic answers for the metrics: the mean of the policy, or greedy decoding.

        Returns:
            The samples with what the metrics of this world read (``fused``, ``(1 or 3, H, W)``; ``prediction``, a text).
        """

    def reference(self, network: nn.Module) -> nn.Module:
        """The starting point that training is tied to: a copy of ``network``. Worlds with adapters may return less."""
        return copy.deepcopy(network)

    def write_sheet(self, path: Path, queries: Queries, outputs: Outputs, titles: Sequence[Sequence[str]]) -> Path:
        """Show a group.

        Args:
            path: of the file, without its suffix.
            queries: B of them; a few are enough.
            outputs: N for each.
            titles: what each output is and earned, B times N.

        Returns:
            The file.
        """
        raise NotImplementedError(f'{type(self).__name__} has no write_sheet(); remove SampleSheetHook')


class Responder(BaseModule):
    """A teacher in the group: it answers queries and is never asked how probable its answers are.

    Subclasses keep what they answered, on disk where that pays, under a key of the network, the query and all settings that
    decide the answer.

    Args:
        name: in logs. Default the class's, in lower case.
        init_cfg: mmengine's.
    """

    def __init__(self, name: str | None = None, init_cfg: dict | None = None):
        super().__init__(init_cfg)
        self.name = name or type(self).__name__.lower()

    def respond(self, queries: Queries, num: int, data_samples: Sequence | None = None) -> Outputs:
        """``num`` responses to each query.

        Args:
            queries: as :meth:`Policy.queries` makes them.
            num: of each query. A deterministic teacher may give the same one several times.
            data_samples: of the batch, which say where a query is from (the key of a cache); ``None`` skips caches.

        Returns:
            ``(B, num, ...)``, or B lists of ``num`` texts.
        """
        raise NotImplementedError(f'{type(self).__name__} must implement respond(queries, num, data_samples)')


def _pad(value: Tensor, sizes: Sequence[int], fill: float) -> Tensor:
    pads: list[int] = []
    for d in reversed(range(len(sizes))):
        pads += [0, sizes[d] - value.shape[d + 2]]
    return F.pad(value, pads, value=fill) if any(pads) else value
