"""What all diffusion models have in common: how images are noised."""

from __future__ import annotations

from abc import abstractmethod

from pydantic import Field
from torch import nn

from luban.core.contracts import Signature
from luban.models._generative import GenerativeModel
from luban.nn.diffusion import BetaSchedule, Diffusion, Noising, PredictionType


class DiffusionModel(GenerativeModel):
    """A network that undoes noise; subclasses say which."""

    num_train_timesteps: int = Field(
        default=1000, ge=2, le=1_000_000, description="Steps of noising."
    )
    beta_schedule: BetaSchedule = Field(
        default="squaredcos_cap_v2", description="How fast the image goes: by a cosine, or linear."
    )
    prediction_type: PredictionType = Field(
        default="v_prediction", description="What the network gives: the noise, or v."
    )

    @abstractmethod
    def network(self, signature: Signature) -> nn.Module:
        """Return the network with fresh weights: see ``luban.nn.diffusion.Diffusion``.

        Raises:
            RecipeError: if images of this size do not fit.
        """

    def build(self, signature: Signature) -> Diffusion:
        """Return the module with fresh weights, drawn from torch's global generator.

        Raises:
            RecipeError: if the model cannot take what the task gives.
        """
        noising = Noising(self.num_train_timesteps, self.beta_schedule, self.prediction_type)
        size = (signature.inputs, *signature.size)
        return Diffusion(self.network(signature), noising, signature.outputs, size)
