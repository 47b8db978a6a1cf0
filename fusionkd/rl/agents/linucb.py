"""LinUCB: optimism in the face of uncertainty."""

from __future__ import annotations

from torch import Tensor

from fusionkd.registry import AGENTS

from .linear import LinearBanditAgent, LinearModel


@AGENTS.register_module()
class LinUCBAgent(LinearBanditAgent):
    """Takes the arm of the largest upper confidence bound (Li et al., WWW 2010), with one linear model for all arms.

    Args:
        levels: grid points per number. Default 5.
        alpha: width of the confidence bound. Default 0.5.
        ridge: regularisation. Default 1.
        discount: weight of the past at each decision; below 1 it forgets, as a student that changes demands.
            Default 0.98.
        seed: breaks ties. Default 0.
        frozen: as in :class:`BaseAgent`. Default False.
        init_from: as in :class:`BaseAgent`. Default none.
    """

    def __init__(
        self,
        levels: int = 5,
        alpha: float = 0.5,
        ridge: float = 1.0,
        discount: float = 0.98,
        seed: int = 0,
        frozen: bool = False,
        init_from: str | None = None,
    ):
        super().__init__(levels, ridge, discount, seed, frozen, init_from)
        self.alpha = alpha

    def score(self, features: Tensor, model: LinearModel) -> Tensor:
        """Upper confidence bounds."""
        return features @ model.mean + self.alpha * model.deviation(features)
