"""Small fixtures shared by all tests."""

import cv2
import pytest
import torch
from common import DATA

from fusionkd.datasets.scenes import render_scene
from fusionkd.models.fusers import BaseFuser
from fusionkd.registry import MODELS


@MODELS.register_module()
class ToyFuser(BaseFuser):
    """One convolution that decides the share of infrared; dropout shows whether it is in training mode."""

    def __init__(self, channels=4, dropout=0.0, init_cfg=None):
        super().__init__(init_cfg)
        self.body = torch.nn.Conv2d(2, channels, 3, padding=1)
        self.dropout = torch.nn.Dropout(dropout)
        self.head = torch.nn.Conv2d(channels, 1, 1)

    def forward(self, ir, vis):
        weight = torch.sigmoid(self.head(self.dropout(self.body(torch.cat([ir, vis], dim=1)))))
        return weight * ir + (1 - weight) * vis


@pytest.fixture(scope='session')
def real_data():
    """Folder of the real data; tests that need it are skipped without."""
    if not DATA.is_dir():
        pytest.skip(f'no real data at {DATA}; set FUSIONKD_DATA')
    return DATA


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.fixture
def pair():
    """Infrared and colour visible batch, (2, 1 or 3, 48, 64) in [0, 1]."""
    return torch.rand(2, 1, 48, 64), torch.rand(2, 3, 48, 64)


@pytest.fixture(scope='session')
def scene_folder(tmp_path_factory):
    """Synthetic scenes on disk in the layout of MSRS: 12 training and 3 test pairs of 64 x 96."""
    root = tmp_path_factory.mktemp('MSRS')
    for split, count, seed in (('train', 12, 10), ('test', 3, 11)):
        for kind in ('ir', 'vi'):
            (root / split / kind).mkdir(parents=True)
        for i in range(count):
            scene = render_scene(i, seed, (64, 96))
            cv2.imwrite(str(root / split / 'ir' / f'{i:05d}.png'), scene.ir)
            cv2.imwrite(str(root / split / 'vi' / f'{i:05d}.png'), scene.vis)
    return root
