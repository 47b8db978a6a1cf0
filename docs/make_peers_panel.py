"""Draw docs/img/peers.jpg: the same pairs fused by several methods.

    python docs/make_peers_panel.py --methods SeAFusion fusionkd-fast --row DATA/test FUSED/MSRS 00151D --row ...

``FUSED/MSRS/<method>/<name>.png`` are the images that tools/fuse.py wrote.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np

from fusionkd.evaluation.panels import fusion_panel
from fusionkd.fileio import list_images, read_image, write_image


def parse_args() -> argparse.Namespace:
    """Options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--row', nargs=3, action='append', required=True, metavar=('SET', 'FUSED', 'NAME'))
    parser.add_argument('--methods', nargs='+', required=True, help='folders of fused images')
    parser.add_argument('--width', type=int, default=320, help='of an image in pixels; default 320')
    parser.add_argument('--out', type=Path, default=Path(__file__).parent / 'img/peers.jpg')
    return parser.parse_args()


def images(folder: Path, fused: Path, name: str, methods: list[str], width: int) -> dict[str, np.ndarray]:
    """Sources and fused images of one pair, by column."""
    vis = 'vi' if (folder / 'vi').is_dir() else 'vis'
    row = {'ir': read_image(list_images(folder / 'ir')[name]), 'visible': read_image(list_images(folder / vis)[name])}
    row |= {method: read_image(list_images(fused / method)[name]) for method in methods}
    height = round(width * 3 / 4)
    return {title: cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA) for title, image in row.items()}


def main() -> None:
    """Write the panel."""
    args = parse_args()
    rows = [images(Path(s), Path(f), name, args.methods, args.width) for s, f, name in args.row]
    write_image(args.out, fusion_panel(rows))


if __name__ == '__main__':
    main()
