"""The student's own average as a teacher."""

from __future__ import annotations

import copy

import torch
from torch import nn

from fusionkd.models.fusers import BaseFuser


class EMATeacher(nn.Module):
    """Exponential moving average of a student (Mean Teacher, Tarvainen and Valpola, NeurIPS 2017).

    The share of new weights is ``max(momentum, 1 / (t + 1))`` at update t = 0, 1, ...: a plain mean at first, so that the
    random start is forgotten. Batch norm's statistics are averaged alike; integer buffers are copied. Everything is a
    buffer: in the training checkpoint, in no optimiser.

    Args:
        student: which is copied.
        momentum: share of the new weights in the end, in (0, 1]. Default 0.01.

    Raises:
        ValueError: another momentum.
    """

    def __init__(self, student: BaseFuser, momentum: float = 0.01):
        super().__init__()
        if not 0 < momentum <= 1:
            raise ValueError(f'momentum must be in (0, 1], got {momentum}')
        self.momentum = momentum
        self.network = copy.deepcopy(student).eval()
        for module in self.network.modules():
            for name, parameter in list(module._parameters.items()):
                if parameter is not None:
                    del module._parameters[name]
                    module.register_buffer(name, parameter.detach().clone())
        self.register_buffer('updates', torch.zeros((), dtype=torch.long))

    def train(self, mode: bool = True) -> EMATeacher:
        """Stay in evaluation mode."""
        return super().train(False)

    @torch.no_grad()
    def update(self, student: BaseFuser) -> None:
        """Take in the student's present weights."""
        share = max(self.momentum, 1 / (int(self.updates) + 1))
        own = self.network.state_dict()
        for name, value in student.state_dict().items():
            if value.is_floating_point():
                own[name].lerp_(value.to(own[name].dtype), share)
            else:
                own[name].copy_(value)
        self.updates += 1
