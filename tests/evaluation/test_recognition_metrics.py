import json
import math

import numpy as np
import pytest
import torch
from sklearn.metrics import confusion_matrix as sklearn_confusion
from sklearn.metrics import log_loss, top_k_accuracy_score
from torchmetrics.functional.classification import multiclass_calibration_error

from fusionkd.evaluation.recognition import (
    confusion_matrix,
    expected_calibration_error,
    grounding_precision,
    negative_log_likelihood,
    per_class_accuracy,
    recall_at,
    top_k_accuracy,
)
from fusionkd.evaluation.recognition_metric import ClassificationMetric, GroundingMetric, RetrievalMetric
from fusionkd.fileio import read_image


@pytest.fixture
def predictions():
    logits = torch.randn(300, 7, dtype=torch.float64)
    return logits, torch.randint(7, (300,))


def test_classification_against_other_implementations(predictions):
    logits, labels = predictions
    for k in (1, 5):
        ours = top_k_accuracy(logits, labels, k)
        assert ours == pytest.approx(top_k_accuracy_score(labels, logits, k=k, labels=range(7)))
    p = logits.softmax(1)
    theirs = multiclass_calibration_error(p, labels, 7, n_bins=15, norm='l1').item()
    assert expected_calibration_error(p, labels) == pytest.approx(theirs, abs=1e-6)
    assert negative_log_likelihood(logits, labels) == pytest.approx(log_loss(labels, p, labels=range(7)))
    confusion = confusion_matrix(logits.argmax(1), labels, 7)
    assert (confusion.numpy() == sklearn_confusion(labels, logits.argmax(1), labels=range(7))).all()
    assert np.nanmean(per_class_accuracy(confusion)) == pytest.approx(
        np.mean([(logits.argmax(1) == labels)[labels == c].double().mean() for c in range(7)])
    )


def test_calibration_by_hand():
    p = torch.tensor([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.6, 0.4]])
    # Two at 0.9 of which one is right, two at 0.6 that are right: (0.4 + 0.4) / 2.
    assert expected_calibration_error(p, torch.tensor([0, 1, 0, 0])) == pytest.approx(0.4)
    assert expected_calibration_error(torch.eye(3), torch.arange(3)) == 0


def test_a_class_without_samples_has_no_accuracy():
    values = per_class_accuracy(confusion_matrix(torch.tensor([0, 0]), torch.tensor([0, 0]), 2))
    assert values[0] == 1 and math.isnan(values[1])


def test_retrieval_by_hand():
    similarity = torch.tensor([[0.9, 0.1, 0.8, 0.0], [0.2, 0.3, 0.1, 0.9], [0.5, 0.6, 0.4, 0.3]])
    owner = torch.tensor([0, 0, 1, 2])
    values = recall_at(similarity, owner, (1, 2, 3))
    # Image 0 finds caption 0 first; image 1 has caption 2 last of four; image 2 has caption 3 last.
    assert values['i2t_R@1'] == values['i2t_R@2'] == values['i2t_R@3'] == pytest.approx(1 / 3)
    # Caption 0: image 0 first. Caption 1: image 0 third. Caption 2: image 1 third. Caption 3: image 2 second.
    assert [values[f't2i_R@{k}'] for k in (1, 2, 3)] == [0.25, 0.5, 1.0]


def test_k_beyond_the_set_counts_all():
    values = recall_at(torch.eye(3), torch.arange(3))
    assert all(v == 1 for v in values.values()) and set(values) == {
        f'{d}_R@{k}' for d in ('i2t', 't2i') for k in (1, 5, 10)
    }


def test_grounding_by_hand():
    true = torch.tensor([[0.0, 0.0, 1.0, 1.0]] * 3)
    boxes = torch.tensor([[0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 1.0, 0.7], [0.5, 0.5, 1.0, 1.0]])
    values = grounding_precision(boxes, true)
    assert values['mIoU'] == pytest.approx((1 + 0.7 + 0.25) / 3)
    assert [values[f'Pr@{t}'] for t in (0.5, 0.7, 0.8, 0.9)] == pytest.approx([2 / 3, 2 / 3, 1 / 3, 1 / 3])


def test_classification_files(tmp_path, predictions):
    logits, labels = predictions
    metric = ClassificationMetric(out_dir=str(tmp_path))
    metric.dataset_meta = dict(classes=[f'c{i}' for i in range(7)])
    metric.process({}, [dict(logits=x, label=y) for x, y in zip(logits, labels, strict=True)])
    values = metric.compute_metrics(metric.results)
    assert values['score'] == values['top1'] == top_k_accuracy(logits, labels)
    assert json.loads((tmp_path / 'results.json').read_text()) == values and 'class/c6' in values
    assert read_image(tmp_path / 'confusion.png').shape[0] > 300
    metric.results[0]['label'] = 7
    with pytest.raises(ValueError, match='label 7, the network 7 classes'):
        metric.compute_metrics(metric.results)


def test_retrieval_and_grounding_metrics():
    metric = RetrievalMetric()
    metric.process({}, [dict(image_vector=torch.eye(3)[i], text_vectors=torch.eye(3)[[i, i]]) for i in range(3)])
    assert metric.compute_metrics(metric.results)['score'] == 1
    metric = GroundingMetric()
    box = torch.tensor([0.1, 0.1, 0.5, 0.5])
    metric.process({}, [dict(pred_box=box, box=box)])
    assert metric.compute_metrics(metric.results)['Pr@0.9'] == 1
