"""Answers of vision-language models, token by token, and teachers that answer in texts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.structures import BaseDataElement
from torch import Tensor, nn

from fusionkd.engine.checkpoint import fingerprint
from fusionkd.engine.records import digest
from fusionkd.fileio import atomic_path
from fusionkd.models.vlms.base import BaseVLM
from fusionkd.registry import MODELS
from fusionkd.rl.functional import categorical_log_prob

from .base import Answers, Policy, Queries, Responder


@MODELS.register_module()
class VisionLanguagePolicy(Policy):
    """A vision-language model that writes its answer token by token (paper D).

    Answers are drawn from a filtered distribution (repetition penalty, temperature, top-k, top-p, in the order of
    ``transformers``), but their probability, new and old, is that of the full softmax at the sampling temperature. The ratio
    of paper D's objective is therefore not exactly that to the distribution the answers came from, as in the reference
    implementations of GRPO: a token outside of the filters has a probability all the same, which answers of teachers need.

    Args:
        temperature: positive. Default 1.0 (paper D).
        top_p: smallest set of tokens with at least this probability, in (0, 1]. Default 0.95 (paper D).
        top_k: number of tokens, 0 for all. Default 50 (paper D).
        repetition_penalty: at least 1; tokens that stand in question or answer lose in their logit. Default 1.05 (paper D).
        max_new_tokens: longest answer; longer ones of teachers lose their end. Default 256 (not from the paper).

    Raises:
        ValueError: a number outside its range.
    """

    def __init__(
        self,
        temperature: float = 1.0,
        top_p: float = 0.95,
        top_k: int = 50,
        repetition_penalty: float = 1.05,
        max_new_tokens: int = 256,
    ):
        checks = dict(
            temperature=temperature > 0,
            top_p=0 < top_p <= 1,
            top_k=top_k >= 0,
            repetition_penalty=repetition_penalty >= 1,
            max_new_tokens=max_new_tokens >= 1,
        )
        given = locals()
        for name, fits in checks.items():
            if not fits:
                raise ValueError(
                    f'{name}={given[name]}; expected temperature > 0, top_p in (0, 1], top_k >= 0, '
                    'repetition_penalty >= 1 and max_new_tokens >= 1'
                )
        self.temperature = temperature
        self.max_new_tokens = max_new_tokens
        self.sampling = dict(temperature=temperature, top_p=top_p, top_k=top_k, repetition_penalty=repetition_penalty)

    def queries(self, inputs: Mapping[str, Any], data_samples: Sequence | None = None) -> Queries:
        """``images`` (B of ``(3, H, W)``, uint8), ``questions`` and ``answers`` (B texts; ``''`` where unknown).

        Raises:
            ValueError: no data samples, or one without a question.
        """
        if data_samples is None or any('question' not in sample for sample in data_samples):
            raise ValueError('a sample has no question: use a set such as VisualQuestions or SyntheticQuestions')
        return dict(
            images=list(inputs['image']),
            questions=[sample.question for sample in data_samples],
            answers=[sample.get('answer', '') for sample in data_samples],
        )

    def sample(self, network: BaseVLM, queries: Queries, num: int) -> Answers:
        """Draw answers, see :class:`Policy`."""
        ids, mask = network.generate(*_asked(queries), num, self.max_new_tokens, self.sampling)
        return _answers(ids, mask, num)

    def log_prob(self, network: BaseVLM, queries: Queries, answers: Answers) -> tuple[Tensor, Tensor]:
        """Of every token up to and with the one that ends the answer, see :class:`Policy`."""
        ids, mask = answers['ids'], answers['mask']
        _, num, width = ids.shape
        length = int(mask.flatten(0, 1).any(0).sum())
        tokens, valid = ids[..., :length].flatten(0, 1), mask[..., :length].flatten(0, 1)
        logits = network(network.encode(*_asked(queries), num), tokens, valid) / self.temperature
        values = categorical_log_prob(logits, tokens).masked_fill(~valid, 0.0)
        values = nn.functional.pad(values, (0, width - length))
        return values.unflatten(0, (-1, num)), mask.to(values.dtype)

    def project(self, network: BaseVLM, queries: Queries, responses: list[list[str]]) -> Answers:
        """Tokens of texts, see :class:`Policy`. Image tokens in a text are left out."""
        num = len(responses[0])
        return _answers(*network.pack([text for row in responses for text in row], self.max_new_tokens), num)

    def render(self, network: BaseVLM, queries: Queries, answers: Answers) -> list[list[str]]:
        """Texts of tokens, see :class:`Policy`."""
        _, num, _ = answers['ids'].shape
        ids, mask = (answers[name].flatten(0, 1).cpu() for name in ('ids', 'mask'))
        texts = network.decode([row[valid].tolist() for row, valid in zip(ids, mask, strict=True)])
        return [texts[i : i + num] for i in range(0, len(texts), num)]

    def predict(
        self, network: BaseVLM, inputs: Mapping[str, Any], data_samples: Sequence | None
    ) -> list[BaseDataElement]:
        """Greedy ``prediction`` of each sample."""
        queries = self.queries(inputs, data_samples)
        answers = _answers(*network.generate(*_asked(queries), 1, self.max_new_tokens), 1)
        for sample, (text,) in zip(data_samples, self.render(network, queries, answers), strict=True):
            sample.prediction = text
        return list(data_samples)

    def write_sheet(
        self, path: Path, queries: Queries, outputs: list[list[str]], titles: Sequence[Sequence[str]]
    ) -> Path:
        """A Markdown file with a table for each question, see :class:`Policy`."""
        lines = []
        for question, answer, texts, notes in zip(
            queries['questions'], queries['answers'], outputs, titles, strict=True
        ):
            lines += [f'**{question}** ({answer or "answer unknown"})', '', '| | response |', '|---|---|']
            lines += [f'| {_cell(note)} | {_cell(text)} |' for note, text in zip(notes, texts, strict=True)] + ['']
        path = path.with_name(f'{path.name}.md')
        with atomic_path(path) as temporary:
            temporary.write_text('\n'.join(lines), encoding='utf-8')
        return path


@MODELS.register_module()
class VisionLanguageTeacher(Responder):
    """A vision-language model that answers in texts, which are kept on disk (paper D: cached teacher responses).

    A file belongs to the network's weights and config, the sampling, and the question with its image; if any of them changes
    the teacher answers again. Of what is kept the first ``num`` responses are given, so that a run that asks for 16 (for the
    discriminator's pretraining) and then for 4 answers once. Random generators outside are left as they were.

    Args:
        network: config of a :class:`BaseVLM`.
        sampling: options of :class:`VisionLanguagePolicy`. Default the paper's.
        folder: of the files; ``None`` keeps nothing. Default ``'work_dirs/response_cache'``.
        name: in logs and of the folder. Default ``'visionlanguageteacher'``.
        init_cfg: mmengine's.
    """

    def __init__(
        self,
        network: dict,
        sampling: Mapping | None = None,
        folder: str | Path | None = 'work_dirs/response_cache',
        name: str | None = None,
        init_cfg: dict | None = None,
    ):
        super().__init__(name, init_cfg)
        self.network = MODELS.build(network)
        self.network.init_weights()
        self.network.eval()
        self.policy = VisionLanguagePolicy(**(sampling or {}))
        self.folder = None if folder is None else Path(folder)
        self.settings = dict(
            network=dict(network), sampling=self.policy.sampling | dict(longest=self.policy.max_new_tokens)
        )
        self._key: str | None = None

    def respond(self, queries: Queries, num: int, data_samples: Sequence | None = None) -> list[list[str]]:
        """Texts, see :class:`Responder`."""
        asked = list(zip(*_asked(queries), strict=True))
        paths = [self._path(image, question) if self.folder else None for image, question in asked]
        known = [_read(path) for path in paths]
        rows = [i for i, texts in enumerate(known) if len(texts) < num]
        if rows:
            for i, texts in zip(rows, self._answer([asked[i] for i in rows], num), strict=True):
                known[i] = known[i] + texts[: num - len(known[i])]
                if paths[i] is not None:
                    with atomic_path(paths[i]) as temporary:
                        temporary.write_text(
                            json.dumps(dict(question=asked[i][1], responses=known[i])), encoding='utf-8'
                        )
        return [texts[:num] for texts in known]

    @torch.no_grad()
    def _answer(self, asked: Sequence[tuple[Tensor, str]], num: int) -> list[list[str]]:
        queries = dict(zip(('images', 'questions'), map(list, zip(*asked, strict=True)), strict=True))
        seed = int(_hash(*asked[0], str(num))[:8], 16)
        devices = [self.network.device] if self.network.device.type == 'cuda' else []
        with torch.random.fork_rng(devices):
            torch.manual_seed(seed)
            answers = self.policy.sample(self.network, queries, num)
        return self.policy.render(self.network, queries, answers)

    def _path(self, image: Tensor, question: str) -> Path:
        self._key = self._key or fingerprint(self.network, digest(self.settings))
        return self.folder / f'{self.name}-{self._key}' / f'{_hash(image, question)}.json'


@MODELS.register_module()
class RecordedTeacher(Responder):
    """A teacher that is not here: its responses were written down before and come with the data, as ``response``.

    For models behind a door, or people. There is one response to a question, and it is given as often as it is asked for.

    Args:
        name: in logs. Default ``'recordedteacher'``.
        init_cfg: mmengine's.
    """

    def respond(self, queries: Queries, num: int, data_samples: Sequence | None = None) -> list[list[str]]:
        """Texts, see :class:`Responder`.

        Raises:
            ValueError: a sample has no response.
        """
        if data_samples is None or any(not sample.get('response') for sample in data_samples):
            raise ValueError(
                f'{self.name} gives what was written down, but a sample has no response: add it to the list'
            )
        return [num * [sample.response] for sample in data_samples]


def _cell(text: str) -> str:
    return ' '.join(text.split()).replace('|', '\\|')


def _asked(queries: Queries) -> tuple[list[Tensor], list[str]]:
    return queries['images'], queries['questions']


def _answers(ids: Tensor, mask: Tensor, num: int) -> Answers:
    return Answers(dict(ids=ids.unflatten(0, (-1, num)), mask=mask.unflatten(0, (-1, num))))


def _hash(image: Tensor, *texts: str) -> str:
    value = hashlib.sha256(repr((tuple(image.shape), *texts)).encode())
    value.update(image.cpu().contiguous().numpy().tobytes())
    return value.hexdigest()[:24]


def _read(path: Path | None) -> list[str]:
    """What is kept, nothing where there is no file or a broken one."""
    try:
        return list(json.loads(path.read_text(encoding='utf-8'))['responses']) if path else []
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return []
