"""Draw docs/img/hard_samples.jpg: every degradation of a synthetic scene: ``python docs/make_hard_samples_picture.py``."""

from pathlib import Path

import cv2
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor

from fusionkd.datasets.scenes import render_scene
from fusionkd.hard_samples import SEEN, UNSEEN, degrade_pair
from fusionkd.hard_samples.families import known_degradations

OUT = Path(__file__).parent / 'img/hard_samples.jpg'
SCENE, SEED, SIZE = 5, 21, (240, 320)
STRENGTHS = (0.0, 0.25, 0.5, 1.0)


def shown(ir: Tensor, vis: Tensor, op: str) -> tuple[str, int]:
    """Which image of an operation to show, vis if it can change it, and a seed with which it does."""
    modality = 'vis' if 'vis' in known_degradations()[op].touches else 'ir'
    seed = 1
    while torch.equal(degrade_pair(ir, vis, op, 1.0, seed)[modality == 'vis'], vis if modality == 'vis' else ir):
        seed += 1
    return modality, seed


def main() -> None:
    """Two operations a row, each at four strengths."""
    scene = render_scene(SCENE, SEED, SIZE)
    gray = cv2.cvtColor(scene.vis, cv2.COLOR_BGR2GRAY)
    ir, vis = (torch.from_numpy(x.copy())[None] / 255 for x in (scene.ir, gray))
    columns = len(STRENGTHS)
    rows = max(len(SEEN), len(UNSEEN))
    figure = Figure(figsize=(12.8, 1.34 * rows), layout='constrained')
    FigureCanvasAgg(figure)
    figure.get_layout_engine().set(w_pad=0.01, h_pad=0.02, wspace=0, hspace=0)
    cells = figure.subplots(rows, 2 * columns)
    for cell in cells.flat:
        cell.set_axis_off()
    for side, names in enumerate((SEEN, UNSEEN)):
        for row, op in enumerate(names):
            modality, seed = shown(ir, vis, op)
            for place, strength in enumerate(STRENGTHS):
                cell = cells[row, side * columns + place]
                image = degrade_pair(ir, vis, op, strength, seed)[modality == 'vis']
                cell.imshow(image[0].numpy(), cmap='gray', vmin=0, vmax=1)
                cell.set_title(f'{op} ({modality})' if not place else f'{strength:g}', fontsize=8.5, loc='left', pad=2)
    figure.savefig(OUT, dpi=100, pil_kwargs=dict(quality=85, optimize=True))


if __name__ == '__main__':
    main()
