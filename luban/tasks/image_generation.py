"""Make images like those of the training data: of a class, or of anything.

Shapes: B images, C channels, H height, W width.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from itertools import count
from pathlib import Path
from typing import Any, ClassVar, Self, TypeAlias

import numpy as np
import torch
from pydantic import Field, PrivateAttr
from torch import Tensor, nn

from luban.core.batch import Batch, Losses
from luban.core.contracts import (
    Example,
    Examples,
    Generative,
    Illustrated,
    Metric,
    Product,
    Record,
    Signature,
    View,
)
from luban.core.errors import DataError, RecipeError
from luban.core.files import write_json
from luban.core.progress import doing, report, tracked
from luban.data.checks.set_apart import made_of
from luban.data.media.preprocessor import Sample
from luban.data.views.noise import Noised, content_key, noise_of
from luban.inference.images import ImageMaker, Sampler
from luban.metrics.frechet_distance import FrechetDistance
from luban.metrics.mean_loss import MeanLoss
from luban.metrics.nearest_distance import NearestDistance
from luban.metrics.recognition import Recognition
from luban.metrics.reconstruction_error import ReconstructionError
from luban.tasks.answers.image_judge import Judge
from luban.tasks.answers.labels import Labels, label_of
from luban.tasks.inputs.images import SAMPLE, ImageTask, image_of
from luban.tasks.parts.exports import meaning
from luban.tasks.parts.learned_files import read_learned

Array: TypeAlias = "np.ndarray[Any, Any]"

_FILE = "labels.json"
_FEW = 0.1  #: share of records without label that are set apart, where the others have one
_MIDDLE = 0.5  #: mean and standard deviation that bring 0 to 1 to -1 to 1
_SAMPLED = "making an image takes many steps of the model"
_BATCH = 100  #: images drawn at once
_REAL = 10_000  #: training images whose features stand for all


class ImageGeneration(ImageTask, Generative, Illustrated):
    """Learn a distribution of images, and draw from it.

    If the training records have a ``label``, images are made of a label. The model gives the loss
    itself, of images in [-1, 1], noise, a number in [0, 1) and labels; it makes images of noise
    and labels. All noise is a function of (seed, epoch, image), and of the image alone where
    models are compared.
    """

    outside: ClassVar[tuple[str, ...]] = ("judge",)

    class_dropout_prob: float = Field(
        default=0.1,
        ge=0,
        lt=1,
        description="Share of training images whose label is not told: what guidance needs.",
    )
    num_inference_steps: int = Field(
        default=50,
        ge=1,
        le=1_000_000,
        description="Steps of making an image, for models that have steps.",
    )
    guidance_scale: float = Field(
        default=1.0, ge=0, description="1: as learned; more: clearer, and more alike."
    )
    judge: str | None = Field(
        default=None,
        description=(
            "A run of image-classification on like images, or its model/ directory: samples are "
            "measured in its features, and by whether it recognises them."
        ),
    )
    reconstruction: bool = Field(
        default=False, description="Measure how well the model makes images again (vae)."
    )
    _labels: Labels = PrivateAttr(default_factory=Labels)

    def learn(self, records: Iterable[Record]) -> Self:
        """Return this task with the labels, if there are any, and what the images share.

        Raises:
            DataError: for a record without image; if only some have a label.
            RecipeError: if the judge is none, or does not know the labels.
        """
        judge = Judge.load(self.judge) if self.judge else None  # told now, not after training
        answers: Counter[Any] = Counter()
        sample = Sample(SAMPLE)
        for image, label in made_of(records, lambda r: (image_of(r), label_of(r.get("label")))):
            sample.see(image)
            answers[label] += 1
        if 0 < answers[None] <= _FEW * answers.total():  # encoding sets them apart
            del answers[None]
        if not answers:
            raise DataError("there are no training records to learn from.")
        if None in answers and len(answers) > 1:
            raise DataError(
                f"{answers[None]:,} of {answers.total():,} training records have no label.",
                where="label",
                fix="give every record a label, or none.",
            )
        task = self.learn_image_traits(sample.kept)
        middle = (_MIDDLE,) * task._look.channels
        task._look = replace(task._look, mean=middle, std=middle)
        task._labels = Labels.of(answers) if len(answers) > 1 else Labels()
        if judge is not None:
            judge.check_knows(task._labels.names)
        return task

    def save(self, folder: Path) -> None:
        """Write size and labels."""
        super().save(folder)
        write_json(folder / _FILE, asdict(self._labels))

    def load(self, folder: Path) -> Self:
        """Return this task with what ``save`` wrote."""
        task = super().load(folder)
        names, counts, examples = read_learned(folder / _FILE, "names", "counts", "examples")
        task._labels = Labels(tuple(names), counts=tuple(counts), examples=examples)
        return task

    def signature(self) -> Signature:
        """Return channels, size and labels."""
        names = self._labels.names
        return Signature(
            accepts="pixels",
            inputs=self._look.channels,
            outputs=len(names),
            produces="image",
            labels=names,
            size=self._look.size,
        )

    def encode(self, record: Record) -> Example:
        """Return ``pixels``, what their noise is drawn from, and the number of the ``label``.

        Raises:
            DataError: for a record without image or label.
            UnreadableError: for a damaged image.
        """
        example = self.encode_input(record)
        if not self._labels.names:
            return example
        name = label_of(record.get("label"))
        if name is None:
            raise DataError("this record has no label.", where=record.get("_where", ""))
        return {**example, "label": self._labels.encode(name, record)}

    def encode_input(self, record: Record) -> Example:
        """Return the same with no label.

        Raises:
            DataError: for a record without image.
            UnreadableError: for a damaged image.
        """
        pixels = self.pixels(record)
        example = {"pixels": pixels, "noise_key": content_key(pixels)}
        if not self._labels.names:
            return example
        return {**example, "label": np.asarray(len(self._labels.names), np.int32)}

    def view(self, store: Examples, epoch: int | None, seed: int) -> View:
        """Return the images; in training augmented, with fresh noise, some without label."""
        images = super().view(store, epoch, seed)
        if epoch is not None:
            unknown = len(self._labels.names)
            images = Noised(images, seed, epoch, self.class_dropout_prob, unknown)
        if not self._labels.names:
            return images
        return images.knowing(groups=lambda: np.asarray(store.flat("label")))

    def collate(self, examples: Sequence[Example]) -> Batch:
        """Stack images in [-1, 1], noise, a number in [0, 1) and labels for each."""
        pixels = self.pixel_values(examples)
        drawn = [noise_of(example["noise_key"], pixels.shape[1:]) for example in examples]
        inputs = {
            "pixel_values": pixels,
            "noise": torch.from_numpy(np.stack([noise for noise, _ in drawn])),
            "uniform": torch.tensor([uniform for _, uniform in drawn], dtype=torch.float32),
        }
        if self._labels.names:
            numbers = [int(example["label"]) for example in examples]
            inputs["labels"] = torch.tensor(numbers, dtype=torch.int64)
        return Batch(inputs, {})

    def loss(self, model: nn.Module, batch: Batch) -> Losses:
        """Return the loss of each image, as the model gives it."""
        sums = model(**batch.inputs)
        return Losses(sums, torch.ones_like(sums))

    def predict(self, model: nn.Module, batch: Batch) -> list[Any]:
        """Return ``{"loss"}``; and ``squared_error`` and the ``image`` made again, if asked for.

        Raises:
            RecipeError: if the model makes no image again.
        """
        said: list[Any] = [{"loss": loss} for loss in model(**batch.inputs).tolist()]
        if not self.reconstruction:
            return said
        reconstruct: Any = getattr(model, "reconstruct", None)
        if reconstruct is None:
            raise RecipeError(
                "this model makes no image again.",
                where="task.reconstruction",
                fix="remove it, or use the model vae.",
            )
        images = batch.inputs["pixel_values"]
        again = reconstruct(images, batch.inputs.get("labels"))
        errors = (127.5 * (again - images)).square().flatten(1).mean(1).tolist()
        for one, error, image in zip(said, errors, _to_bytes(again), strict=True):
            one |= {"squared_error": error, "image": image}
        return said

    def target(self, example: Example) -> Any:
        """Return nothing: there is no right image."""
        return {}

    def metrics(self) -> tuple[Metric, ...]:
        """Return the loss, and the error of images made again."""
        return (MeanLoss(), ReconstructionError()) if self.reconstruction else (MeanLoss(),)

    def generator(self, model: nn.Module) -> ImageMaker:
        """Return what makes images of a label; without one, of labels by chance."""
        names = self._labels.names

        def draw(label: str | None, count: int, seed: int) -> list[Array]:
            chance = np.random.default_rng(seed).integers(max(1, len(names)), size=count)
            numbers = chance if label is None else np.full(count, names.index(label))
            return self._made(model, numbers, seed)

        return ImageMaker(names, self._look.size, draw)

    def exported(self, model: nn.Module, batch: Batch) -> Product:
        """Return what makes images: nobody outside has a use for the loss."""
        steps, guidance = self.num_inference_steps, self.guidance_scale
        size = (self._look.channels, *self._look.size)
        names = ("noise", "labels") if self._labels.names else ("noise",)
        inputs = Batch({name: batch.inputs[name] for name in names}, {})
        what = (
            f"It makes images in [-1, 1] of {' and '.join(names)}, with the task's "
            f"`num_inference_steps` ({steps}) and `guidance_scale` ({guidance:g})."
        )
        labels = list(self._labels.names)
        read = {
            "noise": "standard normal, float32",
            "labels": labels or None,
            "label_rule": "the place of the label in the list; as many as there are: of anything",
        }
        made = {"rule": "round((clip(image, -1, 1) + 1) * 127.5) to whole numbers, 0 to 255"}
        program = Sampler(model, size, steps, guidance)
        said = meaning(self.name, read, made)
        return Product(program, inputs, ("images",), said, beyond=_SAMPLED, note=what)

    def samples(self, model: nn.Module, count: int, seed: int) -> list[Any]:
        """Return images, each label in turn: ``{"image": uint8 (H, W, C), "label"}``.

        With a judge, also the label it sees (``judged``) and ``features``.
        """
        numbers = np.arange(count) % max(1, len(self._labels.names))
        return self._judged(self._made(model, numbers, seed), numbers)

    def references(self, held_out: Examples, count: int, seed: int) -> list[Any]:
        """Return real, unseen images in the form of ``samples``."""
        return self._judged(*self._real(held_out, count, seed))

    def sample_baselines(
        self, held_out: Examples, count: int, seed: int
    ) -> Mapping[str, list[Any]]:
        """Return the same real, unseen images, blurred by a Gaussian of one pixel."""
        images, numbers = self._real(held_out, count, seed)
        return {"blurred": self._judged([blurred(image) for image in images], numbers)}

    def sample_metrics(self, train: Examples) -> tuple[Metric, ...]:
        """Return what a judge says, and how near samples come to training images."""
        preprocessor = self._look
        images = train.flat("pixels").reshape(len(train), *preprocessor.size, preprocessor.channels)
        nearest = NearestDistance().against(images)
        if self.judge is None:
            return (nearest,)
        judge = Judge.load(self.judge)
        chosen = np.random.default_rng(0).permutation(len(train))[:_REAL]
        features, _ = judge.examine([np.asarray(images[i]) for i in np.sort(chosen)])
        distance = FrechetDistance(of=judge.name).against(features)
        seen = (Recognition(by=judge.name),) if self._labels.names else ()
        return (*seen, distance, nearest)

    def show(self, axes: Any, example: Example, prediction: Any, target: Any) -> bool:
        """Draw an image that was made under its label; one made again, beside the original."""
        made, label = prediction.get("image"), prediction.get("label")
        if made is None:  # only the loss of a real image: nothing of it is the model's work
            return False
        image = np.concatenate([example["pixels"], made], 1) if "pixels" in example else made
        grey = image.shape[2] == 1
        axes.imshow(image[:, :, 0] if grey else image, cmap="gray" if grey else None)
        if "label" in example and int(example["label"]) < len(self._labels.names):
            label = self._labels.names[int(example["label"])]
        axes.set_title(label or "", fontsize=9)
        return True

    @torch.inference_mode()
    def _made(self, model: nn.Module, numbers: Array, seed: int) -> list[Array]:
        """Return an image for each label number; the n-th depends on (seed, n) and its label."""
        device = next(model.parameters()).device
        shape = (self._look.channels, *self._look.size)
        images: list[Array] = []
        for at in tracked(range(0, len(numbers), _BATCH), "draw"):
            some = numbers[at : at + _BATCH]
            drawn = [noise_of(np.array([seed, at + i]), shape)[0] for i in range(len(some))]
            labels = torch.from_numpy(np.asarray(some, np.int64)).to(device)
            with _steps_told(model, self.num_inference_steps):
                made: Tensor = model.sample(  # type: ignore[operator]
                    torch.from_numpy(np.stack(drawn)).to(device),
                    labels if self._labels.names else None,
                    steps=self.num_inference_steps,
                    guidance=self.guidance_scale,
                )
            images += _to_bytes(made)
        return images

    def _real(self, held_out: Examples, count: int, seed: int) -> tuple[list[Array], Array]:
        order = np.random.default_rng(seed).permutation(len(held_out))[:count]
        examples = [held_out[int(i)] for i in order]
        numbers = np.array([int(example.get("label", 0)) for example in examples])
        return [np.asarray(example["pixels"]) for example in examples], numbers

    def _judged(self, images: Sequence[Array], numbers: Array) -> list[Any]:
        names = self._labels.names or (None,)
        things: list[Any] = [
            {"image": image, "label": names[int(n)]}
            for image, n in zip(images, numbers, strict=True)
        ]
        if self.judge is not None and things:
            features, judged = Judge.load(self.judge).examine(images)
            for thing, row, label in zip(things, features, judged, strict=True):
                thing |= {"features": row, "judged": label}
        return things


def _to_bytes(images: Tensor) -> list[Array]:
    """Return images (B, C, H, W) in [-1, 1] as uint8 (H, W, C) each."""
    scaled = (images.float().clamp(-1, 1) + 1) * 127.5
    array: Array = scaled.round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
    return list(array)


def blurred(image: Array) -> Array:
    """Return uint8 (H, W, C) blurred by a Gaussian of one pixel; edges are repeated."""
    weights = np.exp(-0.5 * np.arange(-3, 4) ** 2)
    weights /= weights.sum()
    found = image.astype(np.float64)
    for axis in (0, 1):
        wide = np.pad(found, [(3, 3) if axis == a else (0, 0) for a in range(3)], mode="edge")
        size = image.shape[axis]
        found = sum(w * wide.take(range(i, i + size), axis) for i, w in enumerate(weights))
    return np.rint(found).astype(np.uint8)


@contextmanager
def _steps_told(model: nn.Module, steps: int) -> Iterator[None]:
    """Report how often the network of a diffusion has been asked, if the model has one."""
    network, done = getattr(model, "network", None), count(1)
    if not isinstance(network, nn.Module):
        yield
        return
    hook = network.register_forward_hook(lambda *_: report("steps", next(done), steps))
    try:
        with doing("steps"):
            yield
    finally:
        hook.remove()
