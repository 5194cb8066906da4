"""A variational autoencoder: an image is a few numbers, and noise.

Shapes: B images, C channels, H height, W width, Z latent numbers, L width of the class.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from luban.core.contracts import Signature
from luban.models._generative import GenerativeModel

_STEP = 1 / 255  #: half of the distance between two of 256 values in [-1, 1]


class Vae(GenerativeModel):
    """Kingma and Welling 2014 (1312.6114), with a likelihood of whole grey values.

    The loss is a bound on the negative log-likelihood of an image's bytes, in nats: divided by
    log(2) C H W it is bits per dimension.
    """

    latent_size: int = Field(default=32, ge=1, le=1_048_576, description="Numbers an image is.")
    channels: int = Field(
        default=32, ge=1, le=1_048_576, description="Of the first convolution; then twice."
    )
    kl_weight: float = Field(
        default=1.0,
        ge=0,
        description=(
            "Of the divergence (Higgins et al. 2017); above 1 the bound is loose, below it is none."
        ),
    )

    def build(self, signature: Signature) -> VaeModule:
        """Return the module with fresh weights, drawn from torch's global generator.

        Raises:
            RecipeError: if images of this size cannot be halved twice.
        """
        self.check_size(signature, 4)
        return VaeModule(self, signature)


class VaeModule(nn.Module):
    """Encoder, decoder, and the width of what the decoder is unsure of."""

    def __init__(self, options: Vae, signature: Signature) -> None:
        super().__init__()
        width, size = options.channels, (signature.size[0] // 4, signature.size[1] // 4)
        self.classes, self.kl_weight = signature.outputs, options.kl_weight
        self.pixels = signature.inputs * math.prod(signature.size)
        self.latent = min(options.latent_size, self.pixels)
        self.small = (2 * width, *size)
        told, inner = 16, 2 * width * math.prod(size)
        self.labels = nn.Embedding(signature.outputs + 1, told)
        self.stem = nn.Conv2d(signature.inputs, width, 4, stride=2, padding=1)
        encode = nn.Sequential(
            nn.SiLU(),
            nn.Conv2d(width, 2 * width, 4, stride=2, padding=1),
            nn.SiLU(),
            nn.Conv2d(2 * width, 2 * width, 3, padding=1),
            nn.SiLU(),
            nn.Flatten(),
        )
        decode = nn.Sequential(
            nn.Conv2d(2 * width, 2 * width, 3, padding=1),
            nn.SiLU(),
            nn.ConvTranspose2d(2 * width, width, 4, stride=2, padding=1),
            nn.SiLU(),
            nn.ConvTranspose2d(width, width, 4, stride=2, padding=1),
            nn.SiLU(),
        )
        self.blocks = nn.ModuleList([encode, decode])
        self.guess = nn.Linear(inner + told, 2 * self.latent)
        self.unfold = nn.Linear(self.latent + told, inner)
        self.head = nn.Conv2d(width, signature.inputs, 3, padding=1)
        self.log_scale = nn.Parameter(torch.full((signature.inputs, 1, 1), -2.0))

    def forward(
        self, pixel_values: Tensor, noise: Tensor, uniform: Tensor, labels: Tensor | None = None
    ) -> Tensor:
        """Return minus the evidence lower bound of each image, (B,), in nats.

        It is -log p(x|z) + KL(q(z|x) || N(0, I)) for one z, drawn from q by the noise.

        Args:
            pixel_values: Images in [-1, 1], (B, C, H, W).
            noise: Standard normal, the same shape; only the first Z numbers are used.
            uniform: Not used.
            labels: Class numbers, (B,); the number of classes: not told (None: none are).
        """
        mean, log_variance = self.encode(pixel_values, labels)
        z = mean + (log_variance / 2).exp() * self._noise(noise)
        centre = self.decode(z, labels)
        kl = (mean.square() + log_variance.exp() - 1 - log_variance).sum(1) / 2
        likelihood = log_likelihood(pixel_values, centre, self.log_scale).flatten(1).sum(1)
        return self.kl_weight * kl - likelihood

    def sample(
        self, noise: Tensor, labels: Tensor | None = None, *, steps: int = 1, guidance: float = 1.0
    ) -> Tensor:
        """Return what the decoder makes of the first Z numbers of noise, (B, C, H, W)."""
        return self.decode(self._noise(noise), labels).clamp(-1, 1)

    def reconstruct(self, pixel_values: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return what the decoder makes of the most likely code of images, (B, C, H, W)."""
        return self.decode(self.encode(pixel_values, labels)[0], labels).clamp(-1, 1)

    def encode(self, x: Tensor, labels: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return mean and log variance of q(z|x), (B, Z) each."""
        seen = self.blocks[0](self.stem(x))
        found: Tensor = self.guess(torch.cat([seen, self._told(x, labels)], 1))
        mean, log_variance = found.to(x.dtype).chunk(2, 1)
        return mean, log_variance

    def decode(self, z_BZ: Tensor, labels: Tensor | None) -> Tensor:
        """Return the centres of the pixels' distributions, (B, C, H, W)."""
        small = self.unfold(torch.cat([z_BZ, self._told(z_BZ, labels)], 1))
        large = self.blocks[1](F.silu(small).reshape(-1, *self.small))
        found: Tensor = self.head(large)
        return found.to(z_BZ.dtype)

    def _noise(self, noise: Tensor) -> Tensor:
        return noise.reshape(-1, self.pixels)[:, : self.latent]

    def _told(self, like: Tensor, labels: Tensor | None) -> Tensor:
        if labels is None:
            labels = torch.full((like.shape[0],), self.classes, device=like.device)
        told: Tensor = self.labels(labels)
        return told


def log_likelihood(x: Tensor, centre: Tensor, log_scale: Tensor) -> Tensor:
    """Return the log-probability of each of 256 values in [-1, 1], the shape of ``x``.

    Each stands for an interval of a logistic distribution, the outermost for all beyond
    (Salimans et al. 2017, 1701.05517, eq. 2). With s(a) the logistic function, s(a) - s(b) is
    s(a) s(-b) (1 - e^(b - a)), whose logarithm is exact far from the centre, too.
    """
    rate = (-log_scale).exp()
    above, below = (x - centre + _STEP) * rate, (x - centre - _STEP) * rate
    inside = torch.log(-torch.expm1(-2 * _STEP * rate))
    left = F.logsigmoid(above)  # log P(value <= x)
    right = F.logsigmoid(-below)  # log P(value >= x)
    within = torch.where(x > 1 - _STEP, right, left + right + inside)
    return torch.where(x < -1 + _STEP, left, within)
