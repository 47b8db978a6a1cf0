"""Every KDRL recipe builds, dumps, reloads and runs two iterations, and its study runs in miniature."""

import json
import subprocess
import sys

import pytest
import torch
from common import REPO

from fusionkd.datasets.recognition_synthetic import CLASSES, write_captions, write_class_folders, write_grounding
from fusionkd.engine.config import build_runner, load_config

FOLDER = REPO / 'configs' / 'kdrl'
RECIPES = sorted(p.stem for p in FOLDER.glob('*.py'))
SMALL = {
    'train_cfg.max_iters': 2,
    'train_cfg.val_interval': 2,
    'train_dataloader.batch_size': 4,
    'visualizer.vis_backends': [],
    **{f'{loader}_dataloader.num_workers': 0 for loader in ('train', 'val', 'test')},
}
# Smaller, not different: what a recipe decides stays as it is.
TINY = dict(
    embed_dim=16,
    vision_cfg=dict(image_size=32, patch_size=8, width=16, head_width=8, layers=2),
    text_cfg=dict(context_length=16, vocab_size=49408, width=16, heads=2, layers=1),
)


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp('recognition')
    write_class_folders(root / 'classes', images=6, size=32)
    write_captions(root / 'classes')
    write_grounding(root / 'boxes', images=9, size=32)
    return root


def tiny_clip(config):
    pytest.importorskip('open_clip', reason='needs the extra clip')
    config.load.size = config.size = 32
    for loader in ('train', 'val', 'test'):
        for step in config[f'{loader}_dataloader'].dataset.pipeline:
            if 'size' in step:
                step['size'] = 32
    config.custom_hooks[0].dataset.pipeline[0]['size'] = 32
    for network in (config.model.student, config.model.teacher):
        network.model, network.pretrained = TINY, None
    config.model.blocks = ['clip.visual.transformer.resblocks.0', 'clip.visual.transformer.resblocks.1']
    config.custom_hooks[0].k = 2


def miniature(name, data, tmp_path, options=None):
    """Config of a recipe for the synthetic sets."""
    config = load_config(FOLDER / f'{name}.py', {**SMALL, **(options or {})})
    sets = [config[f'{loader}_dataloader'].dataset for loader in ('train', 'val', 'test')]
    if len(config.get('custom_hooks') or ()):
        config.custom_hooks[0].folder = str(tmp_path / 'clusters')
        sets.append(config.custom_hooks[0].dataset)
    for dataset in sets:
        dataset.data_root = str(data / ('boxes' if dataset.type == 'GroundingList' else 'classes'))
        if dataset.type == 'CaptionList':
            dataset.ann_file, dataset.data_prefix = 'captions.json', dict(image='')
        if name == 'kdrl_clip_aid' and dataset.type == 'ClassFolders':
            dataset.data_prefix, dataset.splits = dict(image='test'), dict(val=0.3, test=0.7)
            dataset.classes = CLASSES
    if name == 'kdrl_clip_aid':
        config.model.student.test_head.classes = CLASSES
    if 'clip' in name:
        tiny_clip(config)
    else:
        config.model.student.num_classes = 3
        if config.model.get('teacher'):
            config.model.teacher.num_classes = 3
            config.model.teacher.init_cfg = None
            config.custom_hooks[0].k = 2
    config.work_dir = str(tmp_path / 'work')
    return config


@pytest.mark.parametrize('name', RECIPES)
def test_recipe(name, data, tmp_path):
    config = miniature(name, data, tmp_path)
    dumped = tmp_path / f'{name}.py'
    config.dump(dumped)
    reloaded = load_config(dumped)
    assert reloaded.to_dict() == config.to_dict()
    runner = build_runner(reloaded)
    runner.train()
    assert 0 <= runner.test()['score'] <= 1
    state = torch.load(tmp_path / 'work/student_best.pth', weights_only=True)
    assert state.keys() == runner.model.student.state_dict().keys()
    assert not any('heads' in key or 'terms' in key for key in state)


def test_there_are_the_recipes_of_the_documentation():
    names = {'kdrl_rsscn7', 'kdrl_rsscn7_teacher', 'kdrl_clip_aid', 'kdrl_clip_rsitmd', 'kdrl_clip_dior_rsvg'}
    assert names <= set(RECIPES)


def test_both_stages_do_what_they_say(data, tmp_path):
    seen = []
    runner = build_runner(miniature('kdrl_rsscn7', data, tmp_path, {'train_cfg.max_iters': 10}))
    loss = runner.model.loss
    runner.model.loss = lambda *a, **k: (
        seen.append({n: t.weight for n, t in runner.model.terms.items()}) or loss(*a, **k)
    )
    runner.train()
    assert [s['logits'] for s in seen] == [1] * 10  # the teacher's opinion stays
    assert [s['confidence'] for s in seen] == [0] * 6 + [1] * 4
    task = [s['task'] for s in seen]
    assert task[:7] == [1] * 7 and 1 > task[7] > task[8] > task[9] > 0.1


def test_the_study_in_miniature(data, tmp_path):
    """Two arms and one seed, run as a user runs them; the second call finds everything done."""
    weights = tmp_path / 'work_dirs/teacher/student_best.pth'
    channels = 'model.student.options.channels=(8,8,8,8)'
    options = ['train_cfg.max_iters=2', 'train_dataloader.batch_size=4', 'custom_hooks.0.k=2']
    options += ['model.student.num_classes=3', 'model.teacher.num_classes=3', channels]
    options += [f'model.teacher.init_cfg.checkpoint={weights}']
    teacher = tmp_path / 'teacher.py'
    teacher.write_text(
        f"_base_ = ['{FOLDER}/kdrl_rsscn7_teacher.py']\n"
        'model = dict(student=dict(num_classes=3))\n'
        'train_dataloader = dict(batch_size=4)\n'
        'train_cfg = dict(max_iters=1, val_interval=1)\n'
    )
    recipe = tmp_path / 'recipe.py'
    recipe.write_text(f"_base_ = ['{FOLDER}/kdrl_rsscn7.py']\nstudy = dict(first=['teacher.py'])\n")
    command = [sys.executable, str(REPO / 'tools/compare.py'), str(recipe), '--seeds', '0']
    command += ['--arms', 'scratch,stage 1 + 2', '--data-root', str(data / 'classes')]
    command += ['--out', 'study', '--cfg-options', *options]
    first, second = (
        subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False) for _ in range(2)
    )
    assert first.returncode == 0, first.stdout[-2000:] + first.stderr[-2000:]
    assert 'training teacher.py first' in first.stdout and '3 of 3 runs to do' in first.stdout
    assert second.returncode == 0 and '0 of 3 runs to do' in second.stdout
    table = (tmp_path / 'study/table.md').read_text()
    assert all(f'| {arm} | 1 |' in table for arm in ('teacher: teacher', 'scratch', 'stage 1 + 2'))
    outcome = json.loads((tmp_path / 'study/runs/stage 1 + 2/seed0/run.json').read_text())
    assert outcome['scores']['top1'] >= 0 and 'confidence/reward' not in outcome['logs']  # two iterations: first stage
    weights.unlink()
    wrong = subprocess.run([*command[:3], '--arms', 'x'], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert wrong.returncode == 1 and "unknown arms ['x']" in wrong.stderr
