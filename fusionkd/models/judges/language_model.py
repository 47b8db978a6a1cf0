"""Language models as judges: one in this process, or any that answers to OpenAI's protocol."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import threading
import time
import urllib.error
import urllib.request
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException
from pathlib import Path

import cv2
import torch
from mmengine.logging import print_log
from torch import Tensor

from fusionkd.fileio import atomic_path
from fusionkd.models.policies.base import Queries
from fusionkd.models.vlms.base import need
from fusionkd.registry import MODELS

from .base import Judge

PROMPT = (
    'Question: {question}\nReference answer: {answer}\nResponse: {response}\n'
    'Does the response give the reference answer? Reply with 1 if it does and with 0 if it does not, and nothing else.'
)
# What may be worth another try: too many requests, and errors of the server.
RETRIED = (408, 409, 425, 429, 500, 502, 503, 504)


class LanguageModelJudge(Judge):
    """Asks a language model whether each output gives the true answer (paper D's judge; the prompt is not from the paper).

    Outputs that are equal are asked about once.

    Args:
        prompt: with ``{question}``, ``{answer}``, ``{response}``, and perhaps ``{reference}``, a teacher's response. The
            reply must begin with 1, 0, yes or no. Default asks for 1 or 0.

    Raises:
        ValueError: the prompt does not name ``{question}`` and ``{response}``.
    """

    def __init__(self, prompt: str = PROMPT):
        missing = [name for name in ('{question}', '{response}') if name not in prompt]
        if missing:
            raise ValueError(f'the prompt of a judge must have {" and ".join(missing)} in it, got {prompt!r}')
        self.prompt = prompt
        self._unclear = False

    def __call__(self, queries: Queries, outputs: list[list[str]], references: list[list[str]] | None) -> Tensor:
        keys = [(i, text) for i, row in enumerate(outputs) for text in row]
        unique = list(dict.fromkeys(keys))
        prompts = [self._fill(queries, references, i, text) for i, text in unique]
        replies = self.ask(prompts, [queries['images'][i] for i, _ in unique])
        verdicts = {key: self._verdict(reply) for key, reply in zip(unique, replies, strict=True)}
        return torch.tensor([[verdicts[i, text] for text in row] for i, row in enumerate(outputs)])

    @abstractmethod
    def ask(self, prompts: Sequence[str], images: Sequence[Tensor]) -> list[str]:
        """Replies to prompts; ``images`` are those the questions are about, ``(3, H, W)``, uint8."""

    def _fill(self, queries: Queries, references: list[list[str]] | None, i: int, response: str) -> str:
        values = dict(question=queries['questions'][i], answer=queries['answers'][i], response=response)
        values['reference'] = references[i][0] if references else ''
        return re.sub(r'\{(question|answer|response|reference)\}', lambda found: values[found[1]], self.prompt)

    def _verdict(self, reply: str) -> float:
        found = re.match(r'\W*(1|0|yes|no)\b', reply.lower())
        if found is None and not self._unclear:
            self._unclear = True
            print_log(
                f'the judge replied {reply[:80]!r}, which is neither 1, 0, yes nor no, and counts as 0; change the prompt if '
                'this is the rule',
                'current',
                level=30,
            )
        return float(found is not None and found[1] in {'1', 'yes'})


@MODELS.register_module()
class ModelJudge(LanguageModelJudge):
    """A text model of ``transformers`` in this process. Needs the extra ``vlm``. It does not see the image.

    Args:
        name: of the model on the hub, or a folder; with a chat template where it has one.
        device: Default ``'cpu'``.
        dtype: of the weights. Default ``'auto'``.
        batch_size: prompts at once. Default 16.
        prompt: see :class:`LanguageModelJudge`.

    Raises:
        ImportError: ``transformers`` is not installed.
        ValueError: it cannot be loaded.
    """

    def __init__(self, name: str, device: str = 'cpu', dtype: str = 'auto', batch_size: int = 16, prompt: str = PROMPT):
        super().__init__(prompt)
        transformers = need('transformers')
        try:
            self.tokenizer = transformers.AutoTokenizer.from_pretrained(name, padding_side='left')
            self.model = transformers.AutoModelForCausalLM.from_pretrained(name, dtype=dtype).to(device).eval()
        except (OSError, ValueError, KeyError) as error:
            raise ValueError(
                f'the judge {name!r} cannot be loaded ({type(error).__name__}: {error}): give a folder with its files, or a '
                'name on the hub with a connection to it'
            ) from error
        if self.tokenizer.pad_token_id is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token
        self.batch_size = batch_size

    @torch.no_grad()
    def ask(self, prompts: Sequence[str], images: Sequence[Tensor]) -> list[str]:
        """Greedy replies of at most 8 tokens."""
        replies = []
        for begin in range(0, len(prompts), self.batch_size):
            texts = [self._chat(prompt) for prompt in prompts[begin : begin + self.batch_size]]
            inputs = self.tokenizer(texts, return_tensors='pt', padding=True).to(self.model.device)
            ids = self.model.generate(
                **inputs, do_sample=False, max_new_tokens=8, pad_token_id=self.tokenizer.pad_token_id
            )
            width = inputs['input_ids'].shape[1]
            replies += self.tokenizer.batch_decode(ids[:, width:], skip_special_tokens=True)
        return replies

    def _chat(self, prompt: str) -> str:
        if not self.tokenizer.chat_template:
            return prompt
        chat = [dict(role='user', content=prompt)]
        return self.tokenizer.apply_chat_template(chat, add_generation_prompt=True, tokenize=False)


@MODELS.register_module()
class EndpointJudge(LanguageModelJudge):
    """Any server that speaks OpenAI's chat protocol: vLLM, llama.cpp, Ollama, or a commercial one.

    Replies are kept on disk as they come, under a key of everything that was sent: what was paid for is never asked again,
    and a run that was stopped by a server that is down goes on where it was.

    Args:
        url: up to and with the version, such as ``'http://localhost:8000/v1'``.
        model: its name there.
        key_variable: environment variable with the key; without it nothing is sent. Default ``'OPENAI_API_KEY'``.
        with_image: send the image, as PNG. Default False.
        timeout: seconds to wait for a reply. Default 60.
        retries: further tries after a failure that may pass. Default 5.
        backoff: seconds before the first further try, doubled before each next one; a ``Retry-After`` of the server counts
            instead if it is longer. Default 1.
        workers: requests at once. Default 4.
        folder: of the replies; ``None`` keeps nothing. Default ``'work_dirs/judge_cache'``.
        prompt: see :class:`LanguageModelJudge`.

    Raises:
        ConnectionError: no reply after all tries, or a refusal that another try would not change; the message says which.
        ValueError: a number outside its range.
    """

    def __init__(
        self,
        url: str,
        model: str,
        key_variable: str = 'OPENAI_API_KEY',
        with_image: bool = False,
        timeout: float = 60.0,
        retries: int = 5,
        backoff: float = 1.0,
        workers: int = 4,
        folder: str | Path | None = 'work_dirs/judge_cache',
        prompt: str = PROMPT,
    ):
        super().__init__(prompt)
        if not url.startswith(('http://', 'https://')):
            raise ValueError(f'url={url!r}; expected one that begins with http:// or https://')
        if timeout <= 0 or retries < 0 or backoff < 0 or workers < 1:
            raise ValueError(
                f'timeout={timeout}, retries={retries}, backoff={backoff}, workers={workers}; expected timeout > 0, retries '
                'and backoff >= 0 and workers >= 1'
            )
        self.url = url.rstrip('/') + '/chat/completions'
        self.model = model
        self.key_variable = key_variable
        self.with_image = with_image
        self.timeout, self.retries, self.backoff, self.workers = timeout, retries, backoff, workers
        self.folder = None if folder is None else Path(folder)

    def ask(self, prompts: Sequence[str], images: Sequence[Tensor]) -> list[str]:
        """Replies from the disk or the server, which is asked several things at once."""
        failed = threading.Event()

        def reply(prompt: str, image: Tensor) -> str:
            if failed.is_set():  # nothing new is begun; what is under way is still kept
                raise ConnectionError('another request failed')
            try:
                return self._reply(prompt, image)
            except ConnectionError:
                failed.set()
                raise

        with ThreadPoolExecutor(self.workers) as pool:
            # In their order, so that the first failure to be met is the one that stopped the others.
            return list(pool.map(reply, prompts, images))

    def _reply(self, prompt: str, image: Tensor) -> str:
        content: str | list = prompt
        if self.with_image:
            content = [dict(type='text', text=prompt), dict(type='image_url', image_url=dict(url=_png(image)))]
        body = dict(
            model=self.model, messages=[dict(role='user', content=content)], temperature=0, max_tokens=8, stream=False
        )
        data = json.dumps(body, sort_keys=True).encode()
        path = None
        if self.folder is not None:
            path = self.folder / f'{hashlib.sha256(self.url.encode() + data).hexdigest()[:32]}.json'
            kept = _read(path)
            if kept is not None:
                return kept
        reply = self._send(data)
        if path is not None:
            with atomic_path(path) as temporary:
                temporary.write_text(json.dumps(dict(model=self.model, prompt=prompt, reply=reply)), encoding='utf-8')
        return reply

    def _send(self, data: bytes) -> str:
        headers = {'Content-Type': 'application/json'}
        if os.environ.get(self.key_variable):
            headers['Authorization'] = f'Bearer {os.environ[self.key_variable]}'
        request = urllib.request.Request(self.url, data, headers)
        for attempt in range(self.retries + 1):
            wait = self.backoff * 2**attempt
            try:
                with urllib.request.urlopen(request, timeout=self.timeout) as response:
                    return _content(json.loads(response.read()))
            except urllib.error.HTTPError as error:
                reason = f'HTTP {error.code} {error.reason}'
                if error.code not in RETRIED:
                    raise ConnectionError(self._message(f'refused: {reason}', attempt + 1)) from error
                asked = error.headers.get('Retry-After', '')
                wait = max(wait, float(asked)) if asked.isdigit() else wait
            except (OSError, HTTPException) as error:  # no connection, cut off, or too late
                reason = f'{type(error).__name__}: {getattr(error, "reason", error)}'
            except ValueError as error:
                reason = f'its reply is not of the chat protocol ({error})'
            if attempt < self.retries:
                time.sleep(wait)
        raise ConnectionError(self._message(f'does not answer: {reason}', self.retries + 1))

    def _message(self, reason: str, tries: int) -> str:
        kept = f'What it said so far is kept in {self.folder}. ' if self.folder is not None else ''
        return (
            f'the judge at {self.url} (model {self.model!r}) {reason} ({tries} tries). {kept}Start it, check url, model and '
            f'{self.key_variable}, and resume the run'
        )


def _content(reply: Mapping) -> str:
    """Text of a reply.

    Raises:
        ValueError: it has none.
    """
    try:
        content = reply['choices'][0]['message']['content']
    except (KeyError, IndexError, TypeError):
        raise ValueError(f'no choices[0].message.content in {str(reply)[:120]}') from None
    if not isinstance(content, str):
        raise ValueError(f'the content is {content!r}, expected a text')
    return content


def _png(image: Tensor) -> str:
    pixels = image.permute(1, 2, 0).cpu().numpy()
    _, data = cv2.imencode('.png', cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))
    return 'data:image/png;base64,' + base64.b64encode(data.tobytes()).decode()


def _read(path: Path) -> str | None:
    try:
        reply = json.loads(path.read_text(encoding='utf-8'))['reply']
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
    return reply if isinstance(reply, str) else None
