"""Procedural textures and the arithmetic shaders share."""

import functools

import cv2
import numpy as np

ATLAS = 512  # side of the tileable noise images
_SLOPES = {'grain': 0.35, 'leaf': 0.75, 'blotch': 1.25, 'cloud': 1.75}
WORDS = ('HOTEL', 'CAFE 24', 'MARKET', 'BANK', 'PIZZA', 'BOOKS', 'SALE -50', 'GARAGE', 'NOODLE', 'CITY GYM', 'BAKERY',
         'RENT A CAR', 'OPTIK', 'PHARMA', 'SUSHI BAR', 'NO PARKING')  # fmt: skip


@functools.cache
def noise_image(name: str) -> np.ndarray:
    """Tileable noise of unit variance: 'grain' (nearly white), 'leaf', 'blotch' or 'cloud', ever smoother."""
    rng = np.random.default_rng([20240, *name.encode()])
    freq = np.hypot(np.fft.fftfreq(ATLAS)[:, None], np.fft.rfftfreq(ATLAS)[None]) * ATLAS
    spectrum = np.fft.rfft2(rng.standard_normal((ATLAS, ATLAS))) / np.maximum(freq, 1) ** _SLOPES[name]
    spectrum[0, 0] = 0
    image = np.fft.irfft2(spectrum, s=(ATLAS, ATLAS))
    return np.ascontiguousarray(image / image.std(), dtype=np.float32)


@functools.cache
def text_image() -> np.ndarray:
    """Lettering for signs: 32 x 256 pixels for each of ``WORDS``, one below the other, 1 on the strokes."""
    rows = []
    for word in WORDS:
        (width, _), _ = cv2.getTextSize(word, cv2.FONT_HERSHEY_DUPLEX, 1.0, 2)
        row = np.zeros((32, width + 8), np.uint8)
        cv2.putText(row, word, (4, 27), cv2.FONT_HERSHEY_DUPLEX, 1.0, 255, 2, cv2.LINE_AA)
        rows.append(cv2.resize(row, (256, 32), interpolation=cv2.INTER_AREA))
    return np.concatenate(rows).astype(np.float32) / 255


def sample(image: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Nearest texel of a tileable image of side ``ATLAS``; coordinates in texels, 0 or more."""
    cell = (v.astype(np.int32) & (ATLAS - 1)) * ATLAS
    cell += u.astype(np.int32) & (ATLAS - 1)
    return image.ravel().take(cell)


def band(x: np.ndarray, low: float | np.ndarray, high: float | np.ndarray, width: np.ndarray) -> np.ndarray:
    """Share of a pixel that lies between two limits; ``width`` is what it covers of ``x``."""
    return np.clip((x - low) / width + 0.5, 0, 1) - np.clip((x - high) / width + 0.5, 0, 1)


def stripes(x: np.ndarray, period: float, low: float, high: float, width: np.ndarray) -> np.ndarray:
    """As ``band``, between limits that repeat: fractions of each period."""
    turns = x / period
    return band(fract(turns), low, high, np.minimum(width / period, 1))


def fract(x: np.ndarray) -> np.ndarray:
    """The part after the decimal point; ten times faster than ``np.mod(x, 1)``."""
    return x - np.floor(x)
