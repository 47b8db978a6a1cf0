"""The vision-language recipes of RIL run, resume exactly, outlive a judge that is down, and their study runs in miniature."""

import pytest
import torch
from common import REPO
from mmengine.structures import BaseDataElement

pytest.importorskip('transformers', reason='needs the extra vlm')

from fusionkd.engine.comparison import ComparisonPlan, ComparisonTrainer
from fusionkd.engine.config import build_runner, load_config
from fusionkd.engine.study import StudyTask
from fusionkd.models.judges import ExactMatchJudge
from fusionkd.registry import MODELS

FOLDER = REPO / 'configs' / 'ril'
SMALL = {
    'train_cfg.max_iters': 2,
    'train_cfg.val_interval': 2,
    'train_dataloader.batch_size': 2,
    'train_dataloader.dataset.num': 8,
    'val_dataloader.dataset.num': 4,
    'test_dataloader.dataset.num': 4,
    'visualizer.vis_backends': [],
    'model.student.width': 8,
    'model.student.init_cfg': None,
}
TOYS = {
    'model.student.init_cfg': None,
    'model.teachers.0.network.init_cfg': None,
    'model.teachers.0.network.width': 8,
    'model.pretrain': 1,
    'model.pretrain_num': 2,
    'model.num': 2,
}


@MODELS.register_module()
class MoodyJudge(ExactMatchJudge):
    """Is down at a call of one's choice."""

    down = None

    def __call__(self, queries, outputs, references):
        cls = type(self)
        if cls.down is not None:
            cls.down -= 1
            if cls.down < 0:
                raise ConnectionError('the judge does not answer')
        return super().__call__(queries, outputs, references)


def miniature(name, tmp_path, **options):
    config = load_config(FOLDER / f'{name}.py', SMALL | options)
    config.work_dir = str(tmp_path / 'work')
    for teacher in config.model.get('teachers') or ():
        teacher.folder = str(tmp_path / 'responses')
    return config


@pytest.mark.parametrize('name', ['ril_vlm_teacher', 'ril_vlm_start', 'ril_vlm'])
def test_recipe(name, tmp_path):
    """Two updates of the student, dumped and reloaded before."""
    ril = name == 'ril_vlm'
    toys = TOYS | {'train_cfg.max_iters': 5, 'train_cfg.val_interval': 5, 'custom_hooks.1.interval': 2} if ril else {}
    config = miniature(name, tmp_path, **toys)
    dumped = tmp_path / f'{name}.py'
    config.dump(dumped)
    reloaded = load_config(dumped)
    assert reloaded.to_dict() == config.to_dict()
    runner = build_runner(reloaded)
    before = {k: v.clone() for k, v in runner.model.student.state_dict().items()}
    runner.train()
    values = runner.test()
    assert 0 <= values['score'] <= 1 and values['score'] == values['exact_match']
    state = torch.load(tmp_path / 'work/student_best.pth', weights_only=True)
    assert state.keys() == before.keys() and any(not torch.equal(state[k], before[k]) for k in state)
    if ril:
        sheet = next((tmp_path / 'work/sheets').glob('*.md')).read_text()
        assert '| | response |' in sheet and sheet.count('\n| ') >= 2 * 4
        assert len(list((tmp_path / 'responses').glob('*/*.json'))) > 1


def train(tmp_path, until, resume=False, **options):
    toys = TOYS | {'train_cfg.max_iters': until, 'train_cfg.val_interval': 100, 'default_hooks.checkpoint.interval': 1}
    config = miniature('ril_vlm', tmp_path, **toys, **options)
    config.val_dataloader = config.val_cfg = config.val_evaluator = None
    config.test_dataloader = config.test_cfg = config.test_evaluator = None
    config.default_hooks.checkpoint.save_best = None
    config.default_hooks.checkpoint.max_keep_ckpts = -1
    config.resume = resume
    runner = build_runner(config, check=('train',))
    runner.train()
    return runner.model.state_dict()


def same(a, b):
    tensors = [key for key, value in a.items() if isinstance(value, torch.Tensor)]
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in tensors)


def test_resume_in_the_middle_of_a_group(tmp_path):
    """Stopped between the discriminator's update and the student's; texts, tokens and images come back from the file."""
    whole = train(tmp_path / 'a', 7)
    train(tmp_path / 'b', 4)
    assert same(whole, train(tmp_path / 'b', 7, resume=True))


def test_a_judge_that_is_down_loses_nothing(tmp_path):
    judge = {'model.judge.type': 'MoodyJudge'}
    whole = train(tmp_path / 'a', 7, **judge)
    MoodyJudge.down = 1
    try:
        with pytest.raises(ConnectionError, match='does not answer'):
            train(tmp_path / 'b', 7, **judge)
    finally:
        MoodyJudge.down = None
    assert same(whole, train(tmp_path / 'b', 7, resume=True, **judge))


def test_imitation_of_a_teacher(tmp_path):
    teacher = load_config(FOLDER / 'ril_vlm.py').model.teachers[0].to_dict()
    teacher['network'].update(init_cfg=None, width=8)
    config = miniature('ril_vlm_start', tmp_path, **{'model.teachers': [teacher], 'model.num': 2})
    runner = build_runner(config)
    runner.train()
    assert len(list((tmp_path / 'responses').glob('*/*.json'))) == 4


def test_a_sample_without_a_response_is_refused():
    model = MODELS.build(
        dict(type='ImitationDistiller', student=dict(type='TinyVLM', width=8), policy=dict(type='VisionLanguagePolicy'))
    )
    sample = BaseDataElement()
    sample.question = 'how many'
    with pytest.raises(ValueError, match='nothing to imitate'):
        model(dict(image=[torch.zeros(3, 32, 32, dtype=torch.uint8)]), [sample], mode='loss')


def test_the_study_in_miniature(tmp_path, monkeypatch):
    """Every arm builds and is updated equally often; one is trained and scored as a worker of the study does it."""
    monkeypatch.chdir(tmp_path)
    options = {
        key: value
        for key, value in (SMALL | TOYS).items()
        if key not in ('train_cfg.max_iters', 'visualizer.vis_backends')
    }
    options |= {'study.updates': 2, 'custom_hooks': [], 'model.teachers.0.folder': str(tmp_path / 'responses')}
    plan = ComparisonPlan(str(FOLDER / 'ril_vlm.py'), str(tmp_path / 'study'), options)
    arms = load_config(FOLDER / 'ril_vlm.py').arms
    plan.check(arms)
    lengths = {arm: plan.load(dict(chosen)).train_cfg.max_iters for arm, chosen in arms.items()}
    assert lengths['Dr.GRPO'] == lengths['Dr.GRPO with teacher'] == 2
    assert lengths['frozen discriminator'] == 3 and lengths['RIL'] == 5  # one of pretraining
    outcome = ComparisonTrainer(plan).run_task(StudyTask('RIL', 0, dict(arms['RIL'])))
    assert 0 <= outcome['scores']['exact_match'] <= 1, outcome
    assert {'judge/student', 'similarity/teacher', 'accuracy', 'kl'} <= outcome['logs'].keys()
