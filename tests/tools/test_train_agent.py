"""Learning over many short trainings."""

import json

import cv2
import pytest
import torch

from fusionkd.engine.episodes import EpisodePlan, EpisodeTask, learn_from, make_agents, save_agents


@pytest.fixture
def plan(agent_recipe, scene_folder):
    def make(options=None):
        return EpisodePlan(str(agent_recipe), dict(options or {}), str(scene_folder))

    return make


SAMPLES = {
    'model.terms.0.on': 'clean',
    'custom_hooks.1.sample_agent': dict(agent=dict(type='PPOAgent', rollout=2, minibatches=1)),
}


def test_episodes_act_with_the_policy_and_the_parent_learns(plan, tmp_path):
    agents = make_agents(plan(SAMPLES), seed=0)
    before = agents['agent'].policy_state()['network']
    files = save_agents(agents, tmp_path, dict(note='start'))
    trainer = plan(SAMPLES).make_trainer()
    outcomes = [trainer.run_task(EpisodeTask(i, 10 + i, files)) for i in range(2)]
    assert not any('error' in o for o in outcomes), outcomes
    steps = outcomes[0]['steps']
    assert [s['done'] for s in steps] == [False, True]  # 4 iterations, a decision every 2
    assert outcomes[0]['return'] == pytest.approx(sum(s['reward'] for s in steps))
    assert sum(len(rewards) for _, _, rewards in outcomes[0]['samples']) == 1  # eight visits of seven samples
    assert [s['observation'].tolist() for s in outcomes[1]['steps']] != [s['observation'].tolist() for s in steps]
    assert trainer.run_task(EpisodeTask(0, 10, files))['return'] == outcomes[0]['return']

    logs = learn_from(agents, outcomes)
    assert logs['agent']['loss'] != 0 and 'approx_kl' in logs['sample_agent']
    after = agents['agent'].policy_state()['network']
    assert any(not torch.equal(before[k], after[k]) for k in after)
    assert agents['agent'].moments.count >= 4
    assert json.loads((tmp_path / 'sample_policy.json').read_text())['role'] == 'sample_agent'


def test_pairs_of_trainings_differ_by_the_agents_draw_alone(plan, tmp_path):
    options = {'custom_hooks.1.agent': dict(type='PGPEAgent', population=2, _delete_=True)}
    agents = make_agents(plan(options), seed=0)
    files = save_agents(agents, tmp_path, {})
    trainer = plan(options).make_trainer()
    first, second = (trainer.run_task(EpisodeTask(i, 10, files, mirrored=i == 1)) for i in range(2))
    assert 'error' not in first and 'error' not in second, (first, second)
    seen = [outcome['steps'][0]['observation'] for outcome in (first, second)]
    assert (seen[0] == seen[1]).all()  # the same start
    noise = [outcome['steps'][0]['ticket']['noise'] for outcome in (first, second)]
    assert torch.equal(noise[0], -noise[1]) and noise[0].abs().max() > 0
    before = agents['agent'].mean.clone()
    assert learn_from(agents, [first, second])['agent']['approx_kl'] > 0
    assert not torch.equal(before, agents['agent'].mean)


def test_only_what_learns_can_be_trained(plan):
    with pytest.raises(ValueError, match='no AgentHook with an agent that learns'):
        plan({'custom_hooks.1.agent': dict(type='FixedAgent', _delete_=True)}).load()


def test_the_tool_and_a_recipe_that_starts_from_its_policy(agent_recipe, scene_folder, tmp_path, call_tool, plan):
    common = [agent_recipe, '--data-root', scene_folder, '--threads', 1, '--batch', 2]
    straight = call_tool('train_agent', *common, '--episodes', 4, '--out', 'straight')
    assert '[4/4] return' in straight and 'update after 4 episodes' in straight
    folder = tmp_path / 'straight'
    card = json.loads((folder / 'policy.json').read_text())
    assert card['episodes'] == 4 and card['seeds'] == [1000, 1001, 1002, 1003] and len(card['returns']) == 4
    assert card['agent'] == 'PPOAgent' and card['observations'][-1] == 'progress'
    assert [c['name'] for c in card['controls']] == ['guide', 'hard_op']
    assert cv2.imread(str(folder / 'returns.png')).std() > 5 and not list((folder / 'episodes').iterdir())

    call_tool('train_agent', *common, '--episodes', 2, '--out', 'resumed')
    assert 'give --resume' in call_tool('train_agent', *common, '--episodes', 4, '--out', 'resumed', status=1)
    call_tool('train_agent', *common, '--episodes', 4, '--out', 'resumed', '--resume')
    a, b = (torch.load(tmp_path / name / 'policy.pth', weights_only=True) for name in ('straight', 'resumed'))
    assert all(torch.equal(v, b['network'][k]) for k, v in a['network'].items())
    assert json.loads((tmp_path / 'resumed/policy.json').read_text())['returns'] == card['returns']

    unknown = call_tool('train_agent', *common, '--arm', 'nothing', '--episodes', 2, '--out', 'arm', status=1)
    assert "has no arm 'nothing'" in unknown

    options = {'custom_hooks.1.agent.frozen': True}
    outcome = plan(options).make_trainer().run_task(EpisodeTask(0, 5, dict(agent=str(folder / 'policy.pth'))))
    assert 'error' not in outcome and len(outcome['steps']) == 2
    other = plan({'custom_hooks.1.actions': dict(guide=None, _delete_=True)}).make_trainer()
    refused = other.run_task(EpisodeTask(0, 5, dict(agent=str(folder / 'policy.pth'))))
    assert 'was learnt for another task' in refused['error']
