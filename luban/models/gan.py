"""A generative adversarial network: one network makes images, another tells them from real ones.

Shapes: B images, C channels, H height, W width, Z latent numbers.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn
from torch.func import functional_call

from luban.core.contracts import Signature
from luban.models._generative import GenerativeModel


class Gan(GenerativeModel):
    """Goodfellow et al. 2014 (1406.2661), with R1 (Mescheder et al. 2018, 1801.04406).

    One loss, two games: its gradient to ``generator.*`` is that of the generator's loss alone, and
    its gradient to ``discriminator.*`` that of the discriminator's. So one backward pass and one
    optimizer step play both; ``train.optimizer: parts`` gives each its own rate. Examples are not
    coupled: there is no normalisation over the batch.
    """

    latent_size: int = Field(
        default=64, ge=1, le=1_048_576, description="Numbers an image is made of."
    )
    channels: int = Field(
        default=32, ge=8, le=1_048_576, description="Of the finest level; then twice."
    )
    game: Literal["non-saturating", "hinge"] = Field(
        default="non-saturating", description="The losses: logistic, or hinge (1705.02894)."
    )
    r1_gamma: float = Field(
        default=1.0, ge=0, description="Penalty of the discriminator's slope at real images."
    )

    def build(self, signature: Signature) -> GanModule:
        """Return the module with fresh weights, drawn from torch's global generator.

        Raises:
            RecipeError: if images of this size cannot be halved twice.
        """
        self.check_size(signature, 4)
        return GanModule(self, signature)


class GanModule(nn.Module):
    """Both networks, and the one loss that trains each for itself."""

    def __init__(self, options: Gan, signature: Signature) -> None:
        super().__init__()
        self.pixels = signature.inputs * math.prod(signature.size)
        self.latent = min(options.latent_size, self.pixels)
        self.game, self.gamma, self.classes = options.game, options.r1_gamma, signature.outputs
        self.generator = Generator(options.channels, self.latent, signature)
        self.discriminator = Discriminator(options.channels, signature)

    @property
    def stem(self) -> nn.Module:
        """What reads an image."""
        return self.discriminator.stem

    @property
    def blocks(self) -> nn.ModuleList:
        """What looks at it."""
        return self.discriminator.blocks

    @property
    def head(self) -> nn.Module:
        """What says whether it is real."""
        return self.discriminator.head

    def forward(
        self, pixel_values: Tensor, noise: Tensor, uniform: Tensor, labels: Tensor | None = None
    ) -> Tensor:
        """Return the sum of both losses for each image, (B,): no likelihood, and no progress.

        Without gradients (in evaluation) the penalty is left out.

        Args:
            pixel_values: Images in [-1, 1], (B, C, H, W).
            noise: Standard normal, the same shape; only the first Z numbers are used.
            uniform: Not used.
            labels: Class numbers, (B,); the number of classes: not told (None: none are).
        """
        labels = self._labels(pixel_values, labels)
        made = self._make(noise, labels)
        return self.discriminator_loss(pixel_values, made.detach(), labels) + self.generator_loss(
            made, labels
        )

    def discriminator_loss(self, real: Tensor, made: Tensor, labels: Tensor) -> Tensor:
        """Return what the discriminator lowers, (B,): be high at real and low at made images."""
        penalised = torch.is_grad_enabled() and self.gamma > 0
        real = real.detach().requires_grad_(penalised)
        at_real, at_made = self.discriminator(real, labels), self.discriminator(made, labels)
        if self.game == "hinge":
            loss = F.relu(1 - at_real) + F.relu(1 + at_made)
        else:
            loss = F.softplus(-at_real) + F.softplus(at_made)
        if not penalised:
            return loss
        (slope,) = torch.autograd.grad(at_real.sum(), real, create_graph=True)
        return loss + self.gamma / 2 * slope.square().flatten(1).sum(1)

    def generator_loss(self, made: Tensor, labels: Tensor) -> Tensor:
        """Return what the generator lowers, (B,): made images should look real.

        The discriminator's weights are held fixed: no gradient of this reaches them.
        """
        fixed = {name: weight.detach() for name, weight in self.discriminator.named_parameters()}
        score: Tensor = functional_call(self.discriminator, fixed, (made, labels))
        return -score if self.game == "hinge" else F.softplus(-score)

    def sample(
        self, noise: Tensor, labels: Tensor | None = None, *, steps: int = 1, guidance: float = 1.0
    ) -> Tensor:
        """Return what the generator makes of the first Z numbers of noise, (B, C, H, W)."""
        return self._make(noise, self._labels(noise, labels))

    def _make(self, noise: Tensor, labels: Tensor) -> Tensor:
        made: Tensor = self.generator(noise.reshape(-1, self.pixels)[:, : self.latent], labels)
        return made.to(noise.dtype)

    def _labels(self, like: Tensor, labels: Tensor | None) -> Tensor:
        if labels is None:
            return torch.full((like.shape[0],), self.classes, device=like.device)
        return labels


class Generator(nn.Module):
    """A class and noise become an image, coarse to fine."""

    def __init__(self, width: int, latent: int, signature: Signature) -> None:
        super().__init__()
        self.small = (4 * width, signature.size[0] // 4, signature.size[1] // 4)
        self.labels = nn.Embedding(signature.outputs + 1, latent)
        self.stem = nn.Linear(2 * latent, math.prod(self.small))
        self.blocks = nn.ModuleList([Grow(4 * width, 2 * width), Grow(2 * width, width)])
        self.head = nn.Conv2d(width, signature.inputs, 3, padding=1)

    def forward(self, z_BZ: Tensor, labels_B: Tensor) -> Tensor:
        """Return images in [-1, 1], (B, C, H, W)."""
        x = self.stem(torch.cat([z_BZ, self.labels(labels_B)], 1)).unflatten(1, self.small)
        for block in self.blocks:
            x = block(x)
        return torch.tanh(self.head(x))


class Grow(nn.Module):
    """Twice as many pixels each way, then a convolution, normalised within the image."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.norm = nn.GroupNorm(math.gcd(8, outputs), outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, outputs, 2 H, 2 W)."""
        y: Tensor = self.norm(self.convolution(F.interpolate(x, scale_factor=2.0, mode="nearest")))
        return F.leaky_relu(y, 0.2)


class Discriminator(nn.Module):
    """How real an image looks, given its class (projection; Miyato and Koyama 2018, 1802.05637)."""

    def __init__(self, width: int, signature: Signature) -> None:
        super().__init__()
        self.stem = nn.Conv2d(signature.inputs, width, 3, padding=1)
        self.blocks = nn.ModuleList(
            [
                nn.Conv2d(width, 2 * width, 4, stride=2, padding=1),
                nn.Conv2d(2 * width, 4 * width, 4, stride=2, padding=1),
            ]
        )
        features = 4 * width * (signature.size[0] // 4) * (signature.size[1] // 4)
        self.look = nn.Linear(features, 4 * width)
        self.head = nn.Linear(4 * width, 1)
        self.labels = nn.Embedding(signature.outputs + 1, 4 * width)
        nn.init.normal_(self.labels.weight, std=0.02)

    def forward(self, x: Tensor, labels_B: Tensor) -> Tensor:
        """Return a score for each image, (B,)."""
        y = F.leaky_relu(self.stem(x), 0.2)
        for block in self.blocks:
            y = F.leaky_relu(block(y), 0.2)
        seen = F.leaky_relu(self.look(y.flatten(1)), 0.2)
        score: Tensor = self.head(seen)[:, 0] + (self.labels(labels_B) * seen).sum(1)
        return score.to(x.dtype)
