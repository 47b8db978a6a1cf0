"""Every recipe builds, dumps, reloads and runs two iterations."""

import json
import math

import pytest
from common import REPO
from mmengine.config import Config

from fusionkd.engine.config import build_runner, load_config

RECIPES = sorted(p.name for p in (REPO / 'configs').glob('*.py'))

# Smaller, not different: what a recipe decides stays as it is.
SMALL = {
    'train_cfg.max_iters': 2,
    'train_cfg.val_interval': 2,
    'train_dataloader.batch_size': 2,
    'train_dataloader.num_workers': 0,
    'visualizer.vis_backends': [],
    'load_from': None,
}


def small(config):
    options = dict(SMALL)
    for i, step in enumerate(config.train_dataloader.dataset.pipeline):
        if step.type == 'RandomCropPair':
            options[f'train_dataloader.dataset.pipeline.{i}.size'] = 48
    for loader in ('train', 'val', 'test'):
        dataset = config[f'{loader}_dataloader'].dataset
        if dataset.type == 'SyntheticScenes':
            options |= {f'{loader}_dataloader.dataset.{k}': v for k, v in (('num', 2), ('size', (64, 96)))}
        elif dataset.get('part', 'all') != 'all':
            options[f'{loader}_dataloader.dataset.val_every'] = 2
    for i, hook in enumerate(config.get('custom_hooks', [])):
        if hook.type == 'CropSizeHook':
            options[f'custom_hooks.{i}.sizes'] = [(0, 48), (0.5, 64)]
        if hook.type == 'AgentHook':
            options |= {f'custom_hooks.{i}.interval': 1, f'custom_hooks.{i}.probe.num': 2}
            if hook.probe.dataset.type == 'PairedFusionDataset':
                options[f'custom_hooks.{i}.probe.dataset.val_every'] = 2
            else:
                options |= {f'custom_hooks.{i}.probe.dataset.{k}': v for k, v in (('num', 2), ('size', (64, 96)))}
    for i, term in enumerate(config.model.terms):
        if term.loss.type == 'PerceptualLoss':  # never let a test need the network
            options[f'model.terms.{i}.loss.weights'] = None
    return options


@pytest.mark.parametrize('name', RECIPES)
def test_recipe(name, tmp_path, scene_folder):
    path = REPO / 'configs' / name
    plain = load_config(path)
    config = load_config(path, small(plain), str(scene_folder))
    dumped = tmp_path / name
    config.dump(dumped)
    reloaded = load_config(dumped)
    assert reloaded.to_dict() == config.to_dict()
    reloaded.work_dir = str(tmp_path / 'work')
    runner = build_runner(reloaded)
    runner.train()
    assert (tmp_path / 'work' / 'student_best.pth').is_file()
    metrics = runner.test()
    assert metrics['VIF'] > 0 and 'score' in metrics
    if 'TermLosses' in str(config.get('custom_hooks')):
        decisions = [json.loads(line) for line in (tmp_path / 'work' / 'agent.jsonl').read_text().splitlines()]
        for term in config.model.terms:  # an agent learns nothing from a loss that cannot have a logarithm
            seen = [d['observation'][f'term/{term.name}'] for d in decisions[1:]]
            assert len(set(seen)) == 2 and all(math.isfinite(v) and v > math.log(1e-6) for v in seen), term.name


def test_there_are_the_recipes_of_the_documentation():
    assert {'rl_distill_msrs.py', 'fusion_hybrid_msrs.py', 'distill_fixed_msrs.py', 'rl_distill_demo.py'} <= set(
        RECIPES
    )


def test_the_fixed_baseline_differs_from_the_agents_recipe_in_nothing_but_the_agent():
    agent, fixed = (
        Config.fromfile(REPO / 'configs' / f'{n}.py').to_dict() for n in ('rl_distill_msrs', 'distill_fixed_msrs')
    )
    for config in (agent, fixed):
        config.pop('custom_hooks')
        config['model']['hard_samples'].pop('strength')
        config['model']['terms'][1].pop('weight')
    assert agent == fixed
