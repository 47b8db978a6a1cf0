"""Results tables: one row per set and method, one protocol."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from fusionkd.fileio import atomic_path

from .protocols import METRICS

SCORE_COLUMNS = ('score', 'target')
_LOWER_IS_BETTER = {name for name, info in METRICS.items() if not info.higher_is_better}


@dataclass
class Row:
    """Per-image values of one method on one set.

    Attributes:
        set_name: the set.
        method: the method.
        names: images, without suffix.
        values: by metric, one value per image.
        trivial: a rule without a network, listed for comparison.
    """

    set_name: str
    method: str
    names: list[str]
    values: dict[str, list[float]]
    trivial: bool = False

    def mean(self, metric: str) -> float:
        """Mean over the images where the metric is defined; nan if nowhere."""
        return _over_defined(np.mean, self.values[metric])

    def std(self, metric: str) -> float:
        """Population standard deviation over the same images."""
        return _over_defined(np.std, self.values[metric])


@dataclass
class ResultTable:
    """Rows of one protocol.

    Attributes:
        protocol: its key, name and version.
        rows: in the order they are printed.
    """

    protocol: str
    rows: list[Row] = field(default_factory=list)

    @property
    def metrics(self) -> list[str]:
        """Columns, as in the first row."""
        return list(self.rows[0].values) if self.rows else []

    def add(self, row: Row, protocol: str) -> None:
        """Append a row.

        Raises:
            ValueError: the row was computed under another protocol, or has other metrics.
        """
        if protocol != self.protocol:
            raise ValueError(
                f'{row.method} was scored under {protocol}, the table is {self.protocol}: '
                'numbers of two protocols must not share a table; score it again'
            )
        if self.rows and list(row.values) != self.metrics:
            raise ValueError(f'{row.method} has metrics {list(row.values)}, the table {self.metrics}')
        self.rows.append(row)

    def means(self, method: str) -> dict[str, float]:
        """Means of one method: ``<metric>`` over all its images, and ``<set>/<metric>`` if there are several sets."""
        rows = [row for row in self.rows if row.method == method]
        values = {m: _over_defined(np.mean, [v for row in rows for v in row.values[m]]) for m in self.metrics}
        if len(rows) > 1:
            values |= {f'{row.set_name}/{m}': row.mean(m) for row in rows for m in self.metrics}
        return values

    def to_text(self) -> str:
        """Aligned columns for a console; the best value of a set is marked ``*``, the second best ``+``."""
        lines = [['set', 'method', 'n', *self.metrics]]
        for row, marks in zip(self.rows, self._marks(), strict=True):
            cells = [f'{_number(row.mean(m))}{marks[m] or " "}' for m in self.metrics]
            lines.append([row.set_name, row.method, str(len(row.names)), *cells])
        widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
        text = []
        for line in lines:
            head = [c.ljust(w) for c, w in zip(line[:2], widths[:2], strict=True)]
            text.append('  '.join(head + [c.rjust(w) for c, w in zip(line[2:], widths[2:], strict=True)]).rstrip())
        lower = [m for m in self.metrics if m in _LOWER_IS_BETTER]
        note = f'protocol {self.protocol}; * best, + second best of a set' + (
            f' (lower is better: {", ".join(lower)})' if lower else ''
        )
        return '\n'.join([*text, note])

    def to_markdown(self) -> str:
        """A Markdown table; best in bold, second best in italics."""
        lines = [f'| set | method | {" | ".join(self.metrics)} |', '|' + '---|' * (2 + len(self.metrics))]
        wrap = {'*': '**{}**', '+': '*{}*', '': '{}'}
        for row, marks in zip(self.rows, self._marks(), strict=True):
            cells = [wrap[marks[m]].format(_number(row.mean(m))) for m in self.metrics]
            lines.append(f'| {row.set_name} | {row.method} | {" | ".join(cells)} |')
        return '\n'.join([*lines, '', f'Protocol `{self.protocol}`.'])

    def to_csv(self) -> str:
        """Means and standard deviations: ``set, method, images, <metric>, <metric>_std, ..., protocol``."""
        header = ['set', 'method', 'images', *(c for m in self.metrics for c in (m, f'{m}_std')), 'protocol']
        rows = []
        for row in self.rows:
            cells = [value for m in self.metrics for value in (row.mean(m), row.std(m))]
            rows.append([row.set_name, row.method, len(row.names), *cells, self.protocol])
        return _csv(header, rows)

    def to_per_image_csv(self) -> str:
        """One line an image: ``method, name, <metric>, ..., set, protocol``."""
        rows = [
            [row.method, name, *(row.values[m][i] for m in self.metrics), row.set_name, self.protocol]
            for row in self.rows
            for i, name in enumerate(row.names)
        ]
        return _csv(['method', 'name', *self.metrics, 'set', 'protocol'], rows)

    def to_json(self) -> str:
        """Means, deviations and number of images of every row; undefined values are ``null``."""
        rows = [
            dict(
                set=row.set_name,
                method=row.method,
                images=len(row.names),
                mean={m: _plain(row.mean(m)) for m in self.metrics},
                std={m: _plain(row.std(m)) for m in self.metrics},
            )
            for row in self.rows
        ]
        return json.dumps(dict(protocol=self.protocol, rows=rows), indent=1)

    def save(self, folder: str | Path, stem: str = 'results') -> None:
        """Write ``<stem>.txt``, ``.md``, ``.csv``, ``.json`` and ``<stem>_per_image.csv`` atomically."""
        files = {
            f'{stem}.txt': self.to_text() + '\n',
            f'{stem}.md': self.to_markdown() + '\n',
            f'{stem}.csv': self.to_csv(),
            f'{stem}.json': self.to_json() + '\n',
            f'{stem}_per_image.csv': self.to_per_image_csv(),
        }
        for name, text in files.items():
            with atomic_path(Path(folder) / name) as temporary:
                temporary.write_text(text, encoding='utf-8')

    def _marks(self) -> list[dict[str, str]]:
        """For every row and metric ``'*'``, ``'+'`` or nothing: rank within the set, among rows that are no rule."""
        marks = [dict.fromkeys(self.metrics, '') for _ in self.rows]
        for set_name in {row.set_name for row in self.rows}:
            indices = [i for i, r in enumerate(self.rows) if r.set_name == set_name]
            for metric in self.metrics:
                sign = -1 if metric in _LOWER_IS_BETTER else 1
                means = {i: sign * self.rows[i].mean(metric) for i in indices}
                ranked = sorted((v for v in set(means.values()) if not math.isnan(v)), reverse=True)[:2]
                for i, value in means.items():
                    if value in ranked and len(indices) > 1:
                        marks[i][metric] = '*+'[ranked.index(value)]
        return marks


def _over_defined(reduce: object, values: Sequence[float]) -> float:
    defined = np.asarray(values, dtype=float)
    defined = defined[~np.isnan(defined)]
    return float(reduce(defined)) if defined.size else math.nan


def _number(value: float) -> str:
    if not math.isfinite(value):
        return str(value)
    return f'{value:.3f}' if abs(value) < 100 else f'{value:.1f}'


def _plain(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _csv(header: Sequence[str], rows: Sequence[Sequence]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator='\n')
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()
