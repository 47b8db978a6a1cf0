"""Tells a student's texts from its teachers'."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from fusionkd.models.policies.base import Queries
from fusionkd.models.vlms.base import BaseVLM
from fusionkd.registry import MODELS

from .base import Discriminator


@MODELS.register_module()
class VisionLanguageDiscriminator(Discriminator):
    """A copy of the student that reads question, image and response, with d -> 1 in place of its head (paper D).

    What the head says at the last token, the one that ends the response, is the logit of "this is the student's".

    Args:
        network: config of another :class:`BaseVLM` to begin with. Default none: a copy of the student.
        init_cfg: mmengine's.
    """

    def __init__(self, network: dict | None = None, init_cfg: dict | None = None):
        super().__init__(init_cfg)
        self.network = None
        if network is not None:
            self.network = MODELS.build(network)
            self.network.init_weights()
            self._behead()
        self._copies = network is None

    def bind(self, student: BaseVLM) -> None:
        """Copy the student; the head stays what it is where the student's weights are taken once more."""
        if self.network is None:
            self.network = copy.deepcopy(student).requires_grad_(True)
            for twin, original in zip(self.network.parameters(), student.parameters(), strict=True):
                twin.requires_grad_(original.requires_grad)  # adapters only, where the student has them
            self._behead()
        elif self._copies:
            head = {f'network.{name}' for name in self._head_names()}
            own = self.state_dict()
            for name, value in student.state_dict().items():
                if f'network.{name}' not in head and f'network.{name}' in own:
                    own[f'network.{name}'].copy_(value)

    def forward(self, queries: Queries, outputs: list[list[str]]) -> Tensor:
        """Logits ``(B, N)``, see :class:`Discriminator`."""
        num = len(outputs[0])
        ids, mask = self.network.pack([text for row in outputs for text in row])
        inputs = self.network.encode(queries['images'], queries['questions'], num)
        logits = self.network.read(self.network.join(inputs, ids, mask), ids.shape[1])[..., 0]
        last = mask.sum(1, keepdim=True) - 1
        return logits.gather(1, last)[:, 0].unflatten(0, (-1, num))

    def _behead(self) -> None:
        self.network.init_cfg = None  # the file it names is loaded, and has another head
        core = self.network.core
        old = core.get_output_embeddings()
        head = nn.Linear(self.network.hidden_size, 1)
        core.set_output_embeddings(head.to(old.weight.device, old.weight.dtype))

    @torch.no_grad()
    def _head_names(self) -> list[str]:
        head = self.network.core.get_output_embeddings()
        mine = {id(parameter) for parameter in head.parameters()}
        return [name for name, value in self.network.named_parameters(remove_duplicate=False) if id(value) in mine]
