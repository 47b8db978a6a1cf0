"""Results tables: one row per set and method, one protocol."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fusionkd.fileio import atomic_path

from .protocols import METRICS

SCORE_COLUMNS = ('score', 'target')
_LOWER_IS_BETTER = {name for name, info in METRICS.items() if not info.higher_is_better}
_RULE = '\N{DAGGER}'


@dataclass
class Row:
    """Per-image values of one method on one set.

    Attributes:
        set_name: the set.
        method: the method.
        names: images, without suffix.
        values: by metric, one value per image.
        trivial: a rule without a network, listed for comparison: it is flagged and takes part in no rank.
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

    def lowest(self, metric: str, count: int) -> list[int]:
        """Indices of the ``count`` images with the lowest values, lowest first; undefined ones are left out."""
        values = self.values[metric]
        return sorted((i for i, v in enumerate(values) if not math.isnan(v)), key=values.__getitem__)[:count]


class LeftOut(NamedTuple):
    """An image that no row counts, and why."""

    set_name: str
    name: str
    reason: str


@dataclass
class ResultTable:
    """Rows of one protocol.

    Best and second best of every metric, and the mean rank over all metrics, are found among the methods of a set, by the
    metric's direction (``target`` is best at 1). Trivial rules are flagged and have neither; where a rule beats all
    methods, a note says so.

    Attributes:
        protocol: its key, name and version.
        rows: in the order they are printed.
        left_out: images that no row of their set counts.
    """

    protocol: str
    rows: list[Row] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)

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

    def ranks(self) -> list[float]:
        """Mean rank of every row over the metrics that are defined for it, 1 is best.

        Equal means share the average of their places. ``score`` and ``target``, made of the others, do not count. nan for
        a rule and for a method that is alone on its set.
        """
        places: list[list[float]] = [[] for _ in self.rows]
        for metric in self.metrics:
            if metric in SCORE_COLUMNS:
                continue
            for means in self._oriented(metric):
                for i, value in means.items():
                    better = sum(v > value for v in means.values())
                    places[i].append(better + (sum(v == value for v in means.values()) + 1) / 2)
        return [_over_defined(np.mean, p) for p in places]

    def marks(self) -> list[dict[str, str]]:
        """For every row and metric ``'*'`` (best), ``'+'`` (second best) or nothing, among the methods of the set."""
        marks = [dict.fromkeys(self.metrics, '') for _ in self.rows]
        for metric in self.metrics:
            for means in self._oriented(metric):
                best = sorted(set(means.values()), reverse=True)[:2]
                for i, value in means.items():
                    marks[i][metric] = '*+'[best.index(value)] if value in best else ''
        return marks

    def beaten_by_rules(self) -> dict[str, dict[str, str]]:
        """By set: the metrics in which a rule is better than every method, each with the best rule."""
        beaten: dict[str, dict[str, str]] = {}
        for set_name in self._sets():
            rows = [row for row in self.rows if row.set_name == set_name]
            for metric in self.metrics:
                values = [(goodness(metric, row.mean(metric)), row) for row in rows]
                methods = [v for v, row in values if not row.trivial and not math.isnan(v)]
                rules = [(v, row.method) for v, row in values if row.trivial and not math.isnan(v)]
                top = max(rules, key=lambda rule: rule[0], default=None)
                if methods and top and top[0] > max(methods):
                    beaten.setdefault(set_name, {})[metric] = top[1]
        return beaten

    def to_text(self) -> str:
        """Aligned columns for a console; the best value of a set is marked ``*``, the second best ``+``."""
        lines = [['set', 'method', 'n', *self.metrics, 'rank']]
        for row, marks, rank in self._marked_rows():
            cells = [f'{_number(row.mean(m))}{marks[m] or " "}' for m in self.metrics]
            lines.append([row.set_name, _flagged(row), str(len(row.names)), *cells, _rank(rank)])
        widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
        text = []
        for line in lines:
            head = [c.ljust(w) for c, w in zip(line[:2], widths[:2], strict=True)]
            text.append('  '.join(head + [c.rjust(w) for c, w in zip(line[2:], widths[2:], strict=True)]).rstrip())
        lower = ', '.join(m for m in self.metrics if m in _LOWER_IS_BETTER)
        aims = [f'lower is better: {lower}'] * bool(lower) + ['target is best at 1'] * ('target' in self.metrics)
        note = f'protocol {self.protocol}; * best, + second best of a set' + (f' ({"; ".join(aims)})' if aims else '')
        return '\n'.join([*text, *self._notes(), note])

    def to_markdown(self) -> str:
        """Two Markdown tables, means (best in bold, second best in italics) and standard deviations, then notes."""
        wrap = {'*': '**{}**', '+': '*{}*', '': '{}'}
        arrows = ' | '.join(map(title, self.metrics))
        means = [f'| set | method | images | {arrows} | mean rank |', '|---|---|' + '---:|' * (2 + len(self.metrics))]
        stds = [f'| set | method | {" | ".join(self.metrics)} |', '|---|---|' + '---:|' * len(self.metrics)]
        for row, marks, rank in self._marked_rows():
            name = f'| {_pipe(row.set_name)} | {_pipe(_flagged(row))} |'
            cells = [wrap[marks[m]].format(_number(row.mean(m))) for m in self.metrics]
            means.append(f'{name} {len(row.names)} | {" | ".join(cells)} | {_rank(rank)} |')
            stds.append(f'{name} {" | ".join(_number(row.std(m)) for m in self.metrics)} |')
        notes = [f'Protocol `{self.protocol}`. Best in bold, second best in italics, of each set.', *self._notes()]
        parts = [*means, '', 'Standard deviation over the images:', '', *stds]
        return '\n'.join(parts + [line for note in notes for line in ('', note)])

    def to_latex(self) -> str:
        """Two LaTeX tables (packages booktabs and graphicx), means and standard deviations.

        The best mean is bold, the second best underlined.
        """
        wrap = {'*': r'\textbf{{{}}}', '+': r'\underline{{{}}}', '': '{}'}
        means, stds = [], []
        before = None
        for row, marks, rank in self._marked_rows():
            first = row.set_name != before
            if before is not None and first:
                means.append(r'\midrule')
                stds.append(r'\midrule')
            before = row.set_name
            name = [_tex(row.set_name) if first else '', _tex(_flagged(row))]
            cells = [wrap[marks[m]].format(_number(row.mean(m))) for m in self.metrics]
            means.append(' & '.join([*name, *cells, _rank(rank).replace('-', '--')]) + r' \\')
            stds.append(' & '.join([*name, *(_number(row.std(m)) for m in self.metrics)]) + r' \\')
        titles = [_tex(title(m)) for m in self.metrics]
        counts = ', '.join(f'{name}: {n}' for name, n in self._sets().items())
        about = f'Protocol {self.protocol}; images: {counts}.'
        notes = [about, 'Best in bold, second best underlined, of each set.', *self._notes()]
        caption = 'Standard deviation over the images. ' + about
        return '\n'.join(
            [
                f'% protocol {self.protocol}; needs booktabs and graphicx',
                *_tex_table([*titles, r'rank $\downarrow$'], means, _tex(' '.join(notes))),
                '',
                *_tex_table([_tex(m) for m in self.metrics], stds, _tex(caption)),
            ]
        )

    def to_csv(self) -> str:
        """``set, method, images, <metric>, <metric>_std, ..., mean_rank, trivial, protocol``, one line a row."""
        columns = (c for m in self.metrics for c in (m, f'{m}_std'))
        header = ['set', 'method', 'images', *columns, 'mean_rank', 'trivial', 'protocol']
        rows = []
        for row, _, rank in self._marked_rows():
            cells = [value for m in self.metrics for value in (row.mean(m), row.std(m))]
            rows.append([row.set_name, row.method, len(row.names), *cells, rank, int(row.trivial), self.protocol])
        return _csv(header, rows)

    def to_per_image_csv(self) -> str:
        """``method, name, <metric>, ..., set``, ``score`` and ``target`` if computed, ``protocol``; one line an image."""
        metrics = [m for m in self.metrics if m not in SCORE_COLUMNS]
        scores = [m for m in self.metrics if m in SCORE_COLUMNS]
        rows = []
        for row in self.rows:
            for i, name in enumerate(row.names):
                values, ends = ([row.values[m][i] for m in columns] for columns in (metrics, scores))
                rows.append([row.method, name, *values, row.set_name, *ends, self.protocol])
        return _csv(['method', 'name', *metrics, 'set', *scores, 'protocol'], rows)

    def to_worst_csv(self, count: int) -> str:
        """``method, name, place, <metric>, ..., set, protocol``: every method's images with the lowest balanced score."""
        rows = [
            [row.method, row.names[i], place, *(row.values[m][i] for m in self.metrics), row.set_name, self.protocol]
            for row in self.rows
            if not row.trivial
            for place, i in enumerate(row.lowest('score', count), 1)
        ]
        return _csv(['method', 'name', 'place', *self.metrics, 'set', 'protocol'], rows)

    def to_left_out_csv(self) -> str:
        """``set, name, reason``, one line for every image that was left out."""
        return _csv(('set', 'name', 'reason'), self.left_out)

    def to_json(self) -> str:
        """Means, deviations, mean rank and number of images of every row; undefined values are ``null``."""
        rows = [
            dict(
                set=row.set_name,
                method=row.method,
                trivial=row.trivial,
                images=len(row.names),
                mean_rank=_plain(rank),
                mean={m: _plain(row.mean(m)) for m in self.metrics},
                std={m: _plain(row.std(m)) for m in self.metrics},
            )
            for row, _, rank in self._marked_rows()
        ]
        better = {m: 'lower' if m in _LOWER_IS_BETTER else 'higher' for m in self.metrics}
        better |= {'target': 'near 1'} if 'target' in better else {}
        left_out = [dict(set=x.set_name, name=x.name, reason=x.reason) for x in self.left_out]
        return json.dumps(dict(protocol=self.protocol, better=better, rows=rows, left_out=left_out), indent=1)

    def save(self, folder: str | Path, stem: str = 'results', per_image: str | None = None) -> None:
        """Write ``<stem>.txt``, ``.md``, ``.tex``, ``.csv``, ``.json`` and the values of every image, atomically.

        Args:
            folder: made if missing.
            stem: of the file names.
            per_image: name of the file with the values of every image. Default ``<stem>_per_image.csv``.
        """
        files = {
            f'{stem}.txt': self.to_text() + '\n',
            f'{stem}.md': self.to_markdown() + '\n',
            f'{stem}.tex': self.to_latex() + '\n',
            f'{stem}.csv': self.to_csv(),
            f'{stem}.json': self.to_json() + '\n',
            per_image or f'{stem}_per_image.csv': self.to_per_image_csv(),
        }
        for name, text in files.items():
            with atomic_path(Path(folder) / name) as temporary:
                temporary.write_text(text, encoding='utf-8')

    def _sets(self) -> dict[str, int]:
        """Number of images by set, in the order of the rows."""
        return {row.set_name: len(row.names) for row in self.rows}

    def _oriented(self, metric: str) -> list[dict[int, float]]:
        """For every set with at least two methods: their defined means by row, larger is better."""
        groups = []
        for set_name in self._sets():
            rows = [i for i, row in enumerate(self.rows) if row.set_name == set_name and not row.trivial]
            means = {i: goodness(metric, self.rows[i].mean(metric)) for i in rows}
            if len(rows) > 1:
                groups.append({i: v for i, v in means.items() if not math.isnan(v)})
        return groups

    def _marked_rows(self) -> list[tuple[Row, dict[str, str], float]]:
        return list(zip(self.rows, self.marks(), self.ranks(), strict=True))

    def _notes(self) -> list[str]:
        notes = []
        if any(row.trivial for row in self.rows):
            notes.append(f'{_RULE} a rule without a network, neither marked nor ranked.')
        for set_name, beaten in self.beaten_by_rules().items():
            rules = '; '.join(
                f'{rule} in {", ".join(m for m in beaten if beaten[m] == rule)}'
                for rule in dict.fromkeys(beaten.values())
            )
            notes.append(f'Set {set_name}, better than every method: {rules}.')
        if self.left_out:
            notes.append(f'Left out of all rows of their set: {len(self.left_out)} of the images found.')
        return notes


def _over_defined(reduce: Callable, values: Sequence[float]) -> float:
    defined = np.asarray(values, dtype=float)
    defined = defined[~np.isnan(defined)]
    return float(reduce(defined)) if defined.size else math.nan


def goodness(metric: str, value: float) -> float:
    """The value turned so that larger is better: negated where lower is better, and for ``target`` how near it is to 1."""
    if metric == 'target':
        return 1 / value if value > 1 else value
    return -value if metric in _LOWER_IS_BETTER else value


def title(metric: str) -> str:
    """The metric with an arrow up where higher is better, down where lower is, and to 1 for ``target``."""
    return f'{metric} {_direction(metric)}'


def _direction(metric: str) -> str:
    if metric == 'target':
        return '\N{RIGHTWARDS ARROW} 1'
    return '\N{DOWNWARDS ARROW}' if metric in _LOWER_IS_BETTER else '\N{UPWARDS ARROW}'


def _flagged(row: Row) -> str:
    return f'{row.method} {_RULE}' if row.trivial else row.method


def _rank(value: float) -> str:
    return '-' if math.isnan(value) else f'{value:.2f}'


def _pipe(text: str) -> str:
    return text.replace('|', r'\|')


_TEX = {c: f'\\{c}' for c in '&%$#_{}'} | {
    '\\': r'\textbackslash{}',
    '~': r'\textasciitilde{}',
    '^': r'\textasciicircum{}',
    '<': r'\textless{}',
    '>': r'\textgreater{}',
    '|': r'\textbar{}',
    _RULE: r'\textsuperscript{\dag}',
    '\N{UPWARDS ARROW}': r'$\uparrow$',
    '\N{DOWNWARDS ARROW}': r'$\downarrow$',
    '\N{RIGHTWARDS ARROW}': r'$\to$',
}


def _tex(text: str) -> str:
    return ''.join(_TEX.get(c, c) for c in text)


def _tex_table(titles: Sequence[str], lines: Sequence[str], caption: str) -> list[str]:
    """Set, method and one column a title, as wide as the text."""
    return [
        r'\begin{table*}[t]',
        r'\centering',
        rf'\caption{{{caption}}}',
        r'\resizebox{\linewidth}{!}{%',
        rf'\begin{{tabular}}{{ll{"r" * len(titles)}}}',
        r'\toprule',
        ' & '.join(['set', 'method', *titles]) + r' \\',
        r'\midrule',
        *lines,
        r'\bottomrule',
        r'\end{tabular}}',
        r'\end{table*}',
    ]


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
