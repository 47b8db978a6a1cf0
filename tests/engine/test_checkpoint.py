import pytest
import torch

from fusionkd import zoo
from fusionkd.engine.checkpoint import load_weights, read_checkpoint, save_weights, student_state
from fusionkd.models.fusers import SeAFusion, SwiftFuser


def small(width=16):
    return SwiftFuser(width=width, stem=1)


def test_a_student_file_is_plain_and_loads_safely(tmp_path):
    student = small()
    save_weights(student, tmp_path / 'student.pth')
    state = torch.load(tmp_path / 'student.pth', weights_only=True)
    assert state.keys() == student.state_dict().keys()
    other = small()
    load_weights(other, tmp_path / 'student.pth')
    assert all(torch.equal(a, b) for a, b in zip(other.state_dict().values(), state.values(), strict=True))


def test_the_student_of_a_training_checkpoint_is_found():
    checkpoint = dict(state_dict={'student.a': 1, 'terms.x.adapter': 2}, meta={})
    assert student_state(checkpoint) == {'a': 1}
    assert student_state({'a': 1}) == {'a': 1}


def test_another_network_is_explained(tmp_path):
    save_weights(small(), tmp_path / 'small.pth')
    with pytest.raises(
        ValueError, match=r'no key matches, it is a checkpoint of another network \(first keys: between'
    ):
        load_weights(SeAFusion(), tmp_path / 'small.pth')
    with pytest.raises(
        ValueError, match=r'another shape: body.0.conv.0.weight is \(16, 16, 3, 3\) in the file and \(24, 24'
    ):
        load_weights(small(24), tmp_path / 'small.pth')
    state = small().state_dict()
    state['surplus'] = state.pop('maps.bias')
    torch.save(state, tmp_path / 'odd.pth')
    with pytest.raises(ValueError, match=r'(?s)missing: maps.bias.*unexpected: surplus'):
        load_weights(small(), tmp_path / 'odd.pth')


def test_broken_files_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'nowhere.pth'):
        load_weights(small(), tmp_path / 'nowhere.pth')
    (tmp_path / 'cut.pth').write_bytes(b'PK\x03\x04 cut')
    with pytest.raises(ValueError, match=r'cut.pth cannot be read as a checkpoint'):
        read_checkpoint(tmp_path / 'cut.pth')
    torch.save(torch.zeros(3), tmp_path / 'tensor.pth')
    with pytest.raises(ValueError, match='holds a Tensor'):
        read_checkpoint(tmp_path / 'tensor.pth')


class Exploit:
    def __reduce__(self):
        return print, ('executed',)


def test_code_in_a_checkpoint_is_not_executed(tmp_path, capsys):
    torch.save({'a': Exploit()}, tmp_path / 'evil.pth')
    with pytest.raises(ValueError, match='cannot be read'):
        read_checkpoint(tmp_path / 'evil.pth')
    assert 'executed' not in capsys.readouterr().out


class TestZoo:
    def test_packaged_weights_are_the_published_ones(self):
        assert zoo.resolve('seafusion').parent == zoo.FOLDER
        load_weights(SeAFusion(), 'seafusion')
        assert {'seafusion', 'ld_lite'} <= set(zoo.names())
        with pytest.raises(KeyError, match=r"no network 'x' in the zoo; there are: .*seafusion"):
            zoo.card('x')

    def test_other_weights_are_looked_for_then_downloaded(self, tmp_path, monkeypatch):
        monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path / 'hub'))
        monkeypatch.setenv('FUSIONKD_WEIGHTS', str(tmp_path / 'mine'))
        urls = []

        def offline(url, path, progress):
            urls.append(url)
            raise OSError('no route to host')

        monkeypatch.setattr(torch.hub, 'download_url_to_file', offline)
        with pytest.raises(FileNotFoundError, match=r'fetch it by hand and put it at .*ld_lite.pt'):
            zoo.resolve('ld_lite')
        assert urls == ['https://github.com/wyhlaowang/LD-Lite/raw/main/weight/final.pt']
        (tmp_path / 'mine').mkdir()
        (tmp_path / 'mine' / 'ld_lite.pt').write_bytes(b'something else')
        with pytest.raises(ValueError, match='is not the published file: sha256'):
            zoo.resolve('ld_lite')

    def test_urls_are_cached(self, tmp_path, monkeypatch):
        monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path))
        calls = []

        def download(url, path, progress):
            calls.append(url)
            torch.save(small().state_dict(), path)

        monkeypatch.setattr(torch.hub, 'download_url_to_file', download)
        for _ in range(2):
            load_weights(small(), 'https://example.org/small.pth')
        assert calls == ['https://example.org/small.pth']
