"""One registry per folder of the package.

A ``type`` string in a config leads to a folder without a search: ``MODELS`` to ``fusionkd/models``, ``AGENTS`` to
``fusionkd/rl/agents`` and so on. Every registry has the scope ``fusionkd`` and imports its folder when it is first
asked, so ``default_scope = 'fusionkd'`` in a config is all a user needs.
"""

import difflib

from mmengine import registry as mmengine_registry
from mmengine.registry import DATA_SAMPLERS as MMENGINE_DATA_SAMPLERS
from mmengine.registry import DATASETS as MMENGINE_DATASETS
from mmengine.registry import HOOKS as MMENGINE_HOOKS
from mmengine.registry import LOOPS as MMENGINE_LOOPS
from mmengine.registry import METRICS as MMENGINE_METRICS
from mmengine.registry import MODELS as MMENGINE_MODELS
from mmengine.registry import OPTIM_WRAPPER_CONSTRUCTORS as MMENGINE_OPTIM_WRAPPER_CONSTRUCTORS
from mmengine.registry import OPTIM_WRAPPERS as MMENGINE_OPTIM_WRAPPERS
from mmengine.registry import RUNNERS as MMENGINE_RUNNERS
from mmengine.registry import TRANSFORMS as MMENGINE_TRANSFORMS
from mmengine.registry import Registry


class FolderRegistry(Registry):
    """A registry that lists what it knows when it is asked for something else."""

    def get(self, key: str) -> type | None:
        """Class or function of ``key``.

        Raises:
            KeyError: unknown; the message lists similar names and all known ones.
        """
        try:
            found = super().get(key)
        except RuntimeError:  # mmengine's answer to an unknown name
            found = None
        if found is None:
            known = sorted(self.module_dict)
            close = difflib.get_close_matches(key, known, n=3, cutoff=0.5)
            hint = f'did you mean {" or ".join(close)}? ' if close else ''
            raise KeyError(
                f'unknown {self.name} type {key!r}: {hint}known: {", ".join(known)}. '
                'A type of your own must be registered first: name its module in custom_imports.'
            )
        return found


DATASETS = FolderRegistry('dataset', parent=MMENGINE_DATASETS, scope='fusionkd', locations=['fusionkd.datasets'])
DATA_SAMPLERS = FolderRegistry(
    'data sampler', parent=MMENGINE_DATA_SAMPLERS, scope='fusionkd', locations=['fusionkd.datasets']
)
TRANSFORMS = FolderRegistry('transform', parent=MMENGINE_TRANSFORMS, scope='fusionkd', locations=['fusionkd.datasets'])
MODELS = FolderRegistry('model', parent=MMENGINE_MODELS, scope='fusionkd', locations=['fusionkd.models'])
HARD_SAMPLES = FolderRegistry('hard sample', scope='fusionkd', locations=['fusionkd.hard_samples'])
AGENTS = FolderRegistry('agent', scope='fusionkd', locations=['fusionkd.rl'])
OBSERVATIONS = FolderRegistry('observation', scope='fusionkd', locations=['fusionkd.rl'])
PROBES = FolderRegistry('probe', scope='fusionkd', locations=['fusionkd.rl'])
REWARDS = FolderRegistry('reward', scope='fusionkd', locations=['fusionkd.rl'])
METRICS = FolderRegistry('metric', parent=MMENGINE_METRICS, scope='fusionkd', locations=['fusionkd.evaluation'])
HOOKS = FolderRegistry('hook', parent=MMENGINE_HOOKS, scope='fusionkd', locations=['fusionkd.engine.hooks'])
LOOPS = FolderRegistry('loop', parent=MMENGINE_LOOPS, scope='fusionkd', locations=['fusionkd.engine.loops'])
RUNNERS = FolderRegistry('runner', parent=MMENGINE_RUNNERS, scope='fusionkd', locations=['fusionkd.engine.runner'])
OPTIM_WRAPPERS = FolderRegistry(
    'optim_wrapper', parent=MMENGINE_OPTIM_WRAPPERS, scope='fusionkd', locations=['fusionkd.engine.optim']
)
OPTIM_WRAPPER_CONSTRUCTORS = FolderRegistry(
    'optimizer wrapper constructor',
    parent=MMENGINE_OPTIM_WRAPPER_CONSTRUCTORS,
    scope='fusionkd',
    locations=['fusionkd.engine.optim'],
)

# Kinds to which this package adds nothing: mmengine warns at every build unless the scope is known to each of them.
for _parent in (
    mmengine_registry.EVALUATOR,
    mmengine_registry.LOG_PROCESSORS,
    mmengine_registry.OPTIMIZERS,
    mmengine_registry.PARAM_SCHEDULERS,
    mmengine_registry.VISBACKENDS,
    mmengine_registry.VISUALIZERS,
    mmengine_registry.WEIGHT_INITIALIZERS,
):
    Registry(_parent.name, parent=_parent, scope='fusionkd')
