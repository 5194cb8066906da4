"""The task of making images: noise, labels, samples, the judge, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from matplotlib.figure import Figure
from torch import Tensor, nn

from luban.core.contracts import Model, Task
from luban.core.errors import DataError, RecipeError
from luban.data.views.in_memory import InMemoryExamples
from luban.engine.saved import write_saved
from luban.inference.images import ImageMaker
from luban.tasks.answers.image_judge import Judge
from luban.tasks.image_generation import ImageGeneration, blurred
from tests.contracts.records import picture
from tests.life import done, luban

SIZE = 8


def bars(count: int, *, labels: bool = True) -> list[dict[str, Any]]:
    """Return images with a bright bar, lying or standing."""
    rng, found = np.random.default_rng(count), []
    for row in range(count):
        image = rng.integers(0, 40, (SIZE, SIZE, 1)).astype(np.uint8)
        at = int(rng.integers(1, SIZE - 1))
        image[(slice(None), at) if row % 2 else at] = 220
        record = {"image": image, "_where": f"bars:{row}"}
        found.append({**record, "label": ("lying", "standing")[row % 2]} if labels else record)
    return found


def learned(*, labels: bool = True, **fields: Any) -> ImageGeneration:
    task = Task.from_dict({"name": "image-generation", **fields}).learn(bars(20, labels=labels))
    assert isinstance(task, ImageGeneration)
    return task


def small(task: Task, name: str = "unet") -> nn.Module:
    fields: dict[str, Any] = {"name": name}
    if name == "unet":
        fields |= {"block_out_channels": [8, 16], "attention_head_dim": 8}
    else:
        fields |= {"latent_size": 4, "channels": 8}
    torch.manual_seed(0)
    return Model.from_dict(fields).build(task.signature()).eval()


def test_images_are_from_minus_one_to_one_and_noise_is_normal() -> None:
    task = learned()
    examples = [task.encode(record) for record in bars(60)]
    batch = task.collate(task.view(InMemoryExamples(examples), 0, 3)[:])
    pixels, noise = batch.inputs["pixel_values"], batch.inputs["noise"]
    assert pixels.shape == noise.shape == (60, 1, SIZE, SIZE)
    assert pixels.dtype == noise.dtype == torch.float32
    grey = np.stack([example["pixels"] for example in examples])[:, :, :, 0]
    assert torch.allclose(pixels[:, 0], torch.from_numpy(grey) / 127.5 - 1, atol=1e-6)
    assert abs(float(noise.mean())) < 0.06
    assert float(noise.std()) == pytest.approx(1, abs=0.05)
    uniform = batch.inputs["uniform"]
    assert float(uniform.min()) >= 0
    assert float(uniform.max()) < 1
    assert len(set(uniform.tolist())) == 60


def test_noise_is_a_function_of_seed_epoch_and_image() -> None:
    task = learned()
    store = InMemoryExamples([task.encode(record) for record in bars(40)])

    def noise(epoch: int | None, seed: int = 0) -> Tensor:
        return task.collate(task.view(store, epoch, seed)[:]).inputs["noise"]

    assert torch.equal(noise(1), noise(1))
    assert not torch.equal(noise(1), noise(2))
    assert not torch.equal(noise(1), noise(1, seed=5))
    assert torch.equal(noise(None), noise(None, seed=5)), "models are compared with one noise"
    assert len({row.numpy().tobytes() for row in noise(1)}) == 40


def test_some_labels_are_not_told_in_training() -> None:
    task = learned(class_dropout_prob=0.25)
    store = InMemoryExamples([task.encode(record) for record in bars(400)])
    told = task.collate(task.view(store, 0, 0)[:]).inputs["labels"]
    assert float((told == 2).float().mean()) == pytest.approx(0.25, abs=0.07)
    known = torch.arange(400) % 2
    assert torch.equal(told[told < 2], known[told < 2])
    assert torch.equal(task.collate(task.view(store, None, 0)[:]).inputs["labels"], known)
    assert int(task.encode_input({"image": bars(1)[0]["image"]})["label"]) == 2


def test_images_without_labels_are_learned_too() -> None:
    task = learned(labels=False)
    assert task.signature().outputs == 0
    example = task.encode(bars(1, labels=False)[0])
    assert "labels" not in task.collate([example]).inputs
    module = small(task)
    assert task.predict(module, task.collate([example]))[0].keys() == {"loss"}
    made = task.samples(module, 3, 0)
    assert [thing["label"] for thing in made] == [None] * 3


@pytest.mark.parametrize("name", ["unet", "vae", "gan"])
def test_samples_depend_on_the_seed_and_their_number_alone(name: str) -> None:
    task = learned(num_inference_steps=2)
    module = small(task, name)
    made = task.samples(module, 5, seed=3)
    assert [thing["label"] for thing in made] == ["lying", "standing", "lying", "standing", "lying"]
    assert all(thing["image"].shape == (SIZE, SIZE, 1) for thing in made)
    assert all(thing["image"].dtype == np.uint8 for thing in made)
    fewer = task.samples(module, 2, seed=3)
    for one, other in zip(fewer, made, strict=False):
        assert np.abs(one["image"].astype(int) - other["image"]).max() <= 1
    others = task.samples(module, 2, seed=4)
    assert not np.array_equal(others[0]["image"], made[0]["image"])


def test_what_generate_and_the_server_ask() -> None:
    task = learned(num_inference_steps=2)
    maker = task.generator(small(task))
    assert isinstance(maker, ImageMaker)
    assert maker.labels == ("lying", "standing")
    assert maker.size == (SIZE, SIZE)
    one, other = (np.concatenate(list(maker.make("lying", 3, 7))) for _ in "ab")
    assert np.array_equal(one, other)
    assert len(list(maker.make(None, 9, 7))) == 2, "batches"


def test_reconstruction_is_measured_where_the_model_has_one() -> None:
    task = learned(reconstruction=True)
    batch = task.collate([task.encode(record) for record in bars(4)])
    module = small(task, "vae")
    with torch.inference_mode():
        [first, *_] = task.predict(module, batch)
        again = module.reconstruct(batch.inputs["pixel_values"], batch.inputs["labels"])  # type: ignore[operator]
        error = (127.5 * (again - batch.inputs["pixel_values"])[0]).square().mean()
    assert first["squared_error"] == pytest.approx(float(error))
    assert [metric.label for metric in task.metrics()] == ["loss", "reconstruction-error"]
    with pytest.raises(RecipeError, match="makes no image again"):
        task.predict(small(task), batch)


def test_only_what_the_model_made_is_drawn() -> None:
    axes = Figure().subplots()
    task = learned(reconstruction=True)
    example = task.encode(bars(1)[0])
    made = np.full((SIZE, SIZE, 1), 9, np.uint8)
    assert not task.show(axes, example, {"loss": 0.5}, {})
    assert not axes.images
    assert task.show(axes, {}, {"image": made, "label": "standing"}, None)
    assert (axes.get_title(), axes.images[-1].get_size()) == ("standing", (SIZE, SIZE))
    assert task.show(axes, example, {"loss": 0.5, "image": made}, {})
    assert (axes.get_title(), axes.images[-1].get_size()) == ("lying", (SIZE, 2 * SIZE))


def test_blurring_keeps_what_is_even_and_spreads_what_is_not() -> None:
    even = np.full((5, 6, 3), 77, np.uint8)
    assert np.array_equal(blurred(even), even)
    point = np.zeros((9, 9, 1), np.uint8)
    point[4, 4] = 200
    weights = np.exp(-0.5 * np.arange(-3, 4) ** 2)
    weights /= weights.sum()
    assert np.array_equal(blurred(point)[1:8, 1:8, 0], np.rint(200 * np.outer(weights, weights)))


REFUSED: dict[str, tuple[dict[str, Any], list[dict[str, Any]], str]] = {
    "half of the labels": ({}, [*bars(2), *bars(2, labels=False)], "have no label"),
    "no records": ({}, [], "no training records"),
    "no judge": ({"judge": "nowhere"}, bars(4), "no trained judge"),
    "no image": ({}, [{"label": "a", "_where": "here:1"}], "here:1"),
}


@pytest.mark.parametrize(("fields", "records", "what"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_learned_is_said(fields: Any, records: Any, what: str) -> None:
    with pytest.raises((DataError, RecipeError), match=what):
        Task.from_dict({"name": "image-generation", **fields}).learn(records)


def test_a_judge_says_one_label(tmp_path: Path) -> None:
    listed = [{**one, "label": [one["label"]]} for one in bars(6)]
    task = Task.from_dict({"name": "image-classification"}).learn(listed)
    model = Model.from_dict({"name": "cnn", "hidden_sizes": [8]})
    write_saved(tmp_path, task, model, model.build(task.signature()))
    with pytest.raises(RecipeError, match="any number of labels"):
        Judge.load(str(tmp_path))


def test_a_judge_knows_the_labels_of_what_it_judges(tmp_path: Path) -> None:
    renamed = [{**one, "label": one["label"].upper()} for one in bars(6)]
    judging = Task.from_dict({"name": "image-classification"}).learn([*bars(6), *renamed])
    model = Model.from_dict({"name": "cnn", "hidden_sizes": [8]})
    write_saved(tmp_path, judging, model, model.build(judging.signature()))
    with_judge = {"name": "image-generation", "judge": str(tmp_path)}
    task = Task.from_dict(with_judge).learn(renamed)
    assert task.signature().labels == ("LYING", "STANDING"), "it may know more"
    others = [{**one, "label": f"a {one['label']} bar"} for one in bars(6)]
    with pytest.raises(RecipeError, match="does not know all labels") as caught:
        Task.from_dict(with_judge).learn(others)
    assert "a lying bar, a standing bar" in str(caught.value.expected)
    assert str(caught.value.got).endswith(": LYING, STANDING, lying, standing")
    assert Task.from_dict(with_judge).learn(bars(6, labels=False)), "nothing is recognised then"


@pytest.mark.parametrize(("channels", "side"), [(1, 12), (3, 20), (3, 12)])
def test_a_judge_may_see_images_of_another_form(tmp_path: Path, channels: int, side: int) -> None:
    form = {"channels": channels, "image_size": side}
    judging = Task.from_dict({"name": "image-classification", **form}).learn(bars(6))
    model = Model.from_dict({"name": "cnn", "hidden_sizes": [8]})
    write_saved(tmp_path, judging, model, model.build(judging.signature()))
    for made in (1, 3):
        task = learned(judge=str(tmp_path), channels=made, num_inference_steps=1)
        [thing] = task.samples(small(task), 1, seed=0)
        assert thing["features"].shape == (8,)
        assert thing["judged"] in ("lying", "standing")


@pytest.mark.parametrize("name", ["image-classification", "image-generation"])
@pytest.mark.parametrize("augmentation", ["gaussian-noise", "spec-augment"])
def test_images_are_not_changed_by_what_changes_sound(name: str, augmentation: str) -> None:
    with pytest.raises(RecipeError, match="does not change images"):
        Task.from_dict({"name": name, "augmentations": [augmentation]})


@pytest.mark.parametrize("augmentation", ["mixup", "cutmix"])
def test_images_to_be_made_are_not_mixed(augmentation: str) -> None:
    with pytest.raises(RecipeError, match=f"^augmentations: {augmentation} mixes examples"):
        Task.from_dict({"name": "image-generation", "augmentations": [augmentation]})
    assert Task.from_dict({"name": "image-classification", "augmentations": [augmentation]})


def test_an_image_without_label_is_refused_where_others_have_one() -> None:
    with pytest.raises(DataError, match="no label"):
        learned().encode(bars(1, labels=False)[0])
    with pytest.raises(DataError, match="does not occur"):
        learned().encode({**bars(1)[0], "label": "leaning"})


def write(folder: Path, name: str, task: dict[str, Any], model: dict[str, Any]) -> str:
    for split, start in (("train", 0), ("validation", 24), ("test", 32)):
        rows = [{"image": picture(start + i, SIZE, SIZE), "label": "ab"[i % 2]} for i in range(8)]
        path = folder / f"{split}.jsonl"
        path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    recipe = {
        "name": name,
        "data": {
            "source": {
                "name": "jsonl",
                "path": {split: f"{split}.jsonl" for split in ("train", "validation", "test")},
            },
            "max_overlap": 1.0,
        },
        "task": task,
        "model": model,
        "train": {"max_steps": 3, "batch_size": 4, "precision": "fp32", "compile": "off"},
        "evaluate": {"num_samples": 6, "bootstrap_rounds": 100},
    }
    if model["name"] == "gan":
        parts = {"generator.*": "adam", "discriminator.*": {"name": "adam", "learning_rate": 1e-4}}
        recipe["train"]["optimizer"] = {"name": "parts", "parts": parts}  # type: ignore[index]
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
    return f"{name}.yaml"


def test_a_judge_trained_here_looks_at_what_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    cnn = {"name": "cnn", "embedding_size": 4, "hidden_sizes": [8, 8]}
    done("train", write(tmp_path, "judge", {"name": "image-classification"}, cnn))
    task = {"name": "image-generation", "judge": "runs/judge"}
    gan = {"name": "gan", "latent_size": 4, "channels": 8}
    done("run", write(tmp_path, "maker", task, gan))
    claims = json.loads(Path("runs/maker/reports/evaluate.json").read_text())["claims"]
    for things in ("samples", "unseen", "blurred"):
        for metric in (
            "recognised (by judge)", "frechet-distance (features of judge)", "nearest-distance",
        ):  # fmt: skip
            assert np.isfinite(claims[f"{things}/{metric}"]["value"])
            assert claims[f"{things}/{metric}"]["n"] == 6
    assert Path("runs/maker/figures/samples.png").is_file()
    done("verify", "runs/maker")
    wrong = write(tmp_path, "wrong", {**task, "judge": "runs/maker"}, gan)
    said = luban("run", wrong)
    assert said.code == 2
    assert "no classifier of images" in said.err
