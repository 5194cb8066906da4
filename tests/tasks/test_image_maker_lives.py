"""What makes images, killed and resumed with an optimizer for each network; and exported."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from luban.core.contracts import Generative
from luban.data.views.noise import noise_of
from luban.engine.saved import load_saved
from luban.stages.training import loop
from tests.exporters.test_exporters import reload_program
from tests.life import done, lines_of, luban
from tests.tasks.test_image_generation import write

MODELS: dict[str, dict[str, Any]] = {
    "gan": {"latent_size": 4, "channels": 8},
    "vae": {"latent_size": 4, "channels": 8},
    "unet": {"block_out_channels": [8], "layers_per_block": 1, "attention_head_dim": 8},
}
STEPS = 3


def write_maker(folder: Path, name: str) -> str:
    task = {"name": "image-generation", "num_inference_steps": STEPS, "guidance_scale": 2.0}
    return write(folder, name, task, {"name": name, **MODELS[name]})


def test_a_killed_gan_goes_on_as_if_it_had_not_been(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = write_maker(here, "gan")
    often = ["train.max_steps=7", "train.save_steps=2", "train.logging_steps=1"]
    often += ["train.ema_decay=0.9", "train.max_grad_norm=0.0"]
    done("train", recipe, *often, "name=whole")
    after = loop.after_step

    def killed(training: Any, step: Any) -> None:
        if step.index == 5:
            raise KeyboardInterrupt
        after(training, step)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "after_step", killed)
        assert luban("train", recipe, *often, "name=again").code == 130
    assert (here / "runs/again/checkpoint-4").is_dir()
    done("train", recipe, *often, "name=again")
    one, other = (here / "runs" / name for name in ("whole", "again"))
    assert lines_of(one) == lines_of(other)
    for file in ("model/model.safetensors", "checkpoint-7/optimizer.safetensors"):
        assert (one / file).read_bytes() == (other / file).read_bytes()


@pytest.mark.parametrize("name", MODELS)
def test_the_exported_program_makes_the_models_images(name: str, here: Path) -> None:
    done("train", write_maker(here, name))
    said = done("export", f"runs/{name}", "--json").json["export"]
    assert said["claims"]["torch-export/free axes"]["value"] == "noise[0], labels[0]"
    assert "images in [-1, 1] of noise and labels" in " ".join(said["details"]["text"])
    task, _, module = load_saved(here / "runs" / name / "model")
    noise = np.stack([noise_of(np.array([5, i]), (3, 8, 8))[0] for i in range(3)])
    inputs = {"noise": torch.from_numpy(noise), "labels": torch.tensor([0, 1, 0])}
    images = reload_program(here / "runs" / name / "export/torch-export", inputs)
    assert isinstance(task, Generative)
    made = ((images.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
    for image, sample in zip(made, task.samples(module.eval(), 3, seed=5), strict=True):
        assert np.abs(image.astype(int) - sample["image"]).max() <= 1
