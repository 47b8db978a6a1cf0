"""Weights by name. Each network has a card, ``<name>.json``; small ones have their weights beside it.

A card without a file is of a :class:`fusionkd.models.fusers.RefinedFuser`, whose network is another one of the zoo.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import torch

FOLDER = Path(__file__).parent


def names() -> list[str]:
    """Names of the networks in the zoo."""
    return sorted(path.stem for path in FOLDER.glob('*.json'))


def card(name: str) -> dict:
    """Metadata of a network: its config, file, source, licence, sha256.

    Raises:
        KeyError: no such network; the message lists those there are.
    """
    path = FOLDER / f'{name}.json'
    if not path.is_file():
        raise KeyError(f'no network {name!r} in the zoo; there are: {", ".join(names())}')
    return json.loads(path.read_text(encoding='utf-8'))


def resolve(source: str | Path) -> Path:
    """Local file of a name of the zoo, a URL or a path.

    A name is looked up in the package, then in the folder ``$FUSIONKD_WEIGHTS``, then in torch's hub cache, and
    downloaded from its authors' page into that cache if it is nowhere. Its sha256 is checked wherever it was found.

    Raises:
        FileNotFoundError: no such path, or the download failed; the message says where to put the file.
        ValueError: the file is not the one of the card, or the card has none.
    """
    text = str(source)
    if text in names():
        entry = card(text)
        if 'file' not in entry:
            inner = entry['fuser']['fuser']['init_cfg']['checkpoint']
            raise ValueError(f'{text} has no weights of its own: it is {entry["fuser"]["type"]} over {inner}')
        return _checked(_find(entry), entry)
    if text.startswith(('http://', 'https://')):
        return _download(text, _cache() / text.rsplit('/', 1)[-1])
    path = Path(text).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f'weights not found: {path}; give a file, a URL or one of {", ".join(names())}')
    return path


def policy(source: str | Path) -> Path:
    """File of a policy that is packaged, by its name, or the path itself; its card lies beside it."""
    path = FOLDER / 'policies' / f'{source}.pth'
    return path if path.is_file() else Path(source)


def policies() -> list[str]:
    """Names of the packaged policies of agents."""
    return sorted(path.stem for path in (FOLDER / 'policies').glob('*.pth'))


def _find(entry: dict) -> Path:
    folders = [FOLDER, _cache()]
    if os.environ.get('FUSIONKD_WEIGHTS'):
        folders.insert(1, Path(os.environ['FUSIONKD_WEIGHTS']))
    for folder in folders:
        if (folder / entry['file']).is_file():
            return folder / entry['file']
    return _download(entry['url'], _cache() / entry['file'])


def _cache() -> Path:
    return Path(torch.hub.get_dir()) / 'checkpoints'


def _download(url: str, path: Path) -> Path:
    if path.is_file():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        torch.hub.download_url_to_file(url, str(path), progress=False)
    except OSError as error:
        raise FileNotFoundError(
            f'could not download {url} ({error}); fetch it by hand and put it at {path}, or in the folder that '
            'FUSIONKD_WEIGHTS names'
        ) from error
    return path


def _checked(path: Path, entry: dict) -> Path:
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != entry['sha256']:
        raise ValueError(f'{path} is not the published file: sha256 {digest}, expected {entry["sha256"]}; delete it')
    return path
