import cv2
import pytest
import torch
from mmengine.dataset import pseudo_collate

from fusionkd import zoo
from fusionkd.apis import FusionInferencer
from fusionkd.datasets import PairedFusionDataset
from fusionkd.deploy import export_onnx
from fusionkd.models.distillers import FusionDistiller
from fusionkd.models.fusers import RefinedFuser
from fusionkd.models.losses import QualityLoss

NETWORK = dict(type='SwiftFuser', width=16, depth=1, block='depthwise')
WEIGHTS = dict(vif=1.6, vif_sum=2.2, qabf=6.0, scd=1.0, nabf=16.0, ssim_sum=1.0)


@pytest.fixture
def sources(scene_folder):
    files = (scene_folder / 'test' / kind / '00000.png' for kind in ('ir', 'vi'))
    return [torch.from_numpy(cv2.imread(str(file), 0))[None, None] / 255 for file in files]


@pytest.fixture
def fuser():
    return RefinedFuser(NETWORK, steps=8).eval()


def test_an_image_goes_down_the_gradient_and_the_network_stays(fuser, sources):
    before = {k: v.clone() for k, v in fuser.state_dict().items()}
    start, image = fuser.network.fuse(*sources), fuser.fuse(*sources)
    loss = QualityLoss(**WEIGHTS)
    assert loss(image, *sources) < 0.95 * loss(start, *sources)
    assert image.min() >= 0 and image.max() <= 1 and not image.requires_grad
    assert all(torch.equal(v, before[k]) for k, v in fuser.state_dict().items())
    assert all(p.grad is None for p in fuser.parameters())


def test_more_steps_and_coarse_maps_bring_more(sources):
    loss = QualityLoss(**WEIGHTS)

    def reached(**options):
        torch.manual_seed(0)
        return loss(RefinedFuser(NETWORK, **options).eval().fuse(*sources), *sources)

    few, many, fine = reached(steps=2), reached(steps=12), reached(steps=12, scales=(1,))
    assert many < few and many < fine


def test_images_of_a_batch_do_not_see_each_other(fuser, sources):
    ir, vis = (torch.cat([x, x.flip(-1) * 0.7]) for x in sources)
    together = fuser.fuse(ir, vis)
    alone = torch.cat([fuser.fuse(ir[i : i + 1], vis[i : i + 1]) for i in range(2)])
    assert torch.allclose(together, alone, atol=2e-3) and not torch.allclose(
        together[0], together[1].flip(-1), atol=0.02
    )


def test_another_loss_is_what_is_lowered(sources):
    fuser = RefinedFuser(NETWORK, loss=dict(type='FusionLoss'), steps=6).eval()
    start, image = fuser.network.fuse(*sources), fuser.fuse(*sources)
    assert fuser.loss(image, *sources) < fuser.loss(start, *sources)


@pytest.mark.parametrize('size', [(48, 61), (30, 40), (5, 90)])
@pytest.mark.parametrize('mode', [torch.no_grad, torch.inference_mode])
def test_any_size_in_colour_and_without_gradients(fuser, size, mode):
    with mode():
        fused = fuser.predict(torch.rand(1, *size), torch.rand(3, *size))
    assert fused.shape == (3, *size)


def test_what_cannot_be_is_refused(fuser, sources, tmp_path):
    with pytest.raises(RuntimeError, match='cannot be trained; train its network, SwiftFuser'):
        fuser.train()(*sources)
    with pytest.raises(ValueError, match='cannot be exported; export its network'):
        export_onnx(fuser, tmp_path / 'x.onnx')
    for options in (dict(steps=0), dict(lr=0), dict(scales=()), dict(scales=(0, 4))):
        with pytest.raises(ValueError, match='must be above 0'):
            RefinedFuser(NETWORK, **options)


def test_the_packaged_one_is_the_teacher_and_its_steps(sources):
    fuser = FusionInferencer('fusionkd-teacher-refined', device='cpu').fuser
    teacher = FusionInferencer('fusionkd-teacher', device='cpu').fuser
    assert all(torch.equal(v, fuser.network.state_dict()[k]) for k, v in teacher.state_dict().items())
    assert fuser.loss.weights == QualityLoss(**WEIGHTS).weights and fuser.steps == 40
    with pytest.raises(ValueError, match='no weights of its own: it is RefinedFuser over fusionkd-teacher'):
        zoo.resolve('fusionkd-teacher-refined')


def test_a_teacher_whose_images_are_refined_once(scene_folder, tmp_path):
    teacher = dict(type='RefinedFuser', fuser=NETWORK, steps=2, name='teacher', cache=dict(type='memory'))
    guide = dict(name='guide', loss=dict(type='L1Loss'), target='teacher')
    model = FusionDistiller(student=dict(type='SwiftFuser', width=16, depth=1), teachers=[teacher], terms=[guide])
    data = PairedFusionDataset(
        data_root=str(scene_folder),
        pipeline=[dict(type='LoadImagePair'), dict(type='RandomCropPair', size=48), dict(type='PackFusionInputs')],
    )
    calls = []
    network = model.guides['teacher'].network
    network.register_forward_hook(lambda *_: calls.append(1))
    for _ in range(2):
        batch = model.data_preprocessor(pseudo_collate([data[0], data[1]]), training=True)
        loss = model.loss(**batch['inputs'], data_samples=batch['data_samples'])['loss_guide']
        loss.backward()
    assert loss > 0 and len(calls) == 2, 'one for each of two images'
