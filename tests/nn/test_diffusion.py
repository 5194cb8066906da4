"""Diffusion against closed forms: schedules, the process, and sampling of a known distribution."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from luban.nn.diffusion import Condition, Diffusion, Noising

SHAPE = (64, 1, 2, 3)
KINDS = [(s, p) for s in ("linear", "squaredcos_cap_v2") for p in ("epsilon", "v_prediction")]


def draw(seed: int) -> Tensor:
    return torch.randn(SHAPE, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_the_linear_schedule_is_that_of_the_paper() -> None:
    betas = np.linspace(1e-4, 0.02, 1000)
    kept = Noising(1000, "linear").kept.numpy()
    assert np.allclose(kept, np.cumprod(1 - betas), rtol=1e-12)
    assert kept[-1] == pytest.approx(4.036e-5, rel=1e-3)  # 2006.11239, section 4: nearly none left
    assert 1e-6 < Noising(100, "linear").kept[-1] < 1e-4, "as little with fewer steps"


def test_the_cosine_schedule_is_that_of_the_paper() -> None:
    kept = Noising(1000).kept.numpy()
    for step in (0, 250, 500, 900):
        f = [math.cos((t / 1000 + 0.008) / 1.008 * math.pi / 2) ** 2 for t in (step + 1, 0)]
        assert kept[step] == pytest.approx(f[0] / f[1], rel=1e-9)
    betas = 1 - kept[1:] / kept[:-1]
    assert betas.max() == pytest.approx(0.999)


@pytest.mark.parametrize(("schedule", "predicts"), KINDS)
def test_what_is_wanted_gives_image_and_noise_back(schedule: Any, predicts: Any) -> None:
    noising = Noising(50, schedule, predicts)
    x, noise = draw(0).clamp(-1, 1), draw(1)
    step = torch.arange(64) % 50
    noised = noising.noised(x, noise, step)
    again, rest = noising.split(noised, noising.wanted(x, noise, step), step)
    assert torch.allclose(again, x, atol=1e-6)
    assert torch.allclose(rest, noise, atol=1e-6)


def test_the_loss_is_the_mean_squared_error_of_each_image() -> None:
    class Zero(nn.Module):
        def forward(self, x: Tensor, time: Tensor, labels: Tensor) -> Tensor:
            return torch.zeros_like(x)

    noise = draw(2)
    model = Diffusion(Zero(), Noising(10, "linear", "epsilon"), 0, (1, 2, 3))
    loss = model(draw(3), noise, torch.rand(64, dtype=torch.float64))
    assert torch.allclose(loss, noise.square().mean((1, 2, 3)))


class Known(nn.Module):
    """The best prediction there is, where images are normal with a mean for each class."""

    def __init__(self, noising: Noising, spread: float) -> None:
        super().__init__()
        self.noising, self.spread, self.asked = noising, spread, 0

    def forward(self, x: Tensor, time: Tensor, labels: Tensor) -> Tensor:
        self.asked += len(x)
        kept = self.noising.kept[(time * self.noising.steps).round().long()][:, None, None, None]
        mean = torch.tensor([-0.2, 0.2, 0.0])[labels].double()[:, None, None, None]
        variance = kept * self.spread**2 + 1 - kept
        image = mean + kept.sqrt() * self.spread**2 / variance * (x - kept.sqrt() * mean)
        noise = (x - kept.sqrt() * image) / (1 - kept).sqrt()
        if self.noising.predicts == "epsilon":
            return noise
        return kept.sqrt() * noise - (1 - kept).sqrt() * image


@pytest.mark.parametrize(("schedule", "predicts"), KINDS)
@pytest.mark.parametrize(("eta", "steps"), [(0.0, 200), (1.0, 400)])
def test_samples_have_the_known_distribution(
    schedule: Any, predicts: Any, eta: float, steps: int
) -> None:
    noising = Noising(400, schedule, predicts)
    model = Diffusion(Known(noising, 0.2), noising, 2, (1, 2, 3))
    generator = torch.Generator().manual_seed(5)
    noise = torch.randn(500, 1, 2, 3, generator=generator, dtype=torch.float64)
    labels = torch.arange(500) % 2
    made = model.sample(noise, labels, steps=steps, eta=eta, generator=generator)
    for label, mean in ((0, -0.2), (1, 0.2)):
        some = made[labels == label]
        assert float(some.mean()) == pytest.approx(mean, abs=0.02)
        assert float(some.std()) == pytest.approx(0.2, rel=0.06)
    if not eta:
        assert torch.equal(made, model.sample(noise, labels, steps=steps)), "no chance but noise"


def test_ddim_maps_noise_as_its_differential_equation_does() -> None:
    """For normal images the flow from noise to image is x = mean + spread * noise."""
    noising = Noising(1000)
    model = Diffusion(Known(noising, 0.1), noising, 2, (1, 2, 3))
    noise = draw(7).clamp(-2, 2)
    made = model.sample(noise, torch.ones(64, dtype=torch.int64), steps=500)
    assert torch.allclose(made, 0.2 + 0.1 * noise, atol=0.01)


def test_guidance_goes_on_beyond_the_class() -> None:
    noising = Noising(400)
    known = Known(noising, 0.1)
    model = Diffusion(known, noising, 2, (1, 2, 3))
    labels = torch.ones(64, dtype=torch.int64)
    means = []
    for guidance, asked in ((0.0, 2), (1.0, 1), (2.0, 2)):
        known.asked = 0
        means.append(float(model.sample(draw(8), labels, steps=100, guidance=guidance).mean()))
        assert known.asked == asked * 64 * 100
    plain = float(model.sample(draw(8), None, steps=100).mean())
    assert means[0] == pytest.approx(plain, abs=1e-9), "0: as if no class were asked for"
    assert means[0] < means[1] < means[2]
    assert means[2] - means[1] == pytest.approx(means[1] - means[0], rel=0.1)


@pytest.mark.parametrize(("count", "path"), [(1, [9]), (2, [9, 4]), (5, [9, 7, 5, 3, 1])])
def test_steps_end_at_pure_noise(count: int, path: list[int]) -> None:
    assert Noising(10).path(count) == path
    assert Noising(10).path(50) == list(range(9, -1, -1))


def test_times_and_classes_are_told_apart() -> None:
    torch.manual_seed(0)
    condition = Condition(8, 2).double()
    times, labels = torch.linspace(0, 1, 11).double(), torch.tensor([0, 1, 2])
    found = condition(times.repeat(3), labels.repeat_interleave(11))
    assert found.shape == (33, 8)
    assert torch.pdist(found).min() > 1e-4
