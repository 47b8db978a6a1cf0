"""FusionMetric: the protocols of this package inside mmengine's Runner."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log
from torch import Tensor

from fusionkd.fileio import write_image
from fusionkd.registry import METRICS

from .methods import score_methods
from .panels import fusion_panel
from .protocols import check_metrics, get_protocol
from .tables import ResultTable, Row
from .trivial import TRIVIAL

STUDENT = 'student'


@METRICS.register_module()
class FusionMetric(BaseMetric):
    """Scores the student, and on request its teachers and the trivial rules, per set and image.

    Args:
        protocol: name of a protocol. Default ``'cddfuse'``.
        metric_names: metrics to compute. Default all of the protocol. (mmengine reads ``metrics`` in an evaluator's config
            as a list of metric objects, so the name is another.)
        score: add the balanced score and the target contrast. Default True.
        trivial: add the rows of :func:`fusionkd.evaluation.trivial_fusions`. Default False.
        out_dir: folder for the table as text, Markdown, LaTeX, CSV, JSON and per-image CSV. Default none.
        image_dir: folder for the fused images, ``<set>/<name>.png``. Default none.
        panel: pairs shown in ``out_dir/panel.png``: sources, teachers, student, difference. Default 0: no panel.
        collect_device: mmengine's.

    Returns metrics ``<metric>``, means over all images, and ``<set>/<metric>`` with several sets, of the student.
    """

    def __init__(
        self,
        protocol: str = 'cddfuse',
        metric_names: Sequence[str] | None = None,
        score: bool = True,
        trivial: bool = False,
        out_dir: str | None = None,
        image_dir: str | None = None,
        panel: int = 0,
        collect_device: str = 'cpu',
    ):
        super().__init__(collect_device=collect_device)
        self.protocol = get_protocol(protocol)
        self.metric_names = check_metrics(metric_names, self.protocol)
        self.score = score
        self.trivial = trivial
        self.out_dir = out_dir
        self.image_dir = image_dir
        self.panel = panel
        self._panel_rows: list[dict] = []
        self.table: ResultTable | None = None

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Score one batch; ``data_samples`` hold ``fused`` and perhaps ``teacher_<name>``."""
        inputs = data_batch['inputs']
        for ir, vis, sample in zip(inputs['ir'], inputs['vis'], data_samples, strict=True):
            methods = {STUDENT: sample['fused']}
            methods |= {k.removeprefix('teacher_'): v for k, v in sample.items() if k.startswith('teacher_')}
            set_name, name = sample.get('set_name', 'set'), sample.get('name', str(len(self.results)))
            if self.image_dir is not None:
                write_image(Path(self.image_dir) / set_name / f'{name}.png', _array(methods[STUDENT]))
            if len(self._panel_rows) < self.panel:
                columns = dict(ir=_unit(ir), vis=_unit(vis)) | {k: v for k, v in methods.items() if k != STUDENT}
                columns[STUDENT] = methods[STUDENT]
                self._panel_rows.append({title: _array(image) for title, image in columns.items()})
            device = sample['fused'].device
            values = score_methods(
                ir.to(device), vis.to(device), methods, self.protocol, self.metric_names, self.score, self.trivial
            )
            self.results.append(dict(set_name=set_name, name=name, values=values))

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """Build the table, write it, and return the student's means."""
        table = ResultTable(self.protocol.key)
        trivial = TRIVIAL if self.trivial else ()
        for set_name in dict.fromkeys(r['set_name'] for r in results):
            mine = [r for r in results if r['set_name'] == set_name]
            for method in mine[0]['values']:
                values = {m: [r['values'][method][m] for r in mine] for m in mine[0]['values'][method]}
                row = Row(set_name, method, [r['name'] for r in mine], values, method in trivial)
                table.add(row, self.protocol.key)
        self.table = table
        if self.out_dir is not None:
            table.save(self.out_dir)
            print_log(f'results ({self.out_dir}/results.*):\n{table.to_text()}', 'current')
            if self._panel_rows:
                write_image(Path(self.out_dir) / 'panel.png', fusion_panel(self._panel_rows))
        self._panel_rows = []
        return table.means(STUDENT)


def _array(image: Tensor) -> np.ndarray:
    """``(C, H, W)`` in [0, 1] to a uint8 image."""
    array = (image.cpu() * 255).round().byte().permute(1, 2, 0).numpy()
    return array[..., 0] if array.shape[2] == 1 else array


def _unit(image: Tensor) -> Tensor:
    return image.float() / 255 if image.dtype == torch.uint8 else image.float()
