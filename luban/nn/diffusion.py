"""Diffusion: an image is noised step by step, a network learns to undo it.

Shapes: B images, C channels, H height, W width, T steps of noising.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor, nn

BetaSchedule: TypeAlias = Literal["linear", "squaredcos_cap_v2"]
PredictionType: TypeAlias = Literal["epsilon", "v_prediction"]

#: A few numbers, even where a module is built without any.
_HERE: dict[str, Any] = {"dtype": torch.float64, "device": "cpu"}


@dataclass(frozen=True, slots=True)
class Noising:
    """x_t = sqrt(a_t) x + sqrt(1 - a_t) e, with a_t from about 1 to about 0 (2006.11239, eq. 4).

    Attributes:
        steps: T.
        schedule: ``linear``: betas from 1e-4 to 0.02 for a thousand steps (Ho et al. 2020,
            2006.11239); ``squaredcos_cap_v2``: a_t falls as a squared cosine (Nichol and Dhariwal
            2021, 2102.09672, eq. 17). The names are those of diffusers.
        predicts: What the network gives: e, or v = sqrt(a_t) e - sqrt(1 - a_t) x (Salimans and
            Ho 2022, 2202.00512, appendix D).
    """

    steps: int = 1000
    schedule: BetaSchedule = "squaredcos_cap_v2"
    predicts: PredictionType = "v_prediction"
    kept: Tensor = field(init=False, repr=False, compare=False)  #: a_t, (T,), double
    levels: list[float] = field(init=False, repr=False, compare=False)  #: the same, for graphs

    def __post_init__(self) -> None:
        object.__setattr__(self, "kept", (1 - self._betas()).cumprod(0))
        object.__setattr__(self, "levels", self.kept.tolist())

    def noised(self, x: Tensor, noise: Tensor, step_B: Tensor) -> Tensor:
        """Return x_t, the shape of ``x``."""
        signal, rest = self._scales(step_B, x)
        return signal * x + rest * noise

    def wanted(self, x: Tensor, noise: Tensor, step_B: Tensor) -> Tensor:
        """Return what a perfect network would give, the shape of ``x``."""
        if self.predicts == "epsilon":
            return noise
        signal, rest = self._scales(step_B, x)
        return signal * noise - rest * x

    def split(self, x_t: Tensor, given: Tensor, step_B: Tensor) -> tuple[Tensor, Tensor]:
        """Return the image and the noise that x_t is made of, if what the network gave is right.

        The image is kept in [-1, 1], and the noise is what then remains.
        """
        signal, rest = self._scales(step_B, x_t)
        if self.predicts == "epsilon":
            x = (x_t - rest * given) / signal
        else:
            x = signal * x_t - rest * given
        x = x.clamp(-1, 1)
        return x, (x_t - signal * x) / rest

    def path(self, count: int) -> list[int]:
        """Return ``count`` of the steps from the last to near the first, evenly spaced.

        They end at the last step, which is pure noise (``trailing``; Lin et al. 2023, 2305.08891).
        """
        count = min(count, self.steps)
        return [round(self.steps * (1 - i / count)) - 1 for i in range(count)]

    def _betas(self) -> Tensor:
        if self.schedule == "linear":  # the same noise in all, however many steps
            scale = 1000 / self.steps
            betas = torch.linspace(1e-4 * scale, 0.02 * scale, self.steps, **_HERE)
        else:
            at = torch.arange(self.steps + 1, **_HERE) / self.steps
            kept = torch.cos((at + 0.008) / 1.008 * torch.pi / 2).square()
            betas = 1 - kept[1:] / kept[:-1]
        return betas.clamp(max=0.999)

    def _scales(self, step_B: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        """Return sqrt(a_t) and sqrt(1 - a_t), (B, 1, 1, 1)."""
        kept = self.kept.to(like.device)[step_B][:, None, None, None]
        return kept.sqrt().to(like.dtype), (1 - kept).sqrt().to(like.dtype)


class Diffusion(nn.Module):
    """A network over noisy images, trained and sampled from.

    Args:
        network: ``network(x_BCHW, time_B, labels_B) -> (B, C, H, W)``; time is in [0, 1), and it
            has a label more than there are classes: no class at all. It names its parts.
        noising: How images are noised.
        classes: Number of classes (0: images have none).
        size: C, H and W, which graphs of the module may rely on.
    """

    def __init__(
        self, network: nn.Module, noising: Noising, classes: int, size: tuple[int, int, int]
    ) -> None:
        super().__init__()
        self.network, self.noising, self.classes, self.size = network, noising, classes, size

    @property
    def stem(self) -> nn.Module:
        """What reads the noisy image."""
        return self.network.get_submodule("stem")

    @property
    def blocks(self) -> nn.Module:
        """The blocks, first to last."""
        return self.network.get_submodule("blocks")

    @property
    def head(self) -> nn.Module:
        """What writes the prediction."""
        return self.network.get_submodule("head")

    def forward(
        self, pixel_values: Tensor, noise: Tensor, uniform: Tensor, labels: Tensor | None = None
    ) -> Tensor:
        """Return the mean squared error of each image's pixels, (B,): no likelihood, no nats.

        It is the simple loss of Ho et al. 2020 (2006.11239, eq. 14) for noise, and the same for v.

        Args:
            pixel_values: Images in [-1, 1], (B, C, H, W).
            noise: Standard normal, the same shape.
            uniform: In [0, 1), (B,): how far each image is noised.
            labels: Class numbers, (B,); the number of classes: not told (None: none are).
        """
        x, noise = (images.reshape(-1, *self.size) for images in (pixel_values, noise))
        step_B = (uniform.double() * self.noising.steps).long().clamp(max=self.noising.steps - 1)
        given = self._give(self.noising.noised(x, noise, step_B), step_B, labels)
        wanted = self.noising.wanted(x, noise, step_B)
        return (given - wanted).square().flatten(1).mean(1)

    def sample(  # noqa: PLR0913
        self,
        noise: Tensor,
        labels: Tensor | None = None,
        *,
        steps: int = 50,
        guidance: float = 1.0,
        eta: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Return images in [-1, 1] made of noise, (B, C, H, W): DDIM (2010.02502, eq. 12).

        Args:
            noise: Standard normal, (B, C, H, W).
            labels: The class asked for, (B,).
            steps: How often the network is asked (twice as often with guidance).
            guidance: How far to go from what the network gives without the class to what it gives
                with it: 1 is with it, more exaggerates (Ho and Salimans 2022, 2207.12598, where
                it is 1 + w).
            eta: 0: nothing random but ``noise``; 1: as random as DDPM's ancestral sampling.
            generator: What fresh noise is drawn from, if ``eta`` > 0.
        """
        x, path = noise, self.noising.path(steps)
        for step, after in zip(path, [*path[1:], -1], strict=True):
            step_B = torch.full((x.shape[0],), step, device=x.device)
            given = self._guided(x, step_B, labels, guidance)
            image, rest = self.noising.split(x, given, step_B)
            if after < 0:
                return image
            now, then = self.noising.levels[step], self.noising.levels[after]
            spread = eta * math.sqrt((1 - then) / (1 - now) * (1 - now / then))
            back = math.sqrt(max(0.0, 1 - then - spread**2))
            x = math.sqrt(then) * image + back * rest
            if spread:
                x = x + spread * torch.randn(
                    x.shape, generator=generator, dtype=x.dtype, device=x.device
                )
        return x

    def _guided(self, x: Tensor, step_B: Tensor, labels: Tensor | None, guidance: float) -> Tensor:
        if labels is None or guidance == 1 or not self.classes:
            return self._give(x, step_B, labels)
        none = torch.full_like(labels, self.classes)
        both = self._give(torch.cat([x, x]), step_B.repeat(2), torch.cat([none, labels]))
        without, with_it = both[: x.shape[0]], both[x.shape[0] :]
        return without + guidance * (with_it - without)

    def _give(self, x: Tensor, step_B: Tensor, labels: Tensor | None) -> Tensor:
        if labels is None:
            labels = torch.full_like(step_B, self.classes)
        given: Tensor = self.network(x, step_B.to(x.dtype) / self.noising.steps, labels)
        return given.to(x.dtype)


class Condition(nn.Module):
    """Time and class as one vector, (B, D): a sinusoidal embedding of the time, then two layers.

    The frequencies are those of Transformers (Vaswani et al. 2017, 1706.03762) for times in
    thousandths; a class is added as a learned vector.
    """

    def __init__(self, width: int, classes: int, frequencies: int = 64) -> None:
        super().__init__()
        self.frequencies = frequencies
        self.layers = nn.Sequential(
            nn.Linear(2 * frequencies, width), nn.SiLU(), nn.Linear(width, width)
        )
        self.classes = nn.Embedding(classes + 1, width)
        nn.init.normal_(self.classes.weight, std=0.02)

    def forward(self, time_B: Tensor, labels_B: Tensor) -> Tensor:
        """Return vectors, (B, D).

        Args:
            time_B: In [0, 1).
            labels_B: Class numbers; the number of classes is no class.
        """
        at = torch.arange(self.frequencies, device=time_B.device, dtype=time_B.dtype)
        angle = 1000 * time_B[:, None] * 10_000 ** (-at / self.frequencies)
        time_BD: Tensor = self.layers(torch.cat([angle.cos(), angle.sin()], 1))
        class_BD: Tensor = self.classes(labels_B)
        return time_BD + class_BD
