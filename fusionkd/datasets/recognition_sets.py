"""Public recognition sets: where they are, how they are laid out, and how to know that a copy is complete."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fusionkd.fileio import ImageError, list_images
from fusionkd.registry import DATASETS

from .recognition_transforms import LoadImage


@dataclass(frozen=True)
class RecognitionSet:
    """One public set.

    Attributes:
        title: name, citation and content.
        folder: its usual name below ``data``.
        home: public page.
        parts: config of a data set for each part of it, without its root.
        items: how many items each part has, where that is published.
        git: repository to clone, where the set is published as one.
        manual: what a person must do where no program can fetch it.
    """

    title: str
    folder: str
    home: str
    parts: Mapping[str, dict]
    items: Mapping[str, int] = field(default_factory=dict)
    git: str | None = None
    manual: str = ''


_UNPACK = 'Download the archive from its page and unpack it; then run this command with --root FOLDER to verify it'
_FOLDERS = dict(all=dict(type='ClassFolders'))


def _captions(file: str) -> dict[str, dict]:
    return {split: dict(type='CaptionList', ann_file=file, split=split) for split in ('train', 'test')}


RECOGNITION_SETS: dict[str, RecognitionSet] = {
    'rsscn7': RecognitionSet(
        title='RSSCN7 (Zou et al., GRSL 2015): 7 scene classes, 400 x 400; odd images train, even ones test',
        folder='RSSCN7',
        home='https://github.com/palewithout/RSSCN7',
        parts={s: dict(type='ClassFolders', data_prefix=dict(image=s)) for s in ('train', 'test')},
        items=dict(train=1400, test=1400),
        git='https://github.com/palewithout/RSSCN7.git',
    ),
    'aid': RecognitionSet(
        title='AID (Xia et al., TGRS 2017): 30 scene classes, 600 x 600',
        folder='AID',
        home='https://captain-whu.github.io/AID/',
        parts=_FOLDERS,
        items=dict(all=10000),
        manual=f'{_UNPACK}: ROOT/CLASS/NAME.jpg.',
    ),
    'resisc45': RecognitionSet(
        title='NWPU-RESISC45 (Cheng et al., Proceedings of the IEEE 2017): 45 scene classes, 256 x 256',
        folder='NWPU-RESISC45',
        home='https://doi.org/10.1109/JPROC.2017.2675998',
        parts=_FOLDERS,
        items=dict(all=31500),
        manual=f'{_UNPACK}: ROOT/CLASS/NAME.jpg.',
    ),
    'eurosat': RecognitionSet(
        title='EuroSAT, RGB (Helber et al., JSTARS 2019): 10 land-use classes, 64 x 64',
        folder='EuroSAT',
        home='https://github.com/phelber/EuroSAT',
        parts=_FOLDERS,
        items=dict(all=27000),
        manual=f'{_UNPACK}: ROOT/CLASS/NAME.jpg.',
    ),
    'rsitmd': RecognitionSet(
        title='RSITMD (Yuan et al., TGRS 2021): images with 5 captions each',
        folder='RSITMD',
        home='https://github.com/xiaoyuan1996/AMFMN/tree/master/RSITMD',
        parts=_captions('dataset_RSITMD.json'),
        manual=f'{_UNPACK}: ROOT/images and ROOT/dataset_RSITMD.json.',
    ),
    'rsicd': RecognitionSet(
        title='RSICD (Lu et al., TGRS 2017): 10921 images with 5 captions each',
        folder='RSICD',
        home='https://github.com/201528014227051/RSICD_optimal',
        parts=_captions('dataset_rsicd.json'),
        manual=f'{_UNPACK}: ROOT/images and ROOT/dataset_rsicd.json.',
    ),
    'dior_rsvg': RecognitionSet(
        title='DIOR-RSVG (Zhan et al., TGRS 2023): described boxes in images of 800 x 800',
        folder='DIOR_RSVG',
        home='https://github.com/ZhanYang-nwpu/RSVG-pytorch',
        parts={s: dict(type='GroundingList', ann_file=f'{s}.txt') for s in ('train', 'val', 'test')},
        manual=f'{_UNPACK}: ROOT/Annotations, ROOT/JPEGImages and the lists ROOT/train.txt, val.txt and test.txt.',
    ),
}


def verify_recognition(name: str, root: str | Path, progress: Callable[[str], None] | None = None) -> list[str]:
    """Check a copy: its lists and annotations, counts, and that every image can be decoded.

    Args:
        name: of the set.
        root: its folder.
        progress: called with a line for every part.

    Returns:
        What is wrong, one sentence each; empty if the copy is complete.
    """
    public = RECOGNITION_SETS[name]
    problems: list[str] = []
    for part, cfg in public.parts.items():
        try:
            dataset = DATASETS.build(dict(cfg, data_root=str(root), pipeline=[], source=public.manual or public.home))
        except (OSError, ValueError) as error:
            problems.append(str(error))
            continue
        load = LoadImage(size=8)
        for i in range(len(dataset)):
            try:
                load(dataset.get_data_info(i))
            except (ImageError, ValueError, OSError) as error:
                problems.append(str(error))
        expected = public.items.get(part)
        if expected is not None and len(dataset) != expected:
            problems.append(f'{part} has {len(dataset)} items, {name} has {expected}')
        if progress is not None:
            progress(f'{part}: {len(dataset)} items' + (f' of {expected}' if expected is not None else ''))
    return problems


def fetch_recognition(name: str, target: str | Path) -> Path:
    """Clone a set that is published as a repository.

    Raises:
        RuntimeError: it is not published as one, or cloning failed; the message says what to do by hand.
    """
    public = RECOGNITION_SETS[name]
    if public.git is None:
        raise RuntimeError(f'{name} cannot be fetched by a program. {public.manual} Page: {public.home}')
    command = ['git', 'clone', '--depth', '1', public.git, str(target)]
    try:
        subprocess.run(command, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise RuntimeError(f'{" ".join(command)} failed ({error}). Fetch {public.home} in another way') from error
    return Path(target)


def arrange_rsscn7(source: str | Path, root: str | Path) -> Path:
    """Bring the published ``{a..g}CLASS/NAME`` into ``ROOT/{train,test}/CLASS/NAME``, copying what is not there yet.

    Of the sorted images of a class the first, third, ... are for training.

    Raises:
        FileNotFoundError: not the seven folders.
    """
    source, root = Path(source), Path(root)
    folders = sorted(p for p in source.iterdir() if p.is_dir() and p.name[:1] in 'abcdefg' and p.name[1:2].isupper())
    if len(folders) != 7:
        raise FileNotFoundError(f'{source} should have 7 folders such as aGrass, found {[p.name for p in folders]}')
    for folder in folders:
        for i, path in enumerate(list_images(folder).values()):
            target = root / ('train', 'test')[i % 2] / folder.name[1:] / path.name
            target.parent.mkdir(parents=True, exist_ok=True)
            if not target.exists():
                shutil.copy2(path, target)
    return root
