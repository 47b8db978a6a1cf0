"""Make the pictures and tables of docs/metrics.md: ``python docs/make_metric_pictures.py``.

Everything is drawn and measured on synthetic scenes, so the pictures are free. The tables are printed and put into the page,
between the comments that carry their names.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor

from fusionkd.apis import FusionInferencer
from fusionkd.datasets.scenes import Scene, render_scene
from fusionkd.evaluation import PROTOCOLS, functional, get_protocol, trivial_fusions
from fusionkd.evaluation.methods import score_methods
from fusionkd.evaluation.tables import goodness, title
from fusionkd.ops import luma

PAGE = Path(__file__).parent / 'metrics.md'
IMAGES = Path(__file__).parent / 'img'
SOUND = 'SeAFusion'
SCENES, SEED, SIZE = 8, 21, (240, 320)
SHOWN = 5  # the scene in the pictures
METRICS = ('EN', 'SD', 'SF', 'AG', 'MI', 'CC', 'SSIM', 'SCD', 'VIF', 'Qabf', 'Nabf', 'target', 'score')
ATTACKS = {
    'copy ir': 'the infrared image, nothing fused',
    'copy vis': 'the visible image, nothing fused',
    'average': 'half of each',
    'noise': 'sound fusion + Gaussian noise, 15 levels',
    'over-sharpened': 'sound fusion, unsharp mask x 2',
    'min-max stretch': 'sound fusion, range to 0 .. 255',
    'contrast x 1.6': 'sound fusion, around its mean',
    'VIF ascent': 'sound fusion, 80 gradient steps on VIF',
}


def to_tensor(image: np.ndarray) -> Tensor:
    """``(H, W)`` or ``(H, W, 3)`` uint8 to ``(C, H, W)``."""
    return torch.from_numpy(np.atleast_3d(image).copy()).permute(2, 0, 1)


def to_levels(image: Tensor) -> Tensor:
    """``(1, H, W)`` floating grey levels, clipped and rounded to uint8."""
    return image.clamp(0, 255).round().to(torch.uint8)


def vif_ascent(ir: Tensor, vis: Tensor, fused: Tensor, steps: int = 80) -> Tensor:
    """Raise the summed VIF by gradient steps on the pixels; all ``(1, H, W)`` in grey levels."""
    ir, vis = ir[None].float(), vis[None].float()
    pixels = fused[None].float().clone().requires_grad_()
    optimizer = torch.optim.Adam([pixels], lr=1.5)
    for _ in range(steps):
        optimizer.zero_grad()
        (-functional.vif(ir, vis, pixels.clamp(0, 255), data_range=255)).sum().backward()
        optimizer.step()
    return pixels.detach()[0]


def variants(scene: Scene, fuse: FusionInferencer) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """Luma of both sources and of all fused images, ``(1, H, W)`` uint8."""
    rgb = cv2.cvtColor(scene.vis, cv2.COLOR_BGR2RGB)
    ir, vis, sound = (to_levels(luma(to_tensor(x).float())) for x in (scene.ir, rgb, fuse(scene.ir, rgb)))
    levels = sound.float()
    blurred = torch.from_numpy(cv2.GaussianBlur(levels[0].numpy(), (0, 0), 1.5))[None]
    noise = torch.randn(levels.shape, generator=torch.Generator().manual_seed(0))
    low, high = levels.aminmax()
    images = {
        SOUND: levels,
        'noise': levels + 15 * noise,
        'over-sharpened': levels + 2 * (levels - blurred),
        'min-max stretch': (levels - low) / (high - low) * 255,
        'contrast x 1.6': levels.mean() + 1.6 * (levels - levels.mean()),
        'VIF ascent': vif_ascent(ir, vis, levels),
        **trivial_fusions(ir.float(), vis.float()),
    }
    return ir, vis, {name: to_levels(image) for name, image in images.items()}


def draw(images: dict[str, Tensor], values: dict[str, dict[str, float]], names: list[str], path: Path) -> None:
    """Images in rows of three with their numbers; bold green is better than the sound fusion, red is worse."""
    columns = 3
    rows = -(-len(names) // columns)
    figure = Figure(figsize=(11.4, 4.05 * rows), layout='constrained')
    FigureCanvasAgg(figure)
    figure.get_layout_engine().set(w_pad=0.12)
    grid = figure.add_gridspec(2 * rows, columns, height_ratios=[3, 1.2] * rows)
    for place, name in enumerate(names):
        row, column = divmod(place, columns)
        axis = figure.add_subplot(grid[2 * row, column])
        axis.imshow(images[name][0].numpy(), cmap='gray', vmin=0, vmax=255)
        axis.set_axis_off()
        about = ATTACKS.get(name, 'the sound fusion' if name in values else '')
        axis.set_title(f'{name}: {about}' if about else name, fontsize=10.5)
        axis = figure.add_subplot(grid[2 * row + 1, column])
        axis.set_axis_off()
        if name in values:
            write_values(axis, values[name], values[SOUND])
    figure.savefig(path, dpi=100, pil_kwargs=dict(quality=85, optimize=True))


def write_values(axis: Axes, values: dict[str, float], sound: dict[str, float]) -> None:
    """A block of three columns of numbers."""
    lines = -(-len(METRICS) // 3)
    for i, metric in enumerate(METRICS):
        column, line = divmod(i, lines)
        y = 0.97 - line / lines
        style = dict(va='top', fontsize=9.5, transform=axis.transAxes)
        axis.text((0, 0.32, 0.68)[column], y, title(metric), **style)
        gain = compare(metric, values[metric], sound[metric])
        look = {1: dict(color='#0a7d28', weight='bold'), 0: {}, -1: dict(color='#c0261b')}[gain]
        axis.text((0.26, 0.61, 1)[column], y, number(values[metric]), ha='right', **style, **look)


def compare(metric: str, value: float, other: float) -> int:
    """1 if the value as printed is better than the other, -1 if it is worse, 0 if they are equal or not defined."""
    if number(value) == number(other):
        return 0
    gain = goodness(metric, value) - goodness(metric, other)
    return (gain > 0) - (gain < 0)


def number(value: float) -> str:
    """Three digits after the point for small values, one for large ones."""
    return '-' if np.isnan(value) else f'{value:.3f}' if abs(value) < 10 else f'{value:.1f}'


def attacks_table(means: dict[str, dict[str, float]]) -> str:
    """Means over the scenes as Markdown; bold where an image is better than the sound fusion."""
    lines = [f'| mean of {SCENES} scenes | {" | ".join(map(title, METRICS))} |', '|---|' + '---:|' * len(METRICS)]
    for name, values in means.items():
        texts = {m: number(values[m]) for m in METRICS}
        cells = [f'**{t}**' if compare(m, values[m], means[SOUND][m]) > 0 else t for m, t in texts.items()]
        lines.append(f'| {name} | {" | ".join(cells)} |')
    return '\n'.join(lines)


def protocols_table(ir: Tensor, vis: Tensor, fused: Tensor) -> str:
    """One fused image under every protocol as Markdown."""
    shown = ('EN', 'MI', 'SF', 'AG', 'MSE', 'RMSE', 'PSNR', 'SSIM', 'MS_SSIM', 'VIF', 'Qabf', 'Nabf')
    lines = [f'| protocol | {" | ".join(shown)} |', '|---|' + '---:|' * len(shown)]
    for name in PROTOCOLS:
        values = score_methods(ir, vis, {SOUND: fused}, get_protocol(name), PROTOCOLS[name].metrics, score=False)[SOUND]
        cells = [f'{values[m]:.4g}' if m in values else '' for m in shown]
        lines.append(f'| `{name}` | {" | ".join(cells)} |')
    return '\n'.join(lines)


def put_into_page(name: str, table: str) -> None:
    """Print a table and replace what stands between its two comments in metrics.md."""
    print(f'{table}\n')
    begin, end = f'<!-- {name} -->\n', f'<!-- end of {name} -->'
    text = PAGE.read_text(encoding='utf-8')
    head, _, rest = text.partition(begin)
    _, _, tail = rest.partition(end)
    PAGE.write_text(f'{head}{begin}\n{table}\n\n{end}{tail}', encoding='utf-8')


def main() -> None:
    """Measure, print, draw."""
    torch.set_num_threads(1)
    protocol = get_protocol('cddfuse')
    metrics = [m for m in METRICS if m in protocol.metrics]
    fuse = FusionInferencer('seafusion', device='cpu')
    sums: dict[str, list[dict[str, float]]] = {}
    for index in range(SCENES):
        scene = render_scene(index, SEED, SIZE)
        ir, vis, images = variants(scene, fuse)
        values = score_methods(ir, vis, images, protocol, metrics)
        for name, row in values.items():
            sums.setdefault(name, []).append(row)
        if index == SHOWN:
            pictures = dict(ir=ir, vis=vis) | images
            first = ['copy ir', 'copy vis', SOUND, 'average', 'noise', 'over-sharpened']
            draw(pictures, values, first, IMAGES / 'what_games_metrics.jpg')
            draw(pictures, values, ['min-max stretch', 'contrast x 1.6', 'VIF ascent'], IMAGES / 'stretching.jpg')
            rgb = to_tensor(cv2.cvtColor(scene.vis, cv2.COLOR_BGR2RGB))
            shown = to_tensor(scene.ir), rgb, to_tensor(fuse(scene.ir, rgb.permute(1, 2, 0).numpy()))
    means = {name: {m: mean([row[m] for row in rows]) for m in METRICS} for name, rows in sums.items()}
    put_into_page('attacks', attacks_table(means))
    put_into_page('protocols', protocols_table(*shown))


def mean(values: list[float]) -> float:
    """Mean of the defined values; nan if there is none."""
    defined = [v for v in values if not np.isnan(v)]
    return float(np.mean(defined)) if defined else float('nan')


if __name__ == '__main__':
    main()
