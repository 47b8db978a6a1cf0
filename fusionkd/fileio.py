"""Images in and out, and files that are never half written."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

IMAGE_SUFFIXES = ('.png', '.jpg', '.jpeg', '.bmp', '.tif', '.tiff')


class ImageError(ValueError):
    """A file that cannot be used as an image; the message names it and says what to do."""


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; it replaces ``path`` on success and disappears on error.

    Missing parent folders are created.

    Example:
        >>> import tempfile
        >>> target = Path(tempfile.mkdtemp()) / 'table.txt'
        >>> with atomic_path(target) as tmp:
        ...     _ = tmp.write_text('complete')
        >>> target.read_text()
        'complete'
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f'.{path.stem}.', suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)  # mkstemp makes files private; outputs are ordinary files
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def read_image(path: str | Path) -> np.ndarray:
    """Read png, jpg, bmp or tif, 8 or 16 bit, gray or colour.

    Returns:
        ``(H, W)`` gray or ``(H, W, 3)`` RGB, in the file's own type: uint8, uint16 or float32. Alpha is dropped.

    Raises:
        FileNotFoundError: no such file.
        ImageError: not an image, truncated, or of another pixel type.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f'image not found: {path}')
    data = path.read_bytes()
    if _is_truncated(data):
        raise ImageError(f'{path} is truncated ({len(data)} bytes): copy or download it again')
    import cv2  # noqa: PLC0415, 53 MB that fusing arrays with onnxruntime does not need

    image = None
    if data:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if image is None:
        raise ImageError(f'{path} cannot be read as an image; expected one of {", ".join(IMAGE_SUFFIXES)}')
    if image.dtype not in (np.uint8, np.uint16, np.float32):
        raise ImageError(f'{path} has pixels of type {image.dtype}; expected 8 or 16 bit, or float32')
    if image.ndim == 3:
        if image.shape[2] not in (1, 3, 4):
            raise ImageError(f'{path} has {image.shape[2]} channels; expected gray, colour or colour with alpha')
        image = image[..., 0] if image.shape[2] == 1 else cv2.cvtColor(image[..., :3], cv2.COLOR_BGR2RGB)
    return image


def write_image(path: str | Path, image: np.ndarray) -> None:
    """Write a uint8 or uint16 image atomically, ``(H, W)`` gray or ``(H, W, 3)`` RGB; the suffix gives the format.

    Raises:
        ImageError: OpenCV cannot write this suffix.
    """
    path = Path(path)
    if path.suffix.lower() not in IMAGE_SUFFIXES:
        raise ImageError(f'cannot write {path}: use one of {", ".join(IMAGE_SUFFIXES)}')
    import cv2  # noqa: PLC0415, see read_image

    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR) if image.ndim == 3 else image
    done, data = cv2.imencode(path.suffix, bgr)
    if not done:
        raise ImageError(f'OpenCV could not encode {path} from {image.dtype} of shape {image.shape}')
    with atomic_path(path) as temporary:
        temporary.write_bytes(data.tobytes())


def scale_to_unit(image: np.ndarray, value_range: tuple[float, float] | None = None, name: str = 'image') -> np.ndarray:
    """Pixels as float32 in [0, 1].

    Args:
        image: uint8, uint16 or float.
        value_range: the values that become 0 and 1, clipped outside: ``(0, 16383)`` for 14-bit thermal data. By default
            the range of the integer type; float images must already be in [0, 1].
        name: for messages.

    Raises:
        ImageError: NaN or infinity, or float values outside [0, 1] without a range.
    """
    if np.issubdtype(image.dtype, np.floating) and not np.isfinite(image).all():
        raise ImageError(f'{name} holds NaN or infinity; replace those pixels first')
    if value_range is not None:
        low, high = value_range
        return np.clip((image.astype(np.float32) - low) / (high - low), 0, 1)
    if image.dtype in (np.uint8, np.uint16):
        return image.astype(np.float32) / np.iinfo(image.dtype).max
    if not np.issubdtype(image.dtype, np.floating):
        raise ImageError(f'{name} is {image.dtype}; expected uint8, uint16 or float')
    if image.size and (image.min() < 0 or image.max() > 1):
        raise ImageError(
            f'{name} is float in [{image.min():.4g}, {image.max():.4g}], expected [0, 1]; state its value range'
        )
    return image.astype(np.float32)


def list_images(folder: str | Path) -> dict[str, Path]:
    """Images of a folder by name without suffix, sorted.

    Raises:
        FileNotFoundError: no such folder, or no image in it.
        ImageError: two images share a name and differ in suffix only.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f'folder not found: {folder}')
    images: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith('.'):
            if path.stem in images:
                raise ImageError(f'{path.name} and {images[path.stem].name} in {folder} share a name; keep one')
            images[path.stem] = path
    if not images:
        raise FileNotFoundError(f'no image ({", ".join(IMAGE_SUFFIXES)}) in {folder}')
    return images


def _is_truncated(data: bytes) -> bool:
    # Decoders fill the missing part of a cut file with gray and say nothing, so the end is checked here.
    if data.startswith(b'\x89PNG'):
        return b'IEND' not in data[-1024:]
    if data.startswith(b'\xff\xd8'):
        return b'\xff\xd9' not in data[-4096:]
    if data.startswith(b'BM'):
        return int.from_bytes(data[2:6], 'little') > len(data)
    return False
