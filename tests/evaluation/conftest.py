"""Small images and the devices they are scored on."""

import pytest
import torch

DEVICES = [
    'cpu',
    pytest.param(
        'cuda', marks=pytest.mark.skipif(not torch.cuda.is_available(), reason='this machine has no CUDA GPU')
    ),
]


@pytest.fixture(scope='package', autouse=True)
def _one_thread():
    """Images here are small: a second thread mostly waits, and for ever so long where other work runs beside."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(params=DEVICES)
def device(request):
    return request.param


@pytest.fixture
def draw():
    """Make gray images in float64 grey levels, ``(N, 1, H, W)`` each: ir, vis and a fused image related to both.

    Waves, an edge and noise: smooth and busy windows, both signs of correlation, and no level at a border of the range.
    """

    def make(height, width, count=1, whole=False, seed=0):
        rng = torch.Generator().manual_seed(seed)
        y = torch.linspace(0, 1, height, dtype=torch.float64).view(1, 1, -1, 1)
        x = torch.linspace(0, 1, width, dtype=torch.float64)
        phase = torch.rand(count, 1, 1, 1, generator=rng, dtype=torch.float64)
        noise = [torch.randn(count, 1, height, width, generator=rng, dtype=torch.float64) for _ in range(3)]
        ir = 90 + 40 * torch.sin(6 * x + 4 * y + 6 * phase) + 60 * (x + y > 1.1) + 6 * noise[0]
        vis = 120 + 50 * torch.sin(17 * x * y + 3 * phase) - 40 * (x > 0.6) + 9 * noise[1]
        fused = 0.4 * ir + 0.6 * vis + 4 * noise[2]
        images = [image.clamp(1, 254) for image in (ir, vis, fused)]
        return [image.round() for image in images] if whole else images

    return make
