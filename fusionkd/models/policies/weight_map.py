"""Image fusion as a policy: a weight map is drawn around the one that the network predicts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.structures import BaseDataElement
from torch import Tensor, nn

from fusionkd.evaluation.panels import fusion_panel
from fusionkd.fileio import write_image
from fusionkd.models.distillers.teacher import build_teacher
from fusionkd.models.losses.weight_map import project_weight_map
from fusionkd.ops import blend_pyramids, merge_ycbcr
from fusionkd.registry import MODELS
from fusionkd.rl.functional import normal_kl, normal_log_prob

from .base import Answers, Outputs, Policy, Queries, Responder

_LOW = 0.01  # smallest weight that a teacher's image is taken for
_RIDGE = 1e-3  # squared error of a whole cell that counts as much as moving it by 1
_EDGE = 0.999  # where the squashing function is still inverted


@MODELS.register_module()
class WeightMapPolicy(Policy):
    """Gaussian in logit space on the weight map of a :class:`WeightMapFuser` (not from a paper).

    The network predicts the logit x of the infrared weight of every pixel, here squashed to ``limit tanh(x / limit)``: beyond
    a weight of .95 or so logits may run away without any effect on the image, but not on probabilities. The action is the
    mean of every cell of ``cell x cell`` pixels, drawn from a normal distribution around the network's own mean with a fixed
    standard deviation; the detail within the cells stays the network's. The difference of drawn and own means is interpolated
    bilinearly and added to the map. Log-probabilities of the cells are exact, and noise that is smooth over a cell makes
    fusions that differ in what they prefer; noise of single pixels would make them all noisy alike.

    The mean of the policy is the network as it is deployed and scored.

    Args:
        cell: side of a cell in pixels. Default 8.
        std: standard deviation of a cell's mean. Default 0.5: a weight of one half becomes .38 or .62.
        limit: largest squashed logit. Default 3.
        noise: a deterministic teacher answers with the policy's noise around its map, as if it were such a policy itself.
            Without it a discriminator only has to look for noise. Default True.
        window: side of the least-squares window in which a teacher's image is projected, in pixels. Default 5.
        steps: of gradient descent that follow it. Default 10.
        reach: standard deviations that a cell of a teacher's answer, before its noise, may be away from the student's own
            mean; farther ones stand at that distance. Default no limit. The gradient of a normal log-probability grows with
            the distance, and where the answer earned less than the others it pushes away, the more, the farther off it
            already is; with one update a group the ratio is 1 and no clipping acts. Within reach an answer is one that the
            student could have drawn.

    Raises:
        ValueError: numbers that are not positive.
    """

    def __init__(
        self,
        cell: int = 8,
        std: float = 0.5,
        limit: float = 3.0,
        noise: bool = True,
        window: int = 5,
        steps: int = 10,
        reach: float = math.inf,
    ):
        if cell < 1 or std <= 0 or limit <= 0 or reach <= 0:
            raise ValueError(
                f'cell, std, limit and reach must be positive, got cell={cell}, std={std}, limit={limit}, reach={reach}'
            )
        self.cell = cell
        self.std = std
        self.limit = limit
        self.noise = noise
        self.window = window
        self.steps = steps
        self.reach = reach

    def queries(self, inputs: dict[str, Tensor], data_samples: Sequence | None = None) -> Queries:
        """``ir`` and ``vis``, ``(B, 1, H, W)`` luma in [0, 1].

        Raises:
            ValueError: a size that is no multiple of the cell.
        """
        height, width = inputs['ir'].shape[-2:]
        if height % self.cell or width % self.cell:
            raise ValueError(f'crops of {height} x {width} cannot be cut into cells of {self.cell}: change one of them')
        return dict(ir=inputs['ir'].float(), vis=inputs['vis'].float())

    @torch.no_grad()
    def sample(self, network: nn.Module, queries: Queries, num: int) -> Answers:
        """Weight maps: fields ``cells``, ``(B, num, h, w)``, and ``weight``, ``(B, num, H, W)``."""
        own = self._squashed(network, queries)
        means = F.avg_pool2d(own, self.cell).expand(-1, num, -1, -1)
        return self._answer(own, means + self.std * torch.randn_like(means))

    def log_prob(self, network: nn.Module, queries: Queries, answers: Answers) -> tuple[Tensor, Tensor]:
        """Of every cell; all of them count."""
        means = F.avg_pool2d(self._squashed(network, queries), self.cell)
        log_std = means.new_tensor(self.std).log()
        log_prob = normal_log_prob(means, log_std, answers['cells']).flatten(2)
        return log_prob, torch.ones_like(log_prob)

    def divergence(self, network: nn.Module, reference: nn.Module, queries: Queries, answers: Answers) -> Tensor:
        """Of normal distributions with one standard deviation: exact, and the same for all answers."""
        with torch.no_grad():
            target = F.avg_pool2d(self._squashed(reference, queries), self.cell)
        means = F.avg_pool2d(self._squashed(network, queries), self.cell)
        log_std = means.new_tensor(self.std).log()
        return normal_kl(means, log_std, target, log_std).flatten(2).expand(-1, answers.num, -1)

    @torch.no_grad()
    def project(self, network: nn.Module, queries: Queries, responses: Tensor) -> Answers:
        """The answer that reproduces an image ``(B, N, 1, H, W)`` best.

        Its first guess are the cells of the weight map of least squares in small windows, clipped to [.01, .99]; where the
        sources are alike every weight gives the same image, and the network's own stands. Then ``steps`` of gradient descent
        on the squared difference of the rendered answer to the image follow. Equal responses are projected once.
        """
        own = self._squashed(network, queries)
        given = responses.shape[1]
        if given > 1 and (responses == responses[:, :1]).all():
            responses = responses[:, :1]
        num = responses.shape[1]
        ir, vis = (queries[key][:, None].expand_as(responses).flatten(0, 1) for key in ('ir', 'vis'))
        weight, sure = project_weight_map(responses.flatten(0, 1).float(), ir, vis, self.window)
        found = self._squash(torch.logit(weight.clamp(_LOW, 1 - _LOW))).unflatten(0, (-1, num))[:, :, 0]
        sure = sure.unflatten(0, (-1, num))[:, :, 0]
        cells = F.avg_pool2d(sure * found + (1 - sure) * own, self.cell)
        cells = self._fit(network, queries, own, cells, responses.float())
        means, farthest = F.avg_pool2d(own, self.cell), self.reach * self.std
        cells = (means + (cells - means).clamp(-farthest, farthest)).expand(-1, given, -1, -1)
        return self._answer(own, cells + self.std * torch.randn_like(cells) if self.noise else cells)

    @torch.no_grad()
    def render(self, network: nn.Module, queries: Queries, answers: Answers) -> Tensor:
        """Fused luma, ``(B, N, 1, H, W)`` in [0, 1]."""
        return self._blend(network, queries, answers['weight']).clamp(0, 1)

    @torch.no_grad()
    def predict(self, network: nn.Module, inputs: dict, data_samples: Sequence | None) -> list[BaseDataElement]:
        """``fused``, ``(1 or 3, H, W)`` in [0, 1], of the mean of the policy."""
        samples = data_samples or [BaseDataElement() for _ in range(len(inputs['ir']))]
        fused = merge_ycbcr(network.fuse(inputs['ir'], inputs['vis']).float(), inputs.get('cbcr'))
        for sample, image in zip(samples, fused, strict=True):
            sample.fused = image
        return samples

    def write_sheet(self, path: Path, queries: Queries, outputs: Outputs, titles: Sequence[Sequence[str]]) -> Path:
        """A picture: a row a query, with its sources, then its outputs; what an output is and earned stands in its corner."""
        path = path.with_suffix('.png')
        rows = []
        for ir, vis, images, names in zip(queries['ir'], queries['vis'], outputs, titles, strict=True):
            columns = dict(ir=_array(ir), vis=_array(vis))
            rows.append(
                columns | {f'{i + 1}: {name}': _array(x) for i, (x, name) in enumerate(zip(images, names, strict=True))}
            )
        panels = [fusion_panel([row]) for row in rows]
        write_image(path, np.concatenate(panels))
        return path

    @torch.enable_grad()
    def _fit(self, network: nn.Module, queries: Queries, own: Tensor, cells: Tensor, images: Tensor) -> Tensor:
        """Cells on the way down whose rendered map is most like the images, for each of them."""
        first, best, least = cells, cells, None
        cells = cells.clone().requires_grad_()
        optimiser = torch.optim.Adam([cells], lr=0.2)
        for step in range(self.steps + 1):
            fused = self._blend(network, queries, self._answer(own, cells)['weight'])
            # Cells that the image does not show stay where they are.
            error = (fused - images).square().sum((2, 3, 4)) + _RIDGE * (cells - first).square().sum((2, 3))
            found = error.detach()
            better = found < least if least is not None else torch.ones_like(found, dtype=torch.bool)
            best = torch.where(better[..., None, None], cells.detach(), best)
            least = torch.where(better, found, least) if least is not None else found
            if step < self.steps:
                optimiser.param_groups[0]['lr'] = 0.2 * (1 - step / self.steps)
                optimiser.zero_grad()
                error.sum().backward()
                optimiser.step()
        return best

    def _squash(self, logits: Tensor) -> Tensor:
        return self.limit * torch.tanh(logits / self.limit)

    def _squashed(self, network: nn.Module, queries: Queries) -> Tensor:
        """The network's squashed logits, ``(B, 1, H, W)``."""
        return self._squash(network.logits(queries['ir'], queries['vis'])[0].float())

    @staticmethod
    def _blend(network: nn.Module, queries: Queries, weight: Tensor) -> Tensor:
        """Fused images, ``(B, N, 1, H, W)``, of weight maps ``(B, N, H, W)``."""
        num = weight.shape[1]
        ir, vis = (queries[key].repeat_interleave(num, dim=0) for key in ('ir', 'vis'))
        return blend_pyramids(ir, vis, weight.flatten(0, 1)[:, None], network.levels).unflatten(0, (-1, num))

    def _answer(self, own: Tensor, cells: Tensor) -> Answers:
        """The whole maps of drawn cells: the network's map and the interpolated difference of the means."""
        moved = cells - F.avg_pool2d(own, self.cell)
        squashed = own + F.interpolate(moved, size=own.shape[-2:], mode='bilinear', align_corners=False)
        logits = self.limit * torch.atanh((squashed / self.limit).clamp(-_EDGE, _EDGE))
        return Answers(dict(cells=cells, weight=torch.sigmoid(logits)))


@MODELS.register_module()
class FuserResponder(Responder):
    """A frozen fuser that answers with its fused image, the same one as often as it is asked.

    Args:
        fuser: config of a fuser, perhaps with ``name`` and ``cache`` as teachers of :class:`FusionDistiller` have them.
    """

    def __init__(self, fuser: dict):
        teacher = build_teacher(fuser, None)
        super().__init__(teacher.name)
        self.network = teacher.network
        self.preprocessor = MODELS.build(dict(type='FusionPreprocessor'))
        self._teacher = teacher

    def respond(self, queries: Queries, num: int, data_samples: Sequence | None = None) -> Tensor:
        """``(B, num, 1, H, W)``, nominally in [0, 1]; from the cache, if there is one, where samples say their origin."""
        ir, vis = queries['ir'], queries['vis']
        fused = self._teacher.run(ir, vis, range(len(ir)), {}, data_samples, self.preprocessor)['fused']
        return fused.float()[:, None].expand(-1, num, -1, -1, -1)


def _array(image: Tensor) -> np.ndarray:
    return (image[0].clamp(0, 1) * 255).round().byte().cpu().numpy()
