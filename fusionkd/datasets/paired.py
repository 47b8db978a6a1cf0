"""Infrared-visible pairs on disk."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from mmengine.dataset import BaseDataset

from fusionkd.fileio import list_images
from fusionkd.registry import DATASETS, TRANSFORMS

# Consecutive names often are frames of one video, so the validation part is cut out in runs of neighbours.
_RUN = 5


@DATASETS.register_module()
class PairedFusionDataset(BaseDataset):
    """Pairs of an infrared and a visible image, matched by name (the suffix may differ), never by position.

    Three layouts:

    * folders below a root, as MSRS has them: ``data_root='data/MSRS'``, ``data_prefix=dict(ir='train/ir',
      vis='train/vi')``;
    * two folders anywhere: absolute or relative paths in ``data_prefix`` without ``data_root``;
    * a list: ``ann_file``, one pair a line, either a name or two paths separated by white space (relative ones below
      ``data_root``); ``#`` starts a comment.

    Args:
        data_root: prepended to relative paths. Default none.
        data_prefix: folders ``ir`` and ``vis``. Default ``dict(ir='train/ir', vis='train/vi')``.
        ann_file: list file. Default none: every image of the folders.
        part: ``'all'``, or ``'train'`` or ``'val'`` to split off a validation set: names are sorted and cut into runs of
            five neighbours, and every ``val_every``-th run is validation. Default ``'all'``.
        val_every: see ``part``. Default 10.
        name: of the set in results tables. Default the name of the root folder.
        source: what a user should run when the data is not there, for the message. Default the tool's MSRS command.
        pipeline: transforms.
        test_mode: mmengine's.

    Raises:
        FileNotFoundError: no such folder, list, or image; the message names the command that fetches the data.
        ValueError: an image without partner, or an unknown ``part``.
    """

    METAINFO = dict(task='infrared-visible fusion')

    def __init__(
        self,
        data_root: str | None = None,
        data_prefix: dict | None = None,
        ann_file: str = '',
        part: str = 'all',
        val_every: int = 10,
        name: str | None = None,
        source: str = 'python tools/prepare_data.py msrs',
        pipeline: Sequence[dict | Callable] = (),
        test_mode: bool = False,
        **kwargs,
    ):
        if part not in ('all', 'train', 'val'):
            raise ValueError(f"part={part!r}; known: 'all', 'train', 'val'")
        self.part = part
        self.val_every = val_every
        self.name = name or (Path(data_root).resolve().name if data_root else 'pairs')
        self.source = source
        super().__init__(
            ann_file=ann_file,
            data_root=data_root or '',
            data_prefix=dict(data_prefix or dict(ir='train/ir', vis='train/vi')),
            pipeline=[TRANSFORMS.build(t) if isinstance(t, dict) else t for t in pipeline],
            test_mode=test_mode,
            **kwargs,
        )

    def load_data_list(self) -> list[dict]:
        """Pairs as ``dict(name, set_name, ir_path, vis_path)``, sorted by name."""
        try:
            pairs = self._pairs_of_list() if self.ann_file else self._pairs_of_folders()
        except FileNotFoundError as error:
            raise FileNotFoundError(
                f'{error}. To fetch or check the data run: {self.source}; to use another folder give --data-root'
            ) from error
        if self.part != 'all':
            wanted = self.part == 'val'
            pairs = [p for i, p in enumerate(pairs) if (i // _RUN % self.val_every == self.val_every - 1) == wanted]
        if not pairs:
            raise ValueError(f'set {self.name!r} is empty: part={self.part!r}, val_every={self.val_every}')
        return [dict(name=name, set_name=self.name, ir_path=str(ir), vis_path=str(vis)) for name, ir, vis in pairs]

    def _pairs_of_folders(self) -> list[tuple[str, Path, Path]]:
        folders = {kind: Path(self.data_prefix[kind]) for kind in ('ir', 'vis')}
        images = {kind: list_images(folder) for kind, folder in folders.items()}
        for kind, other in (('ir', 'vis'), ('vis', 'ir')):
            lonely = sorted(images[kind].keys() - images[other].keys())
            if lonely:
                some = ', '.join(images[kind][n].name for n in lonely[:5])
                raise ValueError(
                    f'{len(lonely)} images in {folders[kind]} have no partner of the same name in {folders[other]}: '
                    f'{some}{" ..." if len(lonely) > 5 else ""}; add the partners or remove these files'
                )
        return [(name, path, images['vis'][name]) for name, path in images['ir'].items()]

    def _pairs_of_list(self) -> list[tuple[str, Path, Path]]:
        path = Path(self.ann_file)
        if not path.is_file():
            raise FileNotFoundError(f'list file not found: {path}')
        root = Path(self.data_root)
        pairs, folders = [], None
        for number, line in enumerate(path.read_text(encoding='utf-8').splitlines(), 1):
            fields = line.split('#')[0].split()
            if not fields:
                continue
            if len(fields) == 2:
                ir, vis = (root / field for field in fields)
            elif len(fields) == 1:
                folders = folders or {kind: list_images(self.data_prefix[kind]) for kind in ('ir', 'vis')}
                name = fields[0] if fields[0] in folders['ir'] else Path(fields[0]).stem
                if name not in folders['ir'] or name not in folders['vis']:
                    raise ValueError(f'{path}, line {number}: {fields[0]} is not in both {self.data_prefix}')
                ir, vis = folders['ir'][name], folders['vis'][name]
            else:
                raise ValueError(f'{path}, line {number}: expected a name or two paths, got {line!r}')
            for image in (ir, vis):
                if not image.is_file():
                    raise FileNotFoundError(f'{path}, line {number}: image not found: {image}')
            pairs.append((ir.stem, ir, vis))
        return sorted(pairs)
