"""What tasks say to programs without Luban: the parts of ``inference.json``, and small programs.

Plain data, in the words of Hugging Face where it has some. ``docs/how-to/export.md`` explains
the file, and the programs in ``tests/exports/`` read it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from luban.core.batch import Batch
from luban.core.contracts import Product
from luban.core.unicode_text import CHARACTERS, PARTS, UNSPACED
from luban.data.media.images import PADDING
from luban.data.media.mel import FLOOR, LogMel, filters
from luban.data.text.document_pieces import begins_as_it_goes_on
from luban.data.text.tagging import Scheme, forbidden
from luban.inference.ctc import Search
from luban.nn.detection import decoded

if TYPE_CHECKING:
    import numpy as np

    from luban.core.contracts import Tokenizer
    from luban.data.media.preprocessor import Preprocessor

#: The name of the file of the mel filters, without ``.npy``.
FILTERS = "mel_filters"


class Spans(nn.Module):
    """A model of spans whose two outputs are apart, as transformers has them."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return logits of where an answer begins and of where it ends, (B, T) each."""
        logits: Tensor = self.model(
            input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids
        )
        return logits[..., 0], logits[..., 1]


class Mirrored(nn.Module):
    """A classifier of images that also looks at their mirror images."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixel_values: Tensor) -> Tensor:
        """Return the mean of both logits, (B, C)."""
        mirrored = self.model(pixel_values=pixel_values.flip(-1))
        logits: Tensor = (self.model(pixel_values=pixel_values) + mirrored) / 2
        return logits


class Rescaled(nn.Module):
    """A model of texts whose outputs are rescaled: where its last layer cannot do it."""

    def __init__(self, model: nn.Module, scale: float, shift: float) -> None:
        super().__init__()
        self.model, self.scale, self.shift = model, scale, shift

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
    ) -> Tensor:
        """Return scale times the outputs, plus shift."""
        given = {"attention_mask": attention_mask, "token_type_ids": token_type_ids}
        more = {name: tensor for name, tensor in given.items() if tensor is not None}
        found: Tensor = self.model(input_ids=input_ids, **more)
        return found * self.scale + self.shift


class Detector(nn.Module):
    """A detector that gives boxes and scores instead of distances and logits."""

    def __init__(self, model: nn.Module, size: tuple[int, int], places: Tensor) -> None:
        super().__init__()
        self.model, self.size = model, size
        self.register_buffer("places", places, persistent=False)

    def forward(self, pixel_values: Tensor) -> tuple[Tensor, Tensor]:
        """Return boxes (B, P, 4) in pixels of what the model sees, and scores (B, P, C)."""
        height, width = pixel_values.shape[-2:]
        if (height, width) != self.size:  # tracing then knows that places fit one size only
            raise ValueError(f"images must be {self.size}, not {(height, width)}")
        return decoded(self.model(pixel_values=pixel_values), self.places)  # type: ignore[arg-type]


def tokens(tokenizer: Tokenizer, max_length: int | None = None) -> dict[str, Any]:
    """Return how a text becomes ``input_ids``."""
    ids = {
        "pad_token_id": tokenizer.pad,
        "eos_token_id": tokenizer.end,
        "cls_token_id": tokenizer.special("start"),
        "sep_token_id": tokenizer.special("separator"),
        "mask_token_id": tokenizer.special("mask"),
    }
    found = {name: number for name, number in ids.items() if number is not None}
    longest = {} if max_length is None else {"max_length": max_length}
    return {"tokenizer": "tokenizer.json", **longest, **found, "padding_side": "right"}


def tagger(task: Any, model: nn.Module, batch: Batch, chain: Any) -> Product:
    """Return what exporters write of a task that tags words.

    Args:
        task: It has a tokenizer, ``units``, ``max_length``, ``labels`` and a ``scheme``.
        model: The trained module.
        batch: Some examples.
        chain: The learned scores of neighbours (a ``CRF``), if there are any.
    """
    parted = words(task.tokenizer, characters=task.units == "characters")
    read = {**parted, **tokens(task.tokenizer, task.max_length)}
    said = meaning(task.name, read, tags(task.labels, task.scheme, chain))
    beyond = "" if chain is None else "transformers does not know the transition scores of a CRF"
    return Product(model, Batch(dict(batch.inputs), {}), meaning=said, beyond=beyond)


def asker(task: Any, model: nn.Module, batch: Batch, threshold: float | None) -> Product:
    """Return what exporters write of a task that answers questions by spans of a context.

    Args:
        task: It has a tokenizer, and the lengths of questions, windows and answers.
        model: The trained module.
        batch: Some examples.
        threshold: Beyond it there is no answer; None: there always is one.
    """
    lengths = {name: getattr(task, name) for name in ("max_question_length", "doc_stride")}
    read = {**windows(), **tokens(task.tokenizer, task.max_length), **lengths}
    said = meaning(task.name, read, spans(task.max_answer_length, threshold))
    inputs = {name: tensor.reshape(-1, tensor.shape[-1]) for name, tensor in batch.inputs.items()}
    return Product(Spans(model), Batch(inputs, {}), ("start_logits", "end_logits"), said)


def words(tokenizer: Tokenizer, *, characters: bool) -> dict[str, Any]:
    """Return how a text becomes words, and words become tokens."""
    return {
        "fields": ["tokens", "text"],
        "words": CHARACTERS if characters else PARTS,
        "words_rule": "the matches of the pattern in a text; tokens are words as they are, joined "
        "by blanks but where one side is a character of unspaced",
        "unspaced": UNSPACED,
        "blank_before_words": begins_as_it_goes_on(tokenizer),
        "ids_rule": "what the tokenizer gives for the whole text, cut at max_length. A word is "
        "read at the first token that reaches beyond its start, or at the next one, if that token "
        "begins within the word before. Where the next one begins beyond the word, the words are "
        "encoded one by one instead (with the blank before them, if blank_before_words), and read "
        "at their first token that is no blank",
    }


def tags(labels: Sequence[str], scheme: Scheme, chain: Any) -> dict[str, Any]:
    """Return how logits become tags and entities.

    Args:
        labels: In the order of the outputs.
        scheme: What tags must be valid in.
        chain: The learned scores of neighbours (a ``CRF``), if there are any.
    """
    names = ("start_transitions", "transitions", "end_transitions")
    tables = zip(("may_start", "may_follow", "may_end"), forbidden(labels, scheme), strict=True)
    return {
        "labels": list(labels),
        "scheme": scheme,
        **{name: (~table).tolist() for name, table in tables},
        **({} if chain is None else {name: getattr(chain, name).tolist() for name in names}),
        "rule": "the best sequence of tags that is allowed (Viterbi), by log-softmax of the "
        "logits, or by logits and transitions where there are some; the score of an entity is the "
        "mean probability of its tags (with transitions: their marginals)",
    }


def continuations() -> dict[str, Any]:
    """Return what the logits of a language model say."""
    return {
        "rule": "log-softmax of the logits: of the token after each position; the tokens decoded, "
        "without special tokens and without U+FFFD at the end: a character that was cut off"
    }


def windows() -> dict[str, Any]:
    """Return how a question and its context become windows."""
    return {
        "fields": ["question", "context"],
        "rule": "what the tokenizer gives for the pair of question (its first max_question_length "
        "tokens) and context, truncation only_second with stride doc_stride: a window each",
    }


def spans(longest: int, threshold: float | None) -> dict[str, Any]:
    """Return how logits become an answer; without a threshold there always is one."""
    return {
        "max_answer_length": longest,
        "no_answer_threshold": threshold,
        "rule": "an answer begins at a context token, in the window that shows most around it, "
        "and ends less than max_answer_length tokens later; its score is the softmax of start + "
        "end over all of these and over the least start + end of a window's first position, which "
        "stands for no answer; beyond the threshold there is none",
    }


def images(preprocessor: Preprocessor) -> dict[str, Any]:
    """Return how an image file becomes ``pixel_values``."""
    how = {
        "crop": "resize until height and width are covered, size / crop_pct at least, then cut "
        "out the middle",
        "stretch": "resize to size / crop_pct, then cut out the middle",
        "pad": "resize until height and width hold the image, lay it into the middle (what is "
        "odd goes right and down), fill the rest with pad_value",
    }
    return {
        "fields": ["image"],
        "channels": "RGB" if preprocessor.channels == 3 else "L",
        "orientation": "apply the EXIF orientation; lay what is transparent over white",
        "height": preprocessor.size[0],
        "width": preprocessor.size[1],
        "resize": preprocessor.resize,
        "resize_rule": how[preprocessor.resize],
        "crop_pct": preprocessor.crop_pct,
        "pad_value": PADDING,
        "resample": preprocessor.resample,
        "rescale_factor": 1 / 255,
        "image_mean": list(preprocessor.mean),
        "image_std": list(preprocessor.std),
        "layout": "batch, channels, height, width; float32",
    }


def sounds(mel: LogMel, stride: int, max_seconds: float) -> dict[str, Any]:
    """Return how a recording becomes ``input_features``."""
    scale = {
        "whisper": "x = log10(max(power, floor)); x = (max(x, max of the recording - 8) + 4) / 4",
        "standard": "x = ln(max(power, floor)); x = (x - mean) / max(std, 0.001), of each band "
        "over the recording",
    }
    return {
        "fields": ["audio"],
        "sampling_rate": mel.sampling_rate,
        "channels": "the mean of all channels",
        "resampling": "soxr, quality HQ",
        "samples": "rounded to 16 bits, then divided by 32768",
        "max_seconds": max_seconds,
        "n_fft": mel.n_fft,
        "hop_length": mel.hop_length,
        "window": "hann, periodic, of n_fft samples",
        "centre": "n_fft // 2 zeros before the recording, n_fft - n_fft // 2 behind it",
        "power": "squared magnitude of the Fourier transform",
        "feature_size": mel.bands,
        "mel_filters": f"{FILTERS}.npy",
        "mel_scale": "slaney, triangles of equal area, 0 Hz to half the sampling rate",
        "floor": FLOOR,
        "scale": mel.scale,
        "scale_rule": scale[mel.scale],
        "padding": "zeros behind the last frame; attention_mask is 0 there",
        "frames_per_position": stride,
    }


def transcripts(search: Search, order: int, language_model: str | None) -> dict[str, Any]:
    """Return how outputs become a text.

    Args:
        search: How it is searched.
        order: Tokens of the longest n-gram of the language model.
        language_model: The file that holds it, if there is one.
    """
    return {
        "blank_token_id": search.blank,
        "num_beams": search.num_beams,
        "least_log_probability": math.log(search.least),
        "token_bonus": search.token_bonus,
        "language_model": language_model,
        "lm_order": order,
        "lm_weight": 0.0 if language_model is None else search.lm_weight,
        "rule": "positions = ceil(frames / frames_per_position); log-softmax; with num_beams 1 and "
        "no language model the likeliest token of each position, else a prefix beam search "
        "(Hannun et al. 2014); repeats merged, blanks dropped; tokens decoded",
    }


def filters_of(mel: LogMel) -> Mapping[str, np.ndarray[Any, Any]]:
    """Return the mel filters, (bands, n_fft / 2 + 1), by the name of their file."""
    return {FILTERS: filters(mel.sampling_rate, mel.n_fft, mel.bands)}


def meaning(task: str, preprocessing: Any, postprocessing: Any) -> dict[str, Any]:
    """Return the parts of ``inference.json`` that a task knows."""
    return {"task": task, "preprocessing": preprocessing, "postprocessing": postprocessing}


def places_of(model: nn.Module, size: tuple[int, int]) -> Tensor:
    """Return x, y and stride of the places of a detector, on the CPU."""
    with torch.no_grad():
        found: Tensor = model.places(size)  # type: ignore[operator]
    return found.cpu().float()
