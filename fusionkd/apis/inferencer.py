"""FusionInferencer: fuse arrays, files and folders with a trained network."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config

from fusionkd import zoo
from fusionkd.engine.checkpoint import load_weights
from fusionkd.engine.config import load_config
from fusionkd.fileio import ImageError, list_images, read_image, scale_to_unit, write_image
from fusionkd.models.fusers import BaseFuser
from fusionkd.registry import MODELS


@dataclass
class FolderReport:
    """What a folder run did.

    Attributes:
        written: fused images.
        failed: by name, why a pair was left out.
    """

    written: list[Path] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)


class FusionInferencer:
    """Fuses an infrared and a visible image, gray or colour, of any size.

    Args:
        student: a fuser; a name of the zoo; a student file with its card beside it, as a training writes it; an ``.onnx``
            file of ``tools/export.py``, in 8 bits too, which runs as :class:`fusionkd.deploy.OnnxFuser`; or a config
            (path, ``Config`` or dict), of a recipe or of a fuser alone.
        weights: student file, training checkpoint, URL or zoo name for a config. Default none: the network as it is.
        device: Default the first GPU, else the CPU. An ``.onnx`` file runs on the CPU.
        progress: called in folder runs with (pairs done, pairs in all, name) after each pair. Default none.

    Raises:
        FileNotFoundError: no such file.
        ValueError: weights that do not fit, a file without card given without config, or weights or a device for an
            ``.onnx`` file.

    Example:
        >>> import numpy as np
        >>> fuse = FusionInferencer('seafusion')
        >>> ir, vis = np.zeros((48, 64), np.uint8), np.zeros((48, 64, 3), np.uint8)
        >>> fuse(ir, vis).shape
        (48, 64, 3)
    """

    def __init__(
        self,
        student: BaseFuser | Config | dict | str | Path,
        weights: str | Path | None = None,
        device: str | torch.device | None = None,
        progress: Callable[[int, int, str], None] | None = None,
    ):
        self.progress = progress
        if isinstance(student, str | Path) and Path(student).suffix == '.onnx':
            if weights is not None or torch.device(device or 'cpu').type != 'cpu':
                raise ValueError(f'{student} holds its weights and runs on the CPU: leave weights and device out')
            from fusionkd.deploy import OnnxFuser  # noqa: PLC0415, onnxruntime is not installed everywhere

            self.fuser, self.device = OnnxFuser(student), torch.device('cpu')
            return
        self.fuser = student if isinstance(student, BaseFuser) else _build(student, weights)
        self.device = torch.device(device or ('cuda' if torch.cuda.is_available() else 'cpu'))
        self.fuser.to(self.device, memory_format=torch.channels_last).eval()

    def __call__(
        self, ir: np.ndarray | str | Path, vis: np.ndarray | str | Path, out: str | Path | None = None
    ) -> np.ndarray | FolderReport:
        """Fuse arrays, two files, or two folders.

        Args:
            ir: array ``(H, W)`` or ``(H, W, 3)``, uint8, uint16 or float in [0, 1]; file; or folder.
            vis: the same, RGB.
            out: file or folder to write to; folders need one.

        Returns:
            uint8, ``(H, W)`` for a gray and ``(H, W, 3)`` RGB for a colour visible image; of folders a report.

        Raises:
            ImageError: an image that cannot be fused; the message names it. In a folder run it goes into the report.
            ValueError: one folder and one file, or folders without ``out``.
        """
        folders = [isinstance(x, str | Path) and Path(x).is_dir() for x in (ir, vis)]
        if all(folders):
            if out is None:
                raise ValueError('folders need out=, a folder for the fused images')
            return self.fuse_folder(ir, vis, out)
        if any(folders):
            raise ValueError(f'ir and vis must both be folders or both be images, got {ir} and {vis}')
        fused = self._fuse(*(_read(x, name) for x, name in ((ir, 'ir'), (vis, 'vis'))))
        if out is not None:
            write_image(out, fused)
        return fused

    def fuse_folder(self, ir: str | Path, vis: str | Path, out: str | Path) -> FolderReport:
        """Fuse all pairs of equal name; a bad pair is reported and the run goes on.

        Args:
            ir: folder.
            vis: folder.
            out: folder for ``<name>.png``.

        Raises:
            FileNotFoundError: a folder is missing or has no image.
        """
        irs, viss = list_images(ir), list_images(vis)
        report = FolderReport()
        for name in sorted(irs.keys() ^ viss.keys()):
            missing = vis if name in irs else ir
            report.failed[name] = f'no image of this name in {missing}'
        pairs = sorted(irs.keys() & viss.keys())
        for i, name in enumerate(pairs, 1):
            path = Path(out) / f'{name}.png'
            try:
                self(irs[name], viss[name], path)
                report.written.append(path)
            except (ImageError, ValueError, OSError) as error:
                report.failed[name] = str(error)
            if self.progress is not None:
                self.progress(i, len(pairs), name)
        return report

    def _fuse(self, ir: np.ndarray, vis: np.ndarray) -> np.ndarray:
        if not isinstance(self.fuser, BaseFuser):
            return self.fuser(ir, vis)
        tensors = [torch.from_numpy(x if x.ndim == 3 else x[..., None]).permute(2, 0, 1) for x in (ir, vis)]
        fused = self.fuser.predict(*(t.to(self.device) for t in tensors))
        image = (fused * 255).round().byte().permute(1, 2, 0).cpu().numpy()
        return image[..., 0] if image.shape[2] == 1 else image


def _read(image: np.ndarray | str | Path, name: str) -> np.ndarray:
    """Pixels in [0, 1], ``(H, W)`` or ``(H, W, 3)``."""
    if isinstance(image, str | Path):
        image, name = read_image(image), str(image)
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] not in (1, 3)):
        raise ImageError(f'{name} has shape {image.shape}; expected (H, W), (H, W, 1) or (H, W, 3)')
    return scale_to_unit(image, name=name)


def _build(student: Config | dict | str | Path, weights: str | Path | None) -> BaseFuser:
    if isinstance(student, str | Path) and str(student) in zoo.names():
        card = zoo.card(str(student))
        config, weights = card['fuser'], weights or (str(student) if 'file' in card else None)
    elif isinstance(student, str | Path) and Path(student).suffix != '.py':
        path = zoo.resolve(student)
        beside = path.with_suffix('.json')
        if not beside.is_file():
            raise ValueError(
                f'{path} has no card ({beside.name}) that says which network it is; give its config as student'
            )
        config, weights = json.loads(beside.read_text(encoding='utf-8'))['fuser'], path
    else:
        config = load_config(student) if isinstance(student, str | Path) else student
    if 'model' in config:  # a recipe
        config = config['model']['student']
    fuser = MODELS.build(dict(config))
    if weights is not None:
        load_weights(fuser, weights)
    elif fuser.init_cfg:
        fuser.init_weights()
    return fuser
