"""Measures of answers inside mmengine's Runner."""

from __future__ import annotations

from collections.abc import Sequence

from fusionkd.registry import METRICS

from .answers import exact_match, final_answer
from .recognition_metric import RecognitionMetric


@METRICS.register_module()
class AnswerMetric(RecognitionMetric):
    """Share of answers that match the true ones exactly after normalisation, in [0, 1].

    Returns ``score`` and ``exact_match`` (the same), ``answered``, the share of responses that have an answer at all,
    and ``kind/<kind>`` for sets whose questions have kinds.

    Args:
        pattern: regular expression whose first group is the answer proper in a response, see :func:`final_answer`. Default
            none: the whole response.
        out_dir: folder for the results. Default none.
        collect_device: mmengine's.
    """

    def __init__(self, pattern: str | None = None, out_dir: str | None = None, collect_device: str = 'cpu'):
        super().__init__(out_dir, collect_device)
        self.pattern = pattern

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Compare each sample's ``prediction`` with its ``answer``.

        Raises:
            ValueError: a sample lacks one of them.
        """
        for sample in data_samples:
            missing = [key for key in ('prediction', 'answer') if sample.get(key) is None]
            if missing:
                raise ValueError(f'sample {sample.get("name", "?")!r} has no {" and no ".join(missing)}')
            right = exact_match(sample['prediction'], sample['answer'], self.pattern)
            answered = bool(final_answer(sample['prediction'], self.pattern))
            self.results.append(dict(right=right, answered=answered, kind=sample.get('kind')))

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """All numbers."""
        share = _mean([r['right'] for r in results])
        values = dict(score=share, exact_match=share, answered=_mean([r['answered'] for r in results]))
        for kind in sorted({r['kind'] for r in results if r['kind'] is not None}):
            values[f'kind/{kind}'] = _mean([r['right'] for r in results if r['kind'] == kind])
        return self.save(values)


def _mean(values: Sequence[bool]) -> float:
    return sum(values) / len(values)
