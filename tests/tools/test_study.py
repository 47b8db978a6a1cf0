"""The study in miniature: arms times seeds, one page."""

import json
import shutil

import cv2
import pytest

from fusionkd.engine.study import PairSet, StudyPlan, open_set


@pytest.fixture
def plan(agent_recipe, scene_folder, tmp_path):
    def make(**changes):
        sets = dict(small=str(scene_folder / 'test'))
        options = dict(data_root=str(scene_folder), sets=sets, pairs=2, unseen=dict(far=('smoke', 'occlusion')))
        return StudyPlan(str(agent_recipe), str(tmp_path / 'out'), **options | changes)

    return make


def test_two_arms_one_seed_and_a_resume(agent_recipe, scene_folder, tmp_path, call_tool):
    common = [agent_recipe, '--data-root', scene_folder, '--set', f'small={scene_folder / "test"}', '--pairs', 2]
    common += ['--out', 'out', '--threads', 1, '--arms', 'scratch,ppo']
    out = call_tool('study', *common, '--seeds', '0')
    folder = tmp_path / 'out'
    assert '[3/3, ' in out and 'written to out/study.md' in out
    page = (folder / 'study.md').read_text()
    assert (
        '**ppo** against **scratch**' in page
        and '| arm | small, clean | small, near | small, far | mean, clean | mean, near | mean, far |' in page
    )
    assert '## small, far' in page and 'teacher: t' in page
    assert (
        '2 arms, seeds 0, 4 iterations each' in page and 'near: with smoke; far: with occlusion at strength 0.5' in page
    )
    for picture in ('decisions_learners.png', 'differences.png'):
        assert f'![{picture}]' in page and cv2.imread(str(folder / picture)).std() > 5
    run = json.loads((folder / 'runs/ppo/seed0/run.json').read_text())
    assert set(run['scores']) == {'small', 'validation'} and set(run['scores']['small']) == {'clean', 'near', 'far'}
    clean = run['scores']['small']['clean']
    assert {'VIF', 'Qabf', 'SSIM', 'SCD', 'Nabf', 'target', 'balanced', 'hybridfusion'} == set(clean)
    assert clean['hybridfusion'] == pytest.approx((clean['VIF'] + 1.5 * clean['Qabf'] + clean['SSIM']) / 3)
    assert clean['balanced'] != run['scores']['small']['far']['balanced']
    other = json.loads((folder / 'runs/scratch/seed0/run.json').read_text())
    means = [sum(r['scores']['small'][k]['balanced'] for k in ('near', 'far')) / 2 for r in (run, other)]
    assert '| small, degraded | 1 | {:.4f} | {:.4f} |'.format(*means) in page
    assert run['seconds']['training_cpu'] > 0 and set(run['actions']) == {'guide', 'hard_op'}
    assert (folder / 'runs/ppo/seed0/agent.jsonl').read_text().count('\n') == 3
    assert f'{clean["balanced"]:.4f}' in page

    assert 'give --resume' in call_tool('study', *common, '--seeds', '0', status=1)
    shutil.rmtree(folder / 'runs/scratch')
    out = call_tool('study', *common, '--seeds', '0', '--resume')
    assert '2 of 3 runs were done before' in out and 'scratch, seed 0' in out and 'ppo, seed 0' not in out
    again = json.loads((folder / 'runs/ppo/seed0/run.json').read_text())
    assert again == run
    assert 'differs in pairs' in call_tool('study', *common, '--pairs', 1, '--seeds', '0', '--resume', status=1)
    changed = agent_recipe.read_text().replace("'ppo': {}", "'ppo': {'model.hard_share': 0.5}")
    agent_recipe.write_text(changed)
    assert "arm 'ppo' that was changed" in call_tool('study', *common, '--seeds', '0', '--resume', status=1)


def test_arms_must_be_comparable(plan):
    cases = {
        'arms of a study train equally long': ({'train_cfg.max_iters': 5}, {}),
        'equally long on the same data': ({'train_dataloader.batch_size': 1}, {}),
        r"meets \['smoke'\] in training": ({'model.hard_samples.ops': ['smoke']}, {}),
        r"meets \['smoke'\] in training or on its probe": ({'custom_hooks.1.probe.degraded.ops': ['smoke']}, {}),
        'unknown degradations': ({}, dict(unseen=dict(far=('fog',)))),
        r"\['clean'\] need operations": ({}, dict(unseen=dict(clean=('smoke',)))),
    }
    for message, (options, changes) in cases.items():
        with pytest.raises(ValueError, match=message):
            plan(**changes).check(dict(arm=options))
    with pytest.raises(FileNotFoundError, match=r'nowhere.pth, which is not there: make it with tools/train_agent.py'):
        plan().check(dict(arm={'custom_hooks.1.agent.init_from': 'nowhere.pth'}))
    plan().check(dict(arm={}))


def test_test_sets_have_pairs_of_their_own(plan, scene_folder, tmp_path):
    for name, wanted in (('train', 'training pairs'), ('probe', 'probe pairs are also test')):
        folder = tmp_path / name
        numbers = ('00000',) if name == 'train' else ('00005',)
        for kind in ('ir', 'vi'):
            (folder / kind).mkdir(parents=True)
            for number in numbers:
                (folder / kind / f'{number}.png').symlink_to(scene_folder / 'train' / kind / f'{number}.png')
        with pytest.raises(ValueError, match=wanted):
            plan(sets={name: str(folder)}).check(dict(arm={}))


def test_validation_leaves_out_what_the_agent_was_paid_on(plan):
    trainer = plan().make_trainer()
    probe = trainer._probe_names(plan().load())
    validation = trainer.sets['validation']
    files = {validation.dataset.get_data_info(int(i))['ir_path'] for i in validation.indices}
    assert len(probe) == 2 and not probe & files


def test_pairs_are_spread(scene_folder):
    pairs = PairSet(open_set('small', scene_folder / 'test'), 2)
    assert pairs.indices == [0, 2] and [tuple(ir.shape) for ir, _ in pairs] == [(1, 64, 96)] * 2
    with pytest.raises(ValueError, match='all of them are probe pairs'):
        dataset = open_set('small', scene_folder / 'test')
        PairSet(dataset, leave_out={dataset.get_data_info(i)['ir_path'] for i in range(3)})
