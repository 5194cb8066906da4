"""What tasks over recordings share: one sampling rate, log-mel features, batches by length."""

from __future__ import annotations

import math
from abc import ABC
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self, TypeAlias

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor

from luban.core.contracts import Augmentation, Example, Examples, Record, Task, View
from luban.data.files.records import unusable
from luban.data.media.audio import at_full_scale, decode
from luban.data.media.media_files import Media, media_in
from luban.data.media.mel import LogMel, Scale, filters
from luban.data.media.parallel_encoding import encode_files
from luban.data.views.augmented import Augmented
from luban.tasks.inputs.augmentations import check_augmentations
from luban.tasks.parts.exports import sounds

Array: TypeAlias = "np.ndarray[Any, Any]"

#: Added to the seed of what is changed in features: other dice than those of samples.
_OTHER_DICE = 1 << 32
_CLIPPED = 0.001  #: share of the samples at full scale from which on it is told


class SoundTask(Task, ABC):
    """A task whose records have an ``audio``, which becomes ``samples``, then log-mel features.

    Files are decoded, mixed to one channel and resampled once, when data are prepared; features
    are made whenever an example is looked at, so that augmentations can change the sound.
    """

    #: Whether the loss knows labels by shares, as mixed recordings have them.
    takes_mixes: ClassVar[bool] = False

    sampling_rate: int = Field(
        default=16_000, ge=1000, le=192_000, description="Samples a second; others are resampled."
    )
    feature_size: int = Field(default=80, ge=4, le=512, description="Bands of the features.")
    n_fft: int | None = Field(
        default=None,
        ge=16,
        le=1_048_576,
        description="Samples of a window (None: 25 milliseconds).",
    )
    hop_length: int | None = Field(
        default=None,
        ge=1,
        le=1_048_576,
        description="Samples between frames (None: 10 milliseconds).",
    )
    scale: Scale = Field(
        default="whisper",
        description=(
            "How loudness is written: as Whisper has it, or with mean 0 and deviation 1 in each "
            "band over each recording, which takes away how a room or a microphone sounds."
        ),
    )
    stride: int = Field(
        default=4, ge=1, le=8, description="Frames for each position of the model: 1, 2, 4 or 8."
    )
    max_seconds: float = Field(
        default=30.0, gt=0, le=3600, description="Longest recording that is accepted."
    )
    augmentations: tuple[Augmentation, ...] = Field(
        default=(), description="Random changes to training recordings: of samples, then features."
    )

    @model_validator(mode="after")
    def _hears(self) -> Self:
        mel = self.mel
        if self.stride not in (1, 2, 4, 8):
            raise ValueError("stride must be 1, 2, 4 or 8")
        if not filters(mel.sampling_rate, mel.n_fft, mel.bands).any(1).all():
            raise ValueError(
                f"{mel.bands} bands are too narrow for a window of {mel.n_fft} samples: "
                "lower feature_size, or raise n_fft"
            )
        changes = ("samples", "features")
        check_augmentations(self.augmentations, changes, "sound", mixes=self.takes_mixes)
        return self

    @property
    def mel(self) -> LogMel:
        """How features are made."""
        return LogMel(
            self.sampling_rate,
            self.feature_size,
            self.n_fft or round(self.sampling_rate * 0.025),
            self.hop_length or round(self.sampling_rate * 0.01),
            self.scale,
        )

    @property
    def longest(self) -> int:
        """Frames of the longest recording that is accepted, at its slowest in training."""
        samples = int(self.max_seconds * self.sampling_rate) + 1
        stretch = math.prod(augmentation.stretch for augmentation in self.augmentations)
        return int(self.mel.frames(math.ceil(samples * stretch)))

    def record_schema(self) -> dict[str, Any]:
        """Return the JSON Schema of a record without its answer."""
        audio = {"type": "string", "contentEncoding": "base64"}
        return {"type": "object", "properties": {"audio": audio}, "required": ["audio"]}

    def reading(self) -> dict[str, Any]:
        """Return how a recording becomes inputs: for programs without Luban."""
        return sounds(self.mel, self.stride, self.max_seconds)

    def recording(self, record: Record) -> Array:
        """Return the recording of a record, int16 (T,).

        Raises:
            DataError: if it has none.
            UnfitError: if it is too long or damaged.
        """
        audio: Media | Array | None = media_in(record, "audio")
        if audio is None:
            raise unusable(record, "audio", "that is a recording")
        where = str(record.get("_where", ""))
        return decode(audio, self.sampling_rate, max_seconds=self.max_seconds, where=where)

    def encode_input(self, record: Record) -> Example:
        """Return ``samples`` alone.

        Raises:
            DataError: for a record without audio.
            UnfitError: for a recording that is too long or damaged.
        """
        return {"samples": self.recording(record)}

    def clipping(self, example: Example) -> dict[str, int]:
        """Return what is noted of a recording that is clipped: that it is, and how much of it."""
        loud, samples = at_full_scale(example["samples"]), len(example["samples"])
        clipped = loud > _CLIPPED * samples
        return {
            f"recordings with more than {_CLIPPED:.1%} of samples at full scale": int(clipped),
            "samples at full scale in clipped recordings": loud * clipped,
        }

    def encode_batch(self, records: Sequence[Record]) -> list[Example]:
        """Encode many records, on all cores if their files are large."""
        return encode_files(self.encode, records)

    def view(self, store: Examples, epoch: int | None, seed: int) -> View:
        """Return the recordings; in training, those that chance made of them."""
        heard = self._augmented(store, epoch, seed)
        return heard.knowing(lengths=lambda: self.mel.frames(store.lengths("samples")))

    def _augmented(self, store: Examples, epoch: int | None, seed: int) -> View:
        if epoch is None or not self.augmentations:
            return super().view(store, epoch, seed)
        kinds = {
            kind: tuple(a for a in self.augmentations if a.changes == kind)
            for kind in ("samples", "features")
        }
        heard = Augmented(store, kinds["samples"], seed, epoch)
        if not kinds["features"]:
            return heard
        return Augmented(heard, kinds["features"], seed + _OTHER_DICE, epoch, first=self.featured)

    def featured(self, example: Example) -> Example:
        """Return an example with its ``features``, float32 (F, M), if it has none yet."""
        if "features" in example:
            return example
        return {**example, "features": self.mel(np.asarray(example["samples"]))}

    def inputs(self, examples: Sequence[Example]) -> Mapping[str, Tensor]:
        """Return what a model reads: features padded with zeros, and which of them are real."""
        rows = [self.featured(example)["features"] for example in examples]
        shape = (len(rows), max(map(len, rows)))
        features = np.zeros((*shape, self.feature_size), np.float32)
        mask = np.zeros(shape, np.int64)
        for index, row in enumerate(rows):
            features[index, : len(row)], mask[index, : len(row)] = row, 1
        return {
            "input_features": torch.from_numpy(features),
            "attention_mask": torch.from_numpy(mask),
        }

    def plot(self, axes: Any, example: Example) -> None:
        """Draw the spectrogram of an example on matplotlib axes: seconds, and kHz as mels."""
        features, mel = self.featured(example)["features"], self.mel
        frames = mel.sampling_rate / mel.hop_length  # a second
        axes.imshow(features.T, origin="lower", aspect="auto", cmap="magma")
        seconds = _round_steps(len(features) / frames)
        axes.set_xticks([second * frames for second in seconds], [f"{s:g} s" for s in seconds])
        pitches = [khz for khz in (0.5, 1, 2, 4, 8, 16) if 2000 * khz <= mel.sampling_rate]
        places = [mel.band_of(1000 * khz) for khz in pitches]
        axes.set_yticks(places, [f"{khz:g} kHz" for khz in pitches])
        axes.set_xlim(-0.5, len(features) - 0.5)
        axes.set_ylim(-0.5, mel.bands - 0.5)
        axes.tick_params(labelsize=6, length=2, pad=1)


def _round_steps(longest: float) -> list[float]:
    """Return two to five round numbers from 0 up to ``longest``."""
    step = next((s for s in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 60) if longest / s < 5), longest)
    return [step * number for number in range(int(longest / step) + 1)]
