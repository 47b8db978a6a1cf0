"""Public infrared-visible sets: where they are, how they are laid out, and how to know that a copy is complete."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from fusionkd.fileio import ImageError, list_images, read_image

SPLITS = ('train', 'test')


@dataclass(frozen=True)
class PublicSet:
    """One public set and its layout after preparation, ``ROOT/{train,test}/{ir,vi}/NAME``.

    Attributes:
        title: name, citation and content.
        folder: its usual name below ``data``.
        home: public page.
        pairs: number of pairs by split.
        names: regular expression that every name (without suffix) matches.
        git: repository to clone, where the set is published as one.
        folders: where the published copy has the images: by split, folders of ``ir`` and ``vi`` below its top.
        manual: what a person must do where no program can fetch it.
    """

    title: str
    folder: str
    home: str
    pairs: dict[str, int]
    names: str = r'.+'
    git: str | None = None
    folders: dict[str, tuple[str, str]] = field(default_factory=dict)
    manual: str = ''


_SAME = {split: (f'{split}/ir', f'{split}/vi') for split in SPLITS}

PUBLIC_SETS: dict[str, PublicSet] = {
    'msrs': PublicSet(
        title='MSRS (Tang et al., PIAFusion, Information Fusion 2022): road scenes, day and night, 640 x 480',
        folder='MSRS',
        home='https://github.com/Linfeng-Tang/MSRS',
        pairs=dict(train=1083, test=361),
        names=r'\d{5}[DN]',
        git='https://github.com/Linfeng-Tang/MSRS.git',
        folders=_SAME,
    ),
    'roadscene': PublicSet(
        title='RoadScene (Xu et al., U2Fusion, TPAMI 2022): 221 aligned road scenes of varied size',
        folder='RoadScene',
        home='https://github.com/hanna-xu/RoadScene',
        pairs=dict(test=221),
        names=r'FLIR_.+',
        git='https://github.com/hanna-xu/RoadScene.git',
        folders=dict(test=('cropinfrared', 'crop_LR_visible')),
    ),
    'tno': PublicSet(
        title='TNO Image Fusion Dataset (Toet, 2014): military scenes; papers choose 20 to 60 pairs of it',
        folder='TNO',
        home='https://doi.org/10.6084/m9.figshare.1008029',
        pairs={},
        manual='Download the archive from its page, and put the registered pairs you report on under test/ir and '
        'test/vi, with equal names. State which pairs: no two papers agree.',
    ),
    'm3fd': PublicSet(
        title='M3FD, fusion part (Liu et al., TarDAL, CVPR 2022): 300 pairs, 1024 x 768',
        folder='M3FD',
        home='https://github.com/JinyuanLiu-CV/TarDAL',
        pairs=dict(test=300),
        folders=dict(test=('Ir', 'Vis')),
        manual='Download M3FD_Fusion.zip from the links on the page (the authors host it on drives that need a browser), '
        'unpack it, and run this command with --from FOLDER.',
    ),
    'llvip': PublicSet(
        title='LLVIP (Jia et al., ICCVW 2021): low light, 1280 x 1024',
        folder='LLVIP',
        home='https://bupt-ai-cz.github.io/LLVIP/',
        pairs=dict(train=12025, test=3463),
        names=r'\d{6}',
        folders=dict(train=('infrared/train', 'visible/train'), test=('infrared/test', 'visible/test')),
        manual='Accept the terms on the page, download LLVIP.zip, unpack it, and run this command with --from FOLDER.',
    ),
    'harvard': PublicSet(
        title='Harvard Whole Brain Atlas pairs, PET-MRI, SPECT-MRI or CT-MRI, 256 x 256; ir holds the MRI',
        folder='Harvard',
        home='https://github.com/xianming-gu/Havard-Medical-Image-Fusion-Datasets',
        pairs={},
        git='https://github.com/xianming-gu/Havard-Medical-Image-Fusion-Datasets.git',
        folders=dict(test=('PET-MRI/MRI', 'PET-MRI/PET')),
    ),
}


def get_public_set(name: str) -> PublicSet:
    """A set by its name.

    Raises:
        KeyError: unknown; the message lists the known ones.
    """
    if name not in PUBLIC_SETS:
        raise KeyError(f'unknown set {name!r}; known: {", ".join(PUBLIC_SETS)}')
    return PUBLIC_SETS[name]


def verify(name: str, root: str | Path, progress: Callable[[str], None] | None = None) -> list[str]:
    """Check a prepared copy: counts, names, partners, and that every file can be decoded at equal sizes.

    Args:
        name: of the set.
        root: folder with ``train`` and/or ``test``.
        progress: called with a line for every split.

    Returns:
        What is wrong, one sentence each; empty if the copy is complete.
    """
    public = get_public_set(name)
    root = Path(root)
    problems = []
    splits = [split for split in SPLITS if (root / split).is_dir() or split in public.pairs]
    if not splits:
        return [f'{root} has neither train nor test']
    for split in splits:
        found, pairs = _verify_split(root / split, public.names)
        problems += found
        expected = public.pairs.get(split)
        if expected is not None and pairs != expected:
            problems.append(f'{root / split} has {pairs} complete pairs, {name} has {expected}')
        if progress is not None:
            progress(f'{split}: {pairs} pairs' + (f' of {expected}' if expected is not None else ''))
    return problems


def _verify_split(folder: Path, names: str) -> tuple[list[str], int]:
    """Problems of one split, and its number of complete pairs."""
    try:
        ir, vis = list_images(folder / 'ir'), list_images(folder / 'vi')
    except (FileNotFoundError, ImageError) as error:
        return [str(error)], 0
    problems = [f'{(ir | vis)[n]} has no partner' for n in sorted(ir.keys() ^ vis.keys())]
    both = sorted(ir.keys() & vis.keys())
    problems += [f'{ir[n]} is no name of this set' for n in both if not re.fullmatch(names, n)]
    complete = 0
    for n in both:
        try:
            sizes = [read_image(path).shape[:2] for path in (ir[n], vis[n])]
        except ImageError as error:
            problems.append(str(error))
            continue
        if sizes[0] != sizes[1]:
            problems.append(f'{ir[n]} and {vis[n]} differ in size')
        else:
            complete += 1
    return problems, complete


def fetch(name: str, target: str | Path) -> Path:
    """Clone a set that is published as a repository.

    Args:
        name: of the set.
        target: folder to clone into.

    Returns:
        ``target``.

    Raises:
        RuntimeError: it is not published as one, or cloning failed; the message says what to do by hand.
    """
    public = get_public_set(name)
    if public.git is None:
        raise RuntimeError(f'{name} cannot be fetched by a program. {public.manual} Page: {public.home}')
    command = ['git', 'clone', '--depth', '1', public.git, str(target)]
    try:
        subprocess.run(command, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise RuntimeError(
            f'{" ".join(command)} failed ({error}). Fetch {public.home} in another way, and run this command with '
            '--from FOLDER'
        ) from error
    return Path(target)


def arrange(name: str, source: str | Path, root: str | Path) -> Path:
    """Bring a published copy into the layout ``ROOT/{train,test}/{ir,vi}/NAME``, copying what is not there yet.

    Args:
        name: of the set.
        source: the copy as published; a folder that has the layout already is used as it is.
        root: where to put it.

    Returns:
        The folder that has the layout.

    Raises:
        FileNotFoundError: ``source`` lacks a folder of the set.
    """
    public = get_public_set(name)
    source, root = Path(source), Path(root)
    splits = [split for split in SPLITS if split in public.folders or split in public.pairs]
    if all((source / split / kind).is_dir() for split in splits or ['test'] for kind in ('ir', 'vi')):
        return source
    for split, folders in public.folders.items():
        for kind, folder in zip(('ir', 'vi'), folders, strict=True):
            images = list_images(_find(source, folder)).values()
            _copy(images, root / split / kind)
    return root


def _find(source: Path, folder: str) -> Path:
    """``folder`` below ``source`` or one level deeper, as archives add a top folder."""
    for top in (source, *sorted(p for p in source.glob('*') if p.is_dir())):
        if (top / folder).is_dir():
            return top / folder
    raise FileNotFoundError(f'no folder {folder} in {source} or one level below')


def _copy(images: Iterable[Path], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for path in images:
        if not (folder / path.name).exists():
            shutil.copy2(path, folder / path.name)
