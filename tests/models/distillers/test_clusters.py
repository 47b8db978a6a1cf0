import numpy as np
import pytest
import torch
from mmengine.structures import BaseDataElement

from fusionkd.datasets.recognition import ClassFolders
from fusionkd.datasets.recognition_synthetic import write_captions, write_class_folders
from fusionkd.datasets.recognition_transforms import LoadImage, PackRecognition
from fusionkd.models.classifiers import RecognitionPreprocessor, TimmClassifier
from fusionkd.models.distillers.clusters import ClusterBank, fit_clusters, load_or_fit
from fusionkd.registry import DATASETS

NAMES = [f'image{i}' for i in range(12)]


def blobs():
    """Three directions, four noisy vectors each, in order."""
    torch.manual_seed(0)
    return torch.eye(3).repeat_interleave(4, 0) * 5 + 0.1 * torch.randn(12, 3)


def test_clusters_are_the_directions():
    bank = fit_clusters(blobs(), NAMES, None, 3)
    rows = [bank.assignment[n] for n in NAMES]
    assert all(len(set(rows[i : i + 4])) == 1 for i in (0, 4, 8)) and len(set(rows)) == 3
    own = bank.centred(blobs())
    cosine = torch.cosine_similarity(own[:, None], bank.centres[None], dim=-1)
    assert cosine.argmax(1).tolist() == rows and cosine.max(1).values.min() > 0.99
    # Without the mean taken off, vectors of non-negative features all look alike; with it, clusters point apart.
    assert torch.cosine_similarity(bank.centres[0], bank.centres[1], dim=0) < 0


def test_clusters_of_a_class_are_its_own():
    labels = [0, 1] * 6
    bank = fit_clusters(blobs(), NAMES, labels, 2)
    rows = np.array([bank.assignment[n] for n in NAMES])
    assert len(bank.centres) == 4 and set(rows[::2]) == {0, 1} and set(rows[1::2]) == {2, 3}


def test_lookup_and_state():
    bank = ClusterBank.from_state(fit_clusters(blobs(), NAMES, None, 2).state_dict())
    samples = [BaseDataElement(metainfo=dict(name=n)) for n in ('image3', 'image11')]
    expected = bank.centres[[bank.assignment['image3'], bank.assignment['image11']]]
    assert torch.equal(bank.lookup(samples), expected)
    with pytest.raises(KeyError, match='was not clustered'):
        bank.lookup([BaseDataElement(metainfo=dict(name='other'))])


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ((blobs(), NAMES, None, 13), 'k=13 clusters are more than the 12 images of the set'),
        ((blobs(), NAMES, [0] * 11 + [1], 2), 'k=2 clusters are more than the 1 images of class 1'),
        ((blobs(), NAMES, None, 0), 'k must be 1 or more'),
        ((blobs(), ['x'] * 12, None, 2), 'two images share a name'),
    ],
)
def test_wrong_numbers(arguments, message):
    with pytest.raises(ValueError, match=message):
        fit_clusters(*arguments)


def teacher(seed):
    torch.manual_seed(seed)
    return TimmClassifier('resnet10t', 3, options=dict(channels=(8, 8, 8, 8), stem_width=8)).eval()


def test_the_cache_knows_teacher_data_and_options(tmp_path):
    root = write_class_folders(tmp_path / 'set', images=2, size=32)
    pipeline = [LoadImage(), PackRecognition()]
    dataset = ClassFolders(str(root), dict(image='train'), pipeline=pipeline)
    lines = []
    network = teacher(0)

    def load(network=network, dataset=dataset, k=1, **options):
        lines.clear()
        bank = load_or_fit(
            network, RecognitionPreprocessor(), dataset, k, folder=tmp_path / 'cache', report=lines.append, **options
        )
        return bank, 'from' in lines[0]

    first, cached = load()
    assert not cached
    again, cached = load(network=teacher(0))
    assert cached and torch.equal(first.centres, again.centres) and first.assignment == again.assignment
    assert not load(network=teacher(1))[1] and not load(k=2)[1] and not load(per_class=False)[1] and not load(seed=1)[1]
    other = ClassFolders(str(root), dict(image='train'), pipeline=[LoadImage(16), PackRecognition()])
    assert not load(dataset=other)[1]
    (root / 'train/Field/000.png').write_bytes((root / 'train/Forest/000.png').read_bytes())
    assert not load()[1]


def test_classes_need_labels(tmp_path):
    root = write_class_folders(tmp_path, images=1, size=32)
    write_captions(root)
    pipeline = [LoadImage(), PackRecognition()]
    dataset = DATASETS.build(
        dict(
            type='CaptionList',
            data_root=str(root),
            ann_file='captions.json',
            data_prefix=dict(image=''),
            pipeline=pipeline,
        )
    )
    with pytest.raises(ValueError, match='set per_class=False'):
        load_or_fit(teacher(0), RecognitionPreprocessor(), dataset, 1, folder=None)
    assert (
        len(load_or_fit(teacher(0), RecognitionPreprocessor(), dataset, 2, per_class=False, folder=None).centres) == 2
    )
