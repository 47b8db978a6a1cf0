import pytest
import torch
from mmengine.structures import BaseDataElement

from fusionkd.models.classifiers import RecognitionPreprocessor, TimmClassifier

SMALL = dict(channels=(8, 8, 16, 16), stem_width=8)


@pytest.mark.parametrize(('name', 'options'), [('resnet10t', SMALL), ('mobilenetv3_small_050', None)])
def test_logits_are_those_of_the_timm_model(name, options):
    network = TimmClassifier(name, 5, options=options).eval()
    image = torch.rand(2, 3, 64, 64)
    out = network(image)
    assert out.logits.shape == (2, 5) and out.embedding.shape == (2, network.embedding_size) and out.boxes is None
    assert torch.allclose(out.logits, network.backbone((image - network.mean) / network.std), atol=1e-5)
    assert not {'mean', 'std'} & network.state_dict().keys()


def test_labels_and_predictions_go_through_the_samples():
    network = TimmClassifier('resnet10t', 5, options=SMALL).eval()
    samples = [BaseDataElement(label=torch.tensor(i)) for i in (3, 1)]
    assert network.labels(samples).tolist() == [3, 1]
    network.predict(torch.rand(2, 3, 64, 64), samples)
    assert samples[1].logits.shape == (5,)
    with pytest.raises(ValueError, match='a sample has no label'):
        network.labels([BaseDataElement()])


def test_what_cannot_be_a_classifier_is_refused():
    with pytest.raises(ValueError, match=r"no model 'resnet10x'; similar: .*resnet10t"):
        TimmClassifier('resnet10x', 5)
    with pytest.raises(FileNotFoundError, match=r'weights not found: none\.pth'):
        cfg = dict(type='Pretrained', checkpoint='none.pth')
        TimmClassifier('resnet10t', 5, options=SMALL, init_cfg=cfg).init_weights()


def test_preprocessor():
    images = [torch.full((3, 4, 4), v, dtype=torch.uint8) for v in (0, 255)]
    data = RecognitionPreprocessor()(dict(inputs=dict(image=images), data_samples=[BaseDataElement()] * 2))
    assert data['inputs']['image'].mean((1, 2, 3)).tolist() == [0, 1]
    with pytest.raises(ValueError, match='set size in LoadImage'):
        RecognitionPreprocessor()(dict(inputs=dict(image=[images[0], images[0][:, :2]]), data_samples=[]))
