import copy

import pytest
import torch

from fusionkd.datasets.recognition_synthetic import write_class_folders
from fusionkd.models.distillers.kdrl import KDRLDistiller
from fusionkd.registry import DATASETS
from fusionkd.rl.recognition_probe import RecognitionProbe
from fusionkd.rl.scheduler import AgentScheduler

NETWORK = dict(
    type='TimmClassifier', model_name='resnet10t', num_classes=3, options=dict(channels=(8, 8, 8, 8), stem_width=8)
)
TERMS = [
    dict(name='task', loss=dict(type='ClassLoss'), weight='agent'),
    dict(name='logits', loss=dict(type='KDLoss')),
]


@pytest.fixture(scope='module')
def dataset(tmp_path_factory):
    root = write_class_folders(tmp_path_factory.mktemp('probe'), images=4, size=32)
    pipeline = [dict(type='LoadImage'), dict(type='PackRecognition')]
    return dict(type='ClassFolders', data_root=str(root), data_prefix=dict(image='test'), pipeline=pipeline)


def model():
    torch.manual_seed(0)
    return KDRLDistiller(NETWORK, copy.deepcopy(TERMS), dict(NETWORK))


def test_an_agent_sets_the_weight_of_the_task(dataset, tmp_path):
    """The scheduler of the fusion recipes, with a probe of classes."""
    distiller = model()
    scheduler = AgentScheduler(
        dict(type='RandomAgent', seed=1),
        probe=dict(type='RecognitionProbe', dataset=dataset, num=6),
        observation=['StudentPerformance', 'TeacherGap', 'Progress'],
        actions=dict(task=(0.0, 1.0)),
    )
    scheduler.setup(distiller, tmp_path)
    weights = []
    for step in range(3):
        decision = scheduler.decide(step, 3)
        weights.append(distiller.terms['task'].weight)
        assert 0 < decision.score < 1
    assert len(set(weights)) == 3 and all(0 <= w <= 1 for w in weights)


def test_scores(dataset):
    probe, distiller = RecognitionProbe(dataset, num=6), model()
    probe.load(distiller)
    scores, gaps = probe.measure(distiller.student)
    assert distiller.student.training and set(scores) == {'score', 'top1', 'ece'}
    assert 0 < gaps['timmclassifier'] < 1
    assert probe.measure(distiller.teachers['timmclassifier'])[1]['timmclassifier'] == 0
    assert probe.measure(distiller.teachers['timmclassifier'])[0] == probe.teacher_scores['timmclassifier']


def test_the_probe_may_not_be_trained_on(dataset):
    probe = RecognitionProbe(dataset, num=6)
    probe.check_disjoint(DATASETS.build(dataset | dict(data_prefix=dict(image='train'))), 'training')
    with pytest.raises(ValueError, match='6 probe images are also test images'):
        probe.check_disjoint(DATASETS.build(dataset), 'test')
    with pytest.raises(ValueError, match='has 12 images, 99 were asked for'):
        RecognitionProbe(dataset, num=99).dataset  # noqa: B018
