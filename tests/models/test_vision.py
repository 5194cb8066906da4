"""Networks over images: published sizes, what they refuse, what training must keep."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from luban.core.batch import Batch, Losses
from luban.core.contracts import Mechanism, Model, Optimizer, Schedule, Signature
from luban.core.errors import CapacityError, RecipeError
from luban.engine.budget import Budget
from luban.engine.checkpoint import Checkpoints
from luban.engine.fit import Plan, State, averaged, fit
from luban.engine.layerwise import decay_by_layer
from luban.nn.losses import WithAuxiliary, cross_entropy, with_auxiliary
from luban.nn.patches import moved_positions
from luban.nn.pixels import ConvNorm, channel_norm, draw_filters
from luban.testing import check_model


def signature(side: int, outputs: int = 1000, channels: int = 3) -> Signature:
    return Signature("pixels", channels, outputs, produces="label", size=(side, side))


def make(name: str, **fields: Any) -> Model:
    return Model.from_dict({"name": name, **fields})


#: Fields, side, weights, and multiplications of one look, in thousand millions.
PUBLISHED: list[tuple[dict[str, Any], int, int, float]] = [
    # torchvision's documentation: ResNet{18,34,50,101,152}_Weights, GFLOPS
    ({"name": "resnet", "depth": 18}, 224, 11_689_512, 1.81),
    ({"name": "resnet", "depth": 34}, 224, 21_797_672, 3.66),
    ({"name": "resnet", "depth": 50}, 224, 25_557_032, 4.09),
    ({"name": "resnet", "depth": 101}, 224, 44_549_160, 7.80),
    ({"name": "resnet", "depth": 152}, 224, 60_192_808, 11.51),
    # ViT_B_16_Weights; Touvron et al. 2020, table 1, for the smaller two
    ({"name": "vit", "hidden_size": 768, "num_attention_heads": 12}, 224, 86_567_656, 17.56),
    ({"name": "vit", "hidden_size": 384, "num_attention_heads": 6}, 224, 22_050_664, 4.6),
    ({"name": "vit"}, 224, 5_717_416, 1.25),
    # Inception_V3_Weights
    ({"name": "inception"}, 299, 27_161_264, 5.71),
]


@pytest.mark.parametrize(("fields", "side", "weights", "products"), PUBLISHED)
def test_sizes_are_those_published(
    fields: dict[str, Any], side: int, weights: int, products: float
) -> None:
    model = Model.from_dict(fields)
    with torch.device("meta"):
        module = model.build(signature(side))
    assert sum(p.numel() for p in module.parameters()) == weights
    assert model.flops_per_token(signature(side), weights) / 6e9 == pytest.approx(
        products, rel=0.01
    )


def test_filters_begin_by_what_they_put_out() -> None:
    torch.manual_seed(0)
    layer: Any = ConvNorm(16, 64)
    layer.normalization.weight.data.fill_(7)
    draw_filters(layer)
    weight = layer.convolution.weight.detach()
    assert float(weight.var()) == pytest.approx(2 / (9 * 64), rel=0.05)  # 1502.01852, section 2.2
    assert layer.normalization.weight.detach().eq(1).all()


@pytest.mark.parametrize("layer", ["basic", "bottleneck"])
def test_residual_layers_begin_as_their_shortcuts(layer: str) -> None:
    torch.manual_seed(0)
    shape = {"depths": [2, 1], "hidden_sizes": [8, 12], "layer_type": layer}
    fresh: Any = make("resnet", **shape).build(signature(32, 3)).train()
    other: Any = make("resnet", **shape, zero_init_residual=False).build(signature(32, 3)).train()
    x = torch.randn(2, 64, 8, 8)
    for block, another in zip(fresh.blocks, other.blocks, strict=True):
        beside = block.shortcut(x).relu()
        assert torch.equal(block(x), beside)
        assert not torch.equal(another(x), another.shortcut(x).relu())
        x = beside


def test_the_small_network_reads_the_largest_value_of_each_map() -> None:
    torch.manual_seed(0)
    module: Any = make("cnn", embedding_size=4, hidden_sizes=[6]).build(signature(8, 3)).eval()
    pixels = torch.randn(2, 3, 8, 8)
    largest = module.features(pixels).flatten(2).max(2).values
    torch.testing.assert_close(module(pixels), module.head(largest) / 8)


@pytest.mark.parametrize(("channels", "groups"), [(8, 8), (48, 24), (64, 32), (96, 32)])
def test_groups_of_channels_divide_them(channels: int, groups: int) -> None:
    assert channel_norm("group", channels).num_groups == groups


def test_inception_keeps_the_laws_of_models() -> None:
    model, asked = make("inception", width=0.0625), signature(299, 4)
    pixels = torch.randn(2, 3, 299, 299, generator=torch.Generator().manual_seed(0))
    check_model(model, asked, Batch({"pixel_values": pixels}, {}))
    module = model.build(asked)
    assert module.eval().features(pixels).shape == (2, 128, 8, 8)  # type: ignore[operator]


def test_the_auxiliary_head_learns_by_its_weight() -> None:
    torch.manual_seed(0)
    module = make("inception", width=0.05, auxiliary_weight=0.3, dropout=0.0).build(
        signature(299, 3)
    )
    pixels, labels = torch.randn(2, 3, 299, 299), torch.tensor([0, 2])
    output = module.train()(pixels)
    assert isinstance(output, WithAuxiliary)
    losses = with_auxiliary(output, lambda logits: cross_entropy(logits, labels))
    main, extra = (F.cross_entropy(z, labels) for z in (output.logits, output.auxiliary))
    torch.testing.assert_close(losses.mean, main + 0.3 * extra)
    assert isinstance(module.eval()(pixels), Tensor)


def test_inception_writes_the_names_of_torchvision() -> None:
    model = make("inception", width=0.05)
    names = set(model.to_hf(model.build(signature(299, 3)).state_dict()))
    known = {
        "Conv2d_1a_3x3.conv.weight", "Conv2d_4a_3x3.bn.running_var",
        "Mixed_5b.branch5x5_2.conv.weight", "Mixed_5d.branch_pool.bn.bias",
        "Mixed_6a.branch3x3.conv.weight", "Mixed_6e.branch7x7dbl_5.conv.weight",
        "Mixed_7a.branch7x7x3_4.bn.weight", "Mixed_7c.branch3x3dbl_3b.conv.weight",
        "Mixed_7b.branch3x3_2a.conv.weight", "AuxLogits.conv1.conv.weight", "AuxLogits.fc.bias",
        "fc.weight",
    }  # fmt: skip
    assert known <= names
    first = {name.split(".")[0] for name in names}
    assert len(first) == 5 + 11 + 2


@pytest.mark.parametrize(
    ("fields", "side", "says"),
    [
        ({"name": "inception"}, 224, "at least 299 x 299"),
        ({"name": "inception", "auxiliary_weight": 0}, 64, "at least 75 x 75"),
        ({"name": "resnet"}, 28, "at least 32 x 32"),
        ({"name": "cnn"}, 7, "at least 8 x 8"),
        ({"name": "vit"}, 28, "a divisor of 28 and 28"),
    ],
)
def test_images_that_do_not_go_in_are_refused(fields: dict[str, Any], side: int, says: str) -> None:
    model = Model.from_dict(fields)
    assert not model.fits(signature(side))
    with pytest.raises(RecipeError, match=says):
        model.build(signature(side))


def test_the_smallest_images_go_in() -> None:
    for fields, side in (
        ({"name": "inception", "auxiliary_weight": 0.0}, 75),
        ({"name": "resnet"}, 32),
        ({"name": "resnet", "stem": "small"}, 8),
        ({"name": "cnn", "downsample": "max"}, 8),
    ):
        with torch.device("meta"):
            module = Model.from_dict(fields).build(signature(side)).eval()
            assert module(torch.empty(2, 3, side, side)).shape == (2, 1000)


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "resnet", "depth": None},
        {"name": "resnet", "depths": [1, 2], "hidden_sizes": [8]},
        {"name": "resnet", "layer_type": "bottleneck", "depths": [1], "hidden_sizes": [6]},
        {"name": "cnn", "depths": [1]},
        {"name": "cnn", "hidden_sizes": []},
        {"name": "vit", "hidden_size": 10},
    ],
)
def test_fields_that_do_not_go_together_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(RecipeError):
        Model.from_dict(fields)


def test_a_trained_vit_refuses_another_size() -> None:
    module = make("vit", num_hidden_layers=1).build(signature(32, 3))
    with pytest.raises(CapacityError, match="another size"):
        module(torch.zeros(1, 3, 48, 32))


def test_positions_of_the_same_grid_stay_as_they_are() -> None:
    table = torch.randn(1, 1 + 12, 5)
    assert moved_positions(table, (3, 4), (3, 4)) is table
    larger = moved_positions(table, (3, 4), (6, 8))
    assert larger.shape == (1, 1 + 48, 5)
    assert torch.equal(larger[:, :1], table[:, :1])
    flat = moved_positions(torch.ones(1, 1 + 12, 5), (3, 4), (5, 7))
    torch.testing.assert_close(flat, torch.ones(1, 36, 5))


@pytest.mark.parametrize("name", ["cnn", "resnet"])
@pytest.mark.parametrize("norm", ["batch", "group"])
def test_memory_order_changes_nothing(name: str, norm: str) -> None:
    small = {"depths": [1, 1], "hidden_sizes": [8, 12], "embedding_size": 6, "norm": norm}
    pixels, found = torch.randn(2, 3, 16, 16).double(), []
    for last in (True, False):
        torch.manual_seed(0)
        module = make(name, **small, channels_last=last).build(signature(16, 3)).double().train()
        module(pixels).square().sum().backward()
        grads = [p.grad.flatten() for p in module.parameters() if p.grad is not None]
        found.append(torch.cat([module.eval()(pixels).flatten(), *grads]))
    torch.testing.assert_close(found[0], found[1])


def test_group_norm_keeps_examples_apart_even_in_training() -> None:
    torch.manual_seed(0)
    module = make("resnet", depths=[1], hidden_sizes=[8], norm="group", stem="small")
    built, pixels = module.build(signature(8, 3)).train(), torch.randn(3, 3, 8, 8)
    alone = torch.cat([built(one[None]) for one in pixels])
    torch.testing.assert_close(built(pixels), alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "small"),
    [
        ("cnn", {"hidden_sizes": [8, 12], "embedding_size": 6}),
        ("resnet", {"depths": [1, 1], "hidden_sizes": [8, 12], "stem": "small"}),
        ("vit", {"hidden_size": 12, "num_hidden_layers": 2, "patch_size": 8}),
    ],
)
def test_rates_fall_towards_the_stem(name: str, small: dict[str, Any]) -> None:
    module = make(name, **small).build(signature(16, 3))
    named = list(module.named_parameters())
    optimizer = Optimizer.from_dict({"name": "sgd", "learning_rate": 1.0}).build(named)
    decay_by_layer(optimizer, module, 0.5)
    rates = {n: g["initial_lr"] for g in optimizer.param_groups for n in g["param_names"]}
    assert len(rates) == len(named)
    stem = {id(p) for p in module.get_submodule("stem").parameters()}
    assert {rates[n] for n, p in named if id(p) in stem} == {0.125}
    assert {rates[n] for n in rates if n.startswith("blocks.0.")} == {0.25}
    assert {rates[n] for n in rates if n.startswith("blocks.1.")} == {0.5}
    assert {rates[n] for n in rates if n.startswith(("head.", "classifier.", "norm."))} == {1.0}


class Looks:
    """Endless batches of random images, the same each time."""

    def __init__(self, start: int = 0) -> None:
        self.step = start

    def __iter__(self) -> Looks:
        return self

    def __next__(self) -> list[Batch]:
        draw = torch.Generator().manual_seed(self.step)
        self.step += 1
        pixels = torch.randn(4, 3, 8, 8, generator=draw) * 3 + 1
        labels = torch.randint(0, 3, (4,), generator=draw)
        return [Batch({"pixel_values": pixels}, {"labels": labels})]


def _loss(model: torch.nn.Module, batch: Batch) -> Losses:
    return cross_entropy(model(**batch.inputs), batch.targets["labels"])


def _trained(folder: Path, stops: tuple[int, ...]) -> State:
    """Train four steps, killed and started anew after some of them."""
    plan = Plan(
        loss=_loss,
        mechanism=Mechanism.from_dict("plain"),
        schedule=Schedule.from_dict("constant"),
        budget=Budget(max_steps=4),
        ema_decay=0.9,
    )
    for stop in (*stops, 4):
        torch.manual_seed(0)
        module = make("cnn", hidden_sizes=[8], embedding_size=6).build(signature(8, 3))
        named = list(module.named_parameters())
        state = State(module, Optimizer.from_dict({"name": "adamw"}).build(named))
        checkpoints = Checkpoints(folder)
        checkpoints.load(state)
        for _ in fit(state, Looks(state.step), plan):
            if state.step == stop:
                break
        checkpoints.save(state)
    return state


def test_running_statistics_are_averaged_and_survive_a_checkpoint(tmp_path: Path) -> None:
    whole, resumed = _trained(tmp_path / "a", ()), _trained(tmp_path / "b", (1, 2))
    statistics = [name for name in averaged(whole.model) if "running" in name]
    assert len(statistics) == 6
    for one, other in zip(
        whole.model.state_dict().items(), resumed.model.state_dict().items(), strict=True
    ):
        assert one[0] == other[0]
        assert torch.equal(one[1], other[1]), one[0]
    assert whole.ema is not None
    assert resumed.ema is not None
    for name in whole.ema:
        assert torch.equal(whole.ema[name], resumed.ema[name]), name
    now = averaged(whole.model)
    for name in statistics:  # neither as at the start nor as they are now: on the way
        assert not torch.equal(whole.ema[name], now[name])
        fresh = torch.zeros_like(now[name]) if name.endswith("mean") else torch.ones_like(now[name])
        between = (whole.ema[name] - fresh) * (now[name] - whole.ema[name])
        assert (between >= 0).float().mean() > 0.5, name
    batches = whole.model.state_dict()["stem.normalization.num_batches_tracked"]
    assert int(batches) == 4


def test_lora_trains_the_blocks_of_a_vit() -> None:
    pytest.importorskip("peft")
    from luban.adapters.lora import Lora

    torch.manual_seed(0)
    module = make("vit", hidden_size=12, num_hidden_layers=2, patch_size=8).build(signature(16, 3))
    pixels = torch.randn(2, 3, 16, 16)
    before = module.eval()(pixels)
    adapter = Lora(r=2)
    adapted = adapter.apply(module)
    learns = {name for name, p in adapted.named_parameters() if p.requires_grad}
    assert {name.split(".")[0] for name in learns} == {"blocks", "classifier"}
    torch.testing.assert_close(adapted(pixels), before)
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_B" in name:
                parameter.fill_(0.3)
    moved = adapted(pixels)
    assert not torch.allclose(moved, before)
    torch.testing.assert_close(adapter.merge(adapted)(pixels), moved, atol=1e-4, rtol=1e-4)
