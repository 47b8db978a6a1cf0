"""Thompson sampling with a Bayesian linear model."""

from __future__ import annotations

from torch import Tensor

from fusionkd.registry import AGENTS

from .linear import LinearBanditAgent, LinearModel


@AGENTS.register_module()
class ThompsonAgent(LinearBanditAgent):
    """Takes the best arm of a model drawn from the posterior (Agrawal and Goyal, ICML 2013).

    Args:
        levels: grid points per number. Default 5.
        scale: factor on the posterior's deviation; smaller explores less. Default 0.3.
        ridge: regularisation. Default 1.
        discount: weight of the past at each decision; below 1 it forgets, as a student that changes demands.
            Default 0.98.
        seed: Default 0.
        frozen: as in :class:`BaseAgent`. Default False.
        init_from: as in :class:`BaseAgent`. Default none.
    """

    def __init__(
        self,
        levels: int = 5,
        scale: float = 0.3,
        ridge: float = 1.0,
        discount: float = 0.98,
        seed: int = 0,
        frozen: bool = False,
        init_from: str | None = None,
    ):
        super().__init__(levels, ridge, discount, seed, frozen, init_from)
        self.scale = scale

    def score(self, features: Tensor, model: LinearModel) -> Tensor:
        """Rewards under one draw."""
        return features @ model.sample(self.generator, self.scale)
