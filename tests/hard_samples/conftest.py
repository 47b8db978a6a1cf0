import pytest
import torch

from fusionkd.datasets.scenes import render_scene


@pytest.fixture(scope='session')
def scenes():
    """Infrared and visible luma of four scenes, (4, 1, 64, 96)."""
    drawn = [render_scene(i, 20, (64, 96)) for i in range(4)]
    ir = torch.stack([torch.from_numpy(s.ir)[None] for s in drawn]) / 255
    vis = torch.stack([torch.from_numpy(s.vis[..., 1].copy())[None] for s in drawn]) / 255
    return ir, vis
