"""Judges that ask a language model; the endpoint is a server in this process."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch

from fusionkd.models.judges import EndpointJudge, LanguageModelJudge

IMAGES = [torch.zeros(3, 4, 4, dtype=torch.uint8), torch.full((3, 4, 4), 9, dtype=torch.uint8)]
QUERIES = dict(images=IMAGES, questions=['how many', 'what colour'], answers=['2', 'red'])
OUTPUTS = [['two', 'five', 'two'], ['red', 'blue', 'green']]
RIGHT = [[1, 0, 1], [1, 0, 0]]


class Server:
    """Says 1 to right responses after doing what ``script`` says first: codes, or texts sent as they are."""

    def __init__(self):
        self.requests, self.script, self.headers = [], [], {}
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers['Content-Length'])))
                outer.requests.append(body)
                outer.headers = dict(self.headers)
                step = outer.script.pop(0) if outer.script else None
                if isinstance(step, int):
                    self.send_error(step)
                    return
                prompt = body['messages'][0]['content']
                prompt = prompt if isinstance(prompt, str) else prompt[0]['text']
                verdict = '1' if 'Response: two' in prompt or 'Response: red' in prompt else '0'
                reply = step or json.dumps(dict(choices=[dict(message=dict(content=verdict))]))
                self.send_response(200)
                self.end_headers()
                self.wfile.write(reply.encode())

            def log_message(self, *args):
                pass

        self.httpd = ThreadingHTTPServer(('127.0.0.1', 0), Handler)
        self.url = f'http://127.0.0.1:{self.httpd.server_port}/v1'
        self.thread = threading.Thread(target=self.httpd.serve_forever, kwargs=dict(poll_interval=0.01))
        self.thread.start()

    def stop(self):
        self.httpd.shutdown()
        self.httpd.server_close()
        self.thread.join()


@pytest.fixture
def server():
    server = Server()
    yield server
    server.stop()


def judge(server, tmp_path, **options):
    options = dict(retries=2, backoff=0, workers=1, folder=tmp_path / 'cache') | options
    return EndpointJudge(server.url, 'm', **options)


def test_verdicts_are_kept(server, tmp_path):
    assert judge(server, tmp_path)(QUERIES, OUTPUTS, None).tolist() == RIGHT
    assert len(server.requests) == 5  # equal responses to a question are asked about once
    body = server.requests[0]
    assert body['model'] == 'm' and body['temperature'] == 0 and 'Question: how many' in body['messages'][0]['content']
    assert 'Authorization' not in server.headers
    assert judge(server, tmp_path)(QUERIES, OUTPUTS, None).tolist() == RIGHT and len(server.requests) == 5
    judge(server, tmp_path, prompt='Good? {question} {response}')(QUERIES, OUTPUTS, None)
    assert len(server.requests) == 10


def test_the_key_and_the_image_are_sent(server, tmp_path, monkeypatch):
    monkeypatch.setenv('A_KEY', 'secret')
    judge(server, tmp_path, key_variable='A_KEY', with_image=True)(QUERIES, OUTPUTS, None)
    assert server.headers['Authorization'] == 'Bearer secret'
    sent = {request['messages'][0]['content'][1]['image_url']['url'] for request in server.requests}
    assert len(sent) == 2 and all(url.startswith('data:image/png;base64,') for url in sent)


@pytest.mark.parametrize('failure', [503, 429, '{', '{"choices": []}'])
def test_a_failure_that_passes_is_tried_again(server, tmp_path, failure):
    server.script = [failure, failure]
    assert judge(server, tmp_path)(QUERIES, OUTPUTS, None).tolist() == RIGHT
    assert len(server.requests) == 7


def test_a_refusal_is_not_tried_again(server, tmp_path):
    server.script = [401]
    with pytest.raises(ConnectionError, match=r'refused: HTTP 401 .*\(1 tries\).*OPENAI_API_KEY'):
        judge(server, tmp_path)(QUERIES, OUTPUTS, None)
    assert len(server.requests) == 1


def test_down_in_the_middle_loses_nothing(server, tmp_path):
    server.script = [None, None, 500, 500, 500]
    with pytest.raises(
        ConnectionError, match=r'does not answer: HTTP 500 .*\(3 tries\).*kept in .*cache.*resume the run'
    ):
        judge(server, tmp_path)(QUERIES, OUTPUTS, None)
    assert len(list((tmp_path / 'cache').glob('*.json'))) == 2
    server.script, server.requests = [], []
    assert judge(server, tmp_path)(QUERIES, OUTPUTS, None).tolist() == RIGHT
    assert len(server.requests) == 3


def test_nobody_there(tmp_path):
    server = Server()
    server.stop()
    with pytest.raises(ConnectionError, match=r'does not answer: .*refused'):
        judge(server, tmp_path, retries=1)(QUERIES, OUTPUTS, None)


def test_a_server_that_never_replies(server, tmp_path, monkeypatch):
    wait = threading.Event()
    handler = server.httpd.RequestHandlerClass
    monkeypatch.setattr(handler, 'do_POST', lambda self: wait.wait(5))
    try:
        with pytest.raises(ConnectionError, match='timed out'):
            judge(server, tmp_path, timeout=0.05, retries=0)(QUERIES, OUTPUTS, None)
    finally:
        wait.set()


def test_wrong_options_are_refused():
    with pytest.raises(ValueError, match='expected one that begins with http'):
        EndpointJudge('localhost:8000', 'm')
    with pytest.raises(ValueError, match='timeout=0'):
        EndpointJudge('http://x', 'm', timeout=0)
    with pytest.raises(ValueError, match=r'must have \{response\} in it'):
        EndpointJudge('http://x', 'm', prompt='{question}')


class Scripted(LanguageModelJudge):
    def ask(self, prompts, images):
        self.prompts = prompts
        return ['Yes.', ' 0', 'maybe', '1', 'no', '10']


def test_what_counts_as_yes():
    scripted = Scripted('{question} {response} {reference} {answer}')
    outputs = [['a', 'b', '{answer}'], ['d', 'e', 'f']]
    verdicts = scripted(QUERIES, outputs, [['r'], ['s']])
    assert verdicts.tolist() == [[1, 0, 0], [1, 0, 0]]
    assert scripted.prompts[2] == 'how many {answer} r 2'  # what a response says is not filled in
