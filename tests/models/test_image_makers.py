"""Models that make images: likelihoods that sum to one, gradients of two games, fixed sizes."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from luban.core.contracts import Model, Product, Signature
from luban.core.errors import RecipeError
from luban.exporters.torch_export import TorchExport
from luban.models.gan import Gan, GanModule
from luban.models.vae import Vae, VaeModule, log_likelihood
from tests.contracts.batches import SIGNATURES
from tests.contracts.makers import MAKE

GIVEN, BATCH = SIGNATURES["pixels", "image"]
NAMES = ("unet", "dit", "vae", "gan")
MODELS = [{"name": name, **its} for name in NAMES for its in MAKE[f"models/{name}"]]
VALUES = torch.arange(256).double() / 127.5 - 1


@pytest.mark.parametrize("centre", [-1.3, -0.2, 0.0, 0.999])
@pytest.mark.parametrize("log_scale", [-6.0, -2.0, 0.5])
def test_the_probabilities_of_all_values_sum_to_one(centre: float, log_scale: float) -> None:
    found = log_likelihood(VALUES, torch.tensor(centre).double(), torch.tensor(log_scale).double())
    assert float(found.logsumexp(0)) == pytest.approx(0.0, abs=1e-9)


def test_the_likelihood_is_the_difference_of_two_logistic_functions() -> None:
    centre, log_scale = torch.tensor(0.1).double(), torch.tensor(-1.5).double()
    edges = (VALUES[:, None] + torch.tensor([-1, 1]) / 255 - centre) / log_scale.exp()
    low, high = torch.sigmoid(edges).T
    low[0], high[-1] = 0, 1
    assert torch.allclose(log_likelihood(VALUES, centre, log_scale).exp(), high - low, atol=1e-12)


def vae(**options: float) -> VaeModule:
    torch.manual_seed(0)
    module = Vae.from_dict({"name": "vae", "latent_size": 3, "channels": 8, **options})
    return module.build(GIVEN).double()


def inputs() -> dict[str, Tensor]:
    found = {n: t.double() if t.is_floating_point() else t for n, t in BATCH.inputs.items()}
    pixels = found["pixel_values"]
    return {**found, "pixel_values": (pixels * 127.5).round() / 127.5}


def test_the_bound_is_divergence_minus_likelihood() -> None:
    module, given = vae(), inputs()
    mean, log_variance = module.encode(given["pixel_values"], given["labels"])
    posterior = torch.distributions.Normal(mean, (log_variance / 2).exp())
    prior = torch.distributions.Normal(torch.zeros_like(mean), torch.ones_like(mean))
    kl = torch.distributions.kl_divergence(posterior, prior).sum(1)
    z = mean + posterior.scale * given["noise"].flatten(1)[:, :3]
    centre = module.decode(z, given["labels"])
    nats = log_likelihood(given["pixel_values"], centre, module.log_scale).flatten(1).sum(1)
    assert torch.allclose(module(**given), kl - nats)
    assert torch.allclose(vae(kl_weight=0.5)(**given), kl / 2 - nats)


def test_the_bound_is_below_the_likelihood_of_importance_sampling() -> None:
    """On average, the loss is above -log p(x), estimated with many samples of the prior."""
    module, given = vae(), inputs()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        noise = torch.randn(400, *given["noise"].shape[1:], generator=generator).double()
        for row in range(3):
            label = given["labels"][row : row + 1].expand(400)
            x = given["pixel_values"][row : row + 1].expand(400, -1, -1, -1)
            bound = module(x, noise, torch.zeros(400), label).mean()
            centre = module.decode(noise.flatten(1)[:, :3], label)
            nats = log_likelihood(x, centre, module.log_scale).flatten(1).sum(1)
            assert float(bound) > -float(nats.logsumexp(0) - math.log(400)) - 0.05


def test_a_vae_gives_what_it_was_given() -> None:
    module, given = vae(), inputs()
    again = module.reconstruct(given["pixel_values"], given["labels"])
    assert again.shape == given["pixel_values"].shape
    mean, _ = module.encode(given["pixel_values"], given["labels"])
    assert torch.equal(again, module.decode(mean, given["labels"]).clamp(-1, 1))


@pytest.mark.parametrize("game", ["non-saturating", "hinge"])
@pytest.mark.parametrize("gamma", [0.0, 3.0])
def test_one_loss_gives_the_gradients_of_two_games(game: str, gamma: float) -> None:
    torch.manual_seed(0)
    options = {"latent_size": 4, "channels": 8, "game": game, "r1_gamma": gamma}
    module = Gan.from_dict({"name": "gan", **options}).build(GIVEN).double()
    given = inputs()
    module(**given).sum().backward()
    together = {name: p.grad for name, p in module.named_parameters()}
    apart = games(module, given, game, gamma)
    assert together.keys() == apart.keys()
    for name, gradient in apart.items():
        found = together[name]
        assert found is not None
        assert torch.allclose(found, gradient, atol=1e-10), name
    with torch.no_grad():  # no slope can be had here, so the penalty is left out
        assert module(**given).shape == (3,)


def games(
    module: GanModule, given: dict[str, Tensor], game: str, gamma: float
) -> dict[str, Tensor]:
    """Return each network's gradient of its own loss, as the papers write them."""
    real, labels = given["pixel_values"].clone().requires_grad_(), given["labels"]
    made = module.generator(given["noise"].flatten(1)[:, :4], labels)
    at_real, at_made = (module.discriminator(x, labels) for x in (real, made))
    (slope,) = torch.autograd.grad(at_real.sum(), real, create_graph=True)
    if game == "hinge":
        critic = (1 - at_real).clamp(min=0) + (1 + at_made).clamp(min=0)
        maker = -at_made
    else:
        critic = -torch.log(torch.sigmoid(at_real)) - torch.log(1 - torch.sigmoid(at_made))
        maker = -torch.log(torch.sigmoid(at_made))
    critic = critic.sum() + gamma / 2 * slope.pow(2).sum()
    found: dict[str, Tensor] = {}
    for part, loss in (("discriminator", critic), ("generator", maker.sum())):
        weights = dict(module.get_submodule(part).named_parameters())
        grads = torch.autograd.grad(loss, list(weights.values()), retain_graph=True)
        found |= {f"{part}.{n}": g for n, g in zip(weights, grads, strict=True)}
    return found


@pytest.mark.parametrize("fields", MODELS, ids=lambda fields: fields["name"])
def test_samples_depend_on_noise_and_label_alone(fields: dict[str, object]) -> None:
    torch.manual_seed(0)
    module = Model.from_dict(fields).build(GIVEN).double().eval()
    with torch.no_grad():
        for parameter in module.parameters():  # zero-initialised outputs would hide everything
            parameter.add_(torch.randn(parameter.shape, dtype=torch.float64), alpha=0.03)
        noise = 1e-3 * inputs()["noise"]  # so little that no pixel is at its bound
        labels = torch.tensor([0, 3, 1])
        made = module.sample(noise, labels, steps=3, guidance=2.0)  # type: ignore[operator]
        assert made.shape == noise.shape
        assert float(made.abs().max()) <= 1
        alone = module.sample(noise[1:2], labels[1:2], steps=3, guidance=2.0)  # type: ignore[operator]
        assert torch.allclose(alone, made[1:2], atol=1e-9)
        other = module.sample(noise, labels.flip(0), steps=3, guidance=2.0)  # type: ignore[operator]
        assert not torch.allclose(other[0], made[0])
        assert torch.allclose(other[1], made[1])


@pytest.mark.parametrize("fields", [MODELS[0], MODELS[2]], ids=["unet", "dit"])
def test_networks_over_noise_can_be_exported(fields: dict[str, object], tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = Model.from_dict(fields).build(GIVEN).eval()
    report = TorchExport().write(Product(module, BATCH), tmp_path, tmp_path / "out")
    assert "pixel_values[0]" in str(report.claims["torch-export/free axes"].value)


@pytest.mark.parametrize(
    ("fields", "unit"),
    [
        ({"name": "unet", "block_out_channels": [8, 32], "patch_size": 2}, 4),
        ({"name": "dit", "patch_size": 4}, 4),
        ({"name": "vae"}, 4),
        ({"name": "gan"}, 4),
    ],
    ids=NAMES,
)
def test_sizes_that_do_not_fit_are_refused(fields: dict[str, object], unit: int) -> None:
    signature = Signature("pixels", 1, 4, produces="image", size=(30, 28))
    with pytest.raises(RecipeError, match="cannot cut images of this size") as caught:
        Model.from_dict(fields).build(signature)
    assert f"multiples of {unit}" in str(caught.value)
