"""ResNet and ViT compute what transformers computes, in both directions."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from luban.core.contracts import Model, Signature
from luban.core.errors import RecipeError
from luban.core.files import write_json
from luban.models.resnet import ResNet
from luban.models.vit import ViT

SIZE = (48, 32)
SIGNATURES = Signature(
    "pixels", 3, 3, produces="label", size=SIZE, labels=("a", "b", "c"),
    problem="single_label_classification",
)  # fmt: skip
_SHAPE = {"depths": [1, 2], "hidden_sizes": [16, 24], "embedding_size": 12}
_VIT = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
_VIT |= {"intermediate_size": 40, "patch_size": 8}
OURS: dict[str, dict[str, Any]] = {
    "basic": {"name": "resnet", **_SHAPE, "layer_type": "basic"},
    "bottleneck": {"name": "resnet", **_SHAPE, "layer_type": "bottleneck"},
    "strided": {
        "name": "resnet", **_SHAPE, "layer_type": "bottleneck", "hidden_act": "silu",
        "downsample_in_bottleneck": True, "downsample_in_first_stage": True,
    },
    "vit": {"name": "vit", **_VIT},
    "vit-gelu-new": {"name": "vit", **_VIT, "hidden_act": "gelu_new"},
}  # fmt: skip
CASES = list(OURS)
DEPTHS: tuple[Literal[18, 34, 50, 101, 152], ...] = (18, 34, 50, 101, 152)


def pixels(*size: int) -> Tensor:
    return torch.randn(2, 3, *(size or SIZE), generator=torch.Generator().manual_seed(3))


def randomise(module: torch.nn.Module) -> None:
    """Fresh biases are zero and fresh norms one: parity must not rest on that."""
    with torch.no_grad():
        for name, tensor in module.state_dict().items():
            if name.endswith("running_var"):
                tensor.add_(torch.rand_like(tensor))
            elif tensor.is_floating_point():
                tensor.add_(torch.randn_like(tensor) * 0.1)


def save(
    model: Model, module: torch.nn.Module, folder: Path, signature: Signature = SIGNATURES
) -> None:
    folder.mkdir(exist_ok=True)
    write_json(folder / "config.json", model.hf_config(signature))
    tensors = {k: v.contiguous() for k, v in model.to_hf(module.state_dict()).items()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def class_of(case: str) -> str:
    return f"{'ViT' if case.startswith('vit') else 'ResNet'}ForImageClassification"


def load_in_transformers(folder: Path, case: str) -> Any:
    import transformers

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = getattr(transformers, class_of(case))
        hf, info = found.from_pretrained(folder, output_loading_info=True, dtype=torch.float32)
    for key in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        assert not info[key], (key, info[key])
    return hf.eval()


def fresh_hf(case: str, **more: Any) -> Any:
    import transformers

    fields = {key: value for key, value in OURS[case].items() if key != "name"} | more
    vit = case.startswith("vit")
    if vit:
        fields = {"image_size": list(SIZE), **fields}
    kind: Any = transformers.ViTConfig if vit else transformers.ResNetConfig
    config = kind(**fields)
    config.num_labels = 3
    torch.manual_seed(1)
    hf = getattr(transformers, class_of(case))(config)
    randomise(hf)
    return hf.eval()


def pretrained(case: str, folder: Path) -> Model:
    return Model.from_dict({"name": OURS[case]["name"], "pretrained": str(folder)}).resolve()


@torch.no_grad()
def assert_equal(ours: torch.nn.Module, hf: Any) -> None:
    expected = hf(pixels()).logits
    torch.testing.assert_close(ours(pixels()), expected, atol=1e-4, rtol=0)
    assert expected.std() > 1e-2


@pytest.mark.parametrize("case", CASES)
def test_transformers_reads_what_we_write(
    case: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    torch.manual_seed(0)
    model = Model.from_dict(OURS[case])
    module = model.build(SIGNATURES).eval()
    randomise(module)
    save(model, module, tmp_path)
    with caplog.at_level("WARNING"):
        hf = load_in_transformers(tmp_path, case)
    assert not caplog.records
    assert_equal(module, hf)
    assert hf.config.id2label == {0: "a", 1: "b", 2: "c"}


@pytest.mark.parametrize("case", CASES)
def test_we_read_what_transformers_writes(case: str, tmp_path: Path) -> None:
    hf = fresh_hf(case)
    hf.save_pretrained(tmp_path, max_shard_size="4KB")
    assert (tmp_path / "model.safetensors.index.json").is_file()
    model = pretrained(case, tmp_path)
    module = model.build(SIGNATURES)
    assert model.start(module) == ()
    assert_equal(module.eval(), hf)
    assert model.resolve() == model
    save(model, module, tmp_path / "again")
    assert_equal(module, load_in_transformers(tmp_path / "again", case))


@pytest.mark.parametrize("case", ["basic", "vit"])
def test_a_bare_body_starts_a_new_head(case: str, tmp_path: Path) -> None:
    hf = fresh_hf(case)
    getattr(hf, hf.base_model_prefix).save_pretrained(tmp_path)
    model = pretrained(case, tmp_path)
    signature = Signature("pixels", 3, 7, produces="label", size=SIZE)
    module = model.build(signature)
    head = "classifier" if case == "vit" else "head"
    assert set(model.start(module)) == {f"{head}.weight", f"{head}.bias"}
    with torch.no_grad():
        expected = getattr(hf, hf.base_model_prefix)(pixels()).last_hidden_state
        found = module.eval().features(pixels())  # type: ignore[operator]
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("case", ["basic", "vit"])
def test_other_classes_get_a_new_head(case: str, tmp_path: Path) -> None:
    fresh_hf(case).save_pretrained(tmp_path)
    model = pretrained(case, tmp_path)
    fresh = model.start(model.build(Signature("pixels", 3, 7, produces="label", size=SIZE)))
    assert {name.rpartition(".")[2] for name in fresh} == {"weight", "bias"}
    with pytest.raises(RecipeError, match="do not fit"):  # nor do filters of other channels
        model.start(model.build(Signature("pixels", 1, 3, produces="label", size=SIZE)))


def test_positions_of_another_size_are_interpolated_as_in_transformers(tmp_path: Path) -> None:
    hf = fresh_hf("vit", image_size=32)
    hf.save_pretrained(tmp_path)
    model = pretrained("vit", tmp_path)
    signature = Signature("pixels", 3, 3, produces="label", size=(64, 40))
    module = model.build(signature)
    assert model.start(module) == ()
    with torch.no_grad():
        expected = hf(pixels(64, 40), interpolate_pos_encoding=True).logits
        torch.testing.assert_close(module.eval()(pixels(64, 40)), expected, atol=1e-4, rtol=0)
    save(model, module, tmp_path / "again", signature)
    with torch.no_grad():
        again = load_in_transformers(tmp_path / "again", "vit")(pixels(64, 40)).logits
    torch.testing.assert_close(again, expected, atol=1e-4, rtol=0)


def test_fields_that_contradict_the_directory_are_refused(tmp_path: Path) -> None:
    fresh_hf("basic").save_pretrained(tmp_path / "resnet")
    fresh_hf("vit").save_pretrained(tmp_path / "vit")
    with pytest.raises(RecipeError, match="depth contradicts"):
        ResNet(depth=50, pretrained=str(tmp_path / "resnet")).resolve()
    with pytest.raises(RecipeError, match="patch_size contradicts"):
        ViT(patch_size=16, pretrained=str(tmp_path / "vit")).resolve()
    with pytest.raises(RecipeError, match="does not have this architecture"):
        ResNet(pretrained=str(tmp_path / "vit")).resolve()
    with pytest.raises(RecipeError, match="does not have model_type 'resnet'"):
        ViT(pretrained=str(tmp_path / "resnet")).resolve()


def test_what_transformers_has_no_class_for_says_so_and_starts_others_here(tmp_path: Path) -> None:
    model = ResNet.from_dict({**OURS["basic"], "stem": "small", "norm": "group"})
    torch.manual_seed(0)
    module = model.build(SIGNATURES).eval()
    randomise(module)
    save(model, module, tmp_path)
    config = model.hf_config(SIGNATURES)
    assert config["model_type"] == "luban-resnet"
    assert "architectures" not in config
    again = ResNet(pretrained=str(tmp_path)).resolve()
    twin = again.build(SIGNATURES)
    assert again.start(twin) == ()
    with torch.no_grad():
        assert torch.equal(twin.eval()(pixels()), module(pixels()))


def test_a_published_depth_is_recognised(tmp_path: Path) -> None:
    for depth in DEPTHS:
        write_json(tmp_path / "config.json", ResNet(depth=depth).hf_config(SIGNATURES))
        assert ResNet(pretrained=str(tmp_path)).resolve().depth == depth
