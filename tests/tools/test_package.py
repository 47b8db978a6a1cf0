import json
import subprocess
import sys

import torch
from common import REPO

from fusionkd import zoo
from fusionkd.apis import FusionInferencer
from fusionkd.engine.checkpoint import save_weights
from fusionkd.models.fusers import SwiftFuser


def package(*arguments):
    command = [sys.executable, str(REPO / 'tools/package.py'), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def student(folder, **options):
    net = SwiftFuser(**options)
    save_weights(net, folder / 'student_best.pth')
    card = dict(fuser=dict(type='SwiftFuser', **options), recipe='r.py', seed=3, iteration=9)
    (folder / 'student_best.json').write_text(json.dumps(card))
    return folder / 'student_best.pth'


def test_a_card_says_what_is_known_and_keeps_it(tmp_path):
    path = student(tmp_path, width=16, stem=1)
    mean = dict(VIF=1.03, Qabf=0.7, EN=6.0)
    rows = [dict(set='MSRS', method=m, images=2, mean=mean) for m in ('student', 'maximum')]
    (tmp_path / 'results.json').write_text(json.dumps(dict(protocol='cddfuse-1', rows=rows)))
    cell = dict(method='small', size=[480, 640], backend='eager', threads=2, median=4.2)
    timed = dict(host=dict(cpu='a CPU', cores=2), cells=[cell, dict(cell, method='other', median=9.0)])
    (tmp_path / 'latency.json').write_text(json.dumps(timed))
    out = tmp_path / 'zoo'
    done = package(path, '--name', 'small', '--command', 'train', '--results', tmp_path / 'results.json', '--out', out)
    assert done.returncode == 0, done.stderr
    before = (out / 'small.pth').read_bytes()
    assert package(path, '--name', 'small', '--latency', tmp_path / 'latency.json', '--out', out).returncode == 0
    assert (out / 'small.pth').read_bytes() == before, 'the same weights are the same file'
    card = json.loads((out / 'small.json').read_text())
    assert card['command'] == 'train' and card['seed'] == 3 and card['parameters'] == 18209
    assert card['results'] == dict(protocol='cddfuse-1', sets=dict(MSRS=dict(images=2, VIF=1.03, Qabf=0.7)))
    assert card['latency'] == dict(machine='a CPU, 2 cores', median_ms={'480 x 640, eager, 2 threads': 4.2})
    fuse = FusionInferencer(card['fuser'], out / 'small.pth')
    path = student(tmp_path, width=16, stem=1)  # other weights
    assert package(path, '--name', 'small', '--out', out).returncode == 0
    later = json.loads((out / 'small.json').read_text())
    assert 'results' not in later and 'command' not in later and later['latency'] == card['latency']
    assert fuse.fuser.body[0].conv[0].weight.shape == (16, 16, 3, 3)


def test_what_cannot_be_packaged_is_refused(tmp_path):
    path = student(tmp_path, width=128, depth=8)
    done = package(path, '--name', 'big', '--out', tmp_path)
    assert done.returncode and 'below 3' in done.stderr and not (tmp_path / 'big.pth').exists()
    path.with_suffix('.json').unlink()
    assert 'has no card' in package(path, '--name', 'big', '--out', tmp_path).stderr


def test_every_packaged_network_is_small_known_and_loads():
    for name in zoo.names():
        card = zoo.card(name)
        if 'file' in card:  # a refined network has that of another
            path = zoo.FOLDER / card['file']
            if not path.is_file():
                continue  # downloaded on demand
            assert path.stat().st_size < 3 * 2**20
        assert card['licence'] and card['data']
        net = FusionInferencer(name, device='cpu').fuser  # checks the sha256
        assert sum(p.numel() for p in net.parameters()) == card['parameters']
        if name.startswith('fusionkd'):
            assert set(card) >= {'command', 'seed', 'commit', 'results', 'latency', 'recipe'}
            assert (REPO / 'configs' / card['recipe']).is_file()
            assert set(card['results']['sets']) == {'MSRS', 'RoadScene', 'TNO'}
            fused = net.predict(torch.rand(1, 30, 40), torch.rand(3, 30, 40))
            assert fused.shape == (3, 30, 40)
