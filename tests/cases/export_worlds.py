"""A tiny recipe for each task and way of answering, as export tests need them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from tests.cases.export_data import (
    boxes,
    choices,
    documents,
    instructions,
    masked,
    pairs,
    pictures,
    prompts,
    questions,
    several,
    sounds,
    speech,
    tagged,
    texts,
    translated,
    two_labels,
    values,
)

Record: TypeAlias = "dict[str, Any]"


@dataclass(frozen=True)
class World:
    """One sort of training.

    Attributes:
        task: Fields of the task.
        model: Fields of the model.
        write: Writes training data into a folder; returns the source and records to predict.
        formats: Exporters that must work; what is not among them is refused with its reason.
        steps: Of training.
        train: Further fields of training.
    """

    task: Record
    model: Record
    write: Callable[[Path, int], tuple[Record, list[Record]]]
    formats: tuple[str, ...] = ("huggingface", "onnx")
    steps: int = 60
    train: Record = field(default_factory=dict)

    def recipe(self, name: str, source: Record) -> Record:
        """Return the whole recipe."""
        return {
            "name": name,
            "seed": 3,
            "data": {
                "max_overlap": 1.0,
                "source": source,
                "split": {"by": "order", "validation": 0.2, "test": 0.1},
            },
            "task": self.task,
            "model": self.model,
            "train": {
                "max_steps": self.steps,
                "batch_size": 8,
                "optimizer": {"name": "adamw", "learning_rate": 0.01},
                "precision": "fp32",
                "compile": "off",
                "eval_steps": max(1, self.steps),
                "save_steps": max(1, self.steps),
                **self.train,
            },
            "export": {"formats": list(self.formats)},
        }


_BERT = {
    "name": "bert", "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
    "initializer_range": 0.2,
}  # fmt: skip
_PIECES = {"name": "wordpiece", "vocab_size": 300}
_BPE = {"name": "bpe", "vocab_size": 300}
_GPT = {**_BERT, "name": "gpt"}
_BERT |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
_READ = {"tokenizer": _PIECES, "max_length": 24}
_SEQ = {"tokenizer": {"name": "bpe", "vocab_size": 300}, "max_new_tokens": 8}
_SEQ2SEQ = {"name": "seq2seq", "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
_HEARD = {"sampling_rate": 8000, "feature_size": 12, "n_fft": 256}
_CONFORMER = {
    "name": "conformer", "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
    "conv_channels": 4,
}  # fmt: skip
_RESNET = {
    "name": "resnet", "depths": [1, 1], "hidden_sizes": [8, 12], "embedding_size": 8,
}  # fmt: skip
ONNX = ("onnx",)

#: By name: those that the default tests try, then all others.
QUICK = {
    "labels": World({"name": "text-classification", **_READ}, _BERT, texts),
    "regression": World({"name": "text-regression", **_READ}, _BERT, values),
    "detection": World(
        {"name": "object-detection", "image_size": 64, "score_threshold": 0.01},
        {"name": "fcos", "embedding_size": 6, "pyramid_size": 8, "depths": [1, 1],
         "hidden_sizes": [6, 8]},
        boxes, ONNX,
    ),
    "speech": World(
        {"name": "speech-recognition", **_HEARD, "num_beams": 3, "lm_order": 3},
        _CONFORMER, speech, ONNX,
    ),
}  # fmt: skip
SLOW = {
    "tags": World({"name": "token-classification", **_READ}, _BERT, tagged),
    "mask": World({"name": "fill-mask", **_READ, "line_by_line": True}, _BERT, masked),
    "prompts": World(
        {"name": "text-generation", "tokenizer": "char", "context": 32}, _GPT, prompts
    ),
    "translation": World(
        {"name": "translation", **_SEQ, "num_beams": 3}, _SEQ2SEQ, translated
    ),
    "images": World({"name": "image-classification", "image_size": 32}, _RESNET, pictures),
    "pairs": World({"name": "text-classification", **_READ, "max_length": 19}, _BERT, pairs),
    "several": World({"name": "text-classification", **_READ}, _BERT, several),
    "threshold": World(
        {"name": "text-classification", **_READ, "tune_threshold": True}, _BERT, two_labels
    ),
    "textcnn": World(
        {"name": "text-classification", **_READ},
        {"name": "textcnn", "embedding_size": 8, "num_filters": 6}, texts, ONNX,
    ),
    "rnn": World(
        {"name": "text-classification", **_READ}, {"name": "rnn", "hidden_size": 8}, texts, ONNX
    ),
    "distilbert": World(
        {"name": "text-classification", **_READ},
        {"name": "huggingface", "config": {
            "model_type": "distilbert", "dim": 16, "n_layers": 1, "n_heads": 2, "hidden_dim": 24,
            "max_position_embeddings": 24, "initializer_range": 0.2}},
        texts,
    ),
    "crf": World(
        {"name": "token-classification", **_READ, "crf": True, "scheme": "bioes"}, _BERT, tagged,
        ONNX,
    ),
    "bpe": World({"name": "text-classification", **_READ, "tokenizer": _BPE}, _BERT, texts),
    "bpe, pairs": World(
        {"name": "text-classification", "tokenizer": _BPE, "max_length": 20}, _BERT, pairs
    ),
    "bpe, tags": World(
        {"name": "token-classification", "max_length": 48, "tokenizer": _BPE}, _BERT, tagged
    ),
    "unigram, tags": World(
        {"name": "token-classification", "max_length": 64, "units": "characters",
         "tokenizer": {"name": "unigram", "vocab_size": 300}}, _BERT, tagged,
    ),
    "bpe, mask": World(
        {"name": "fill-mask", "tokenizer": _BPE, "max_length": 96, "line_by_line": True},
        _BERT, masked,
    ),
    "bpe, questions": World(
        {"name": "question-answering", "tokenizer": _BPE, "max_length": 96,
         "max_question_length": 20, "doc_stride": 12, "max_answer_length": 9},
        _BERT, questions,
    ),
    "questions": World(
        {"name": "question-answering", "tokenizer": _PIECES, "max_length": 48,
         "max_question_length": 12, "doc_stride": 12, "max_answer_length": 6},
        _BERT, questions,
    ),
    "choices": World(
        {"name": "multiple-choice", "tokenizer": {"name": "bpe", "vocab_size": 300},
         "context": 64}, _GPT, choices,
    ),
    "llama": World(
        {"name": "text-generation", "tokenizer": {"name": "bpe", "vocab_size": 300},
         "context": 32}, {**_GPT, "layout": "llama"}, prompts,
    ),
    "gpt2": World(
        {"name": "text-generation", "tokenizer": {"name": "unigram", "vocab_size": 300},
         "context": 32}, {**_GPT, "layout": "gpt2"}, prompts,
    ),
    "instructions": World(
        {"name": "instruction-tuning", "tokenizer": {"name": "bpe", "vocab_size": 300},
         "context": 48, "format": "raw"}, _GPT, instructions,
    ),
    "marian": World(
        {"name": "translation", **_SEQ, "num_beams": 1}, {**_SEQ2SEQ, "layout": "marian"},
        translated,
    ),
    "two vocabularies": World(
        {"name": "translation", **_SEQ, "num_beams": 2, "target_tokenizer": "char"},
        {**_SEQ2SEQ, "layout": "marian", "share_encoder_decoder_embeddings": False}, translated,
    ),
    "summaries": World(
        {"name": "summarization", **_SEQ, "num_beams": 2, "no_repeat_ngram_size": 2,
         "length_penalty": 0.6, "max_source_length": 12}, _SEQ2SEQ, documents,
    ),
    "decoder": World(
        {"name": "translation", **_SEQ, "num_beams": 3, "decoder_only": True}, _GPT, translated
    ),
    "vit, padded": World(
        {"name": "image-classification", "image_size": [32, 48], "resize": "pad"},
        {"name": "vit", "patch_size": 8, "hidden_size": 16, "num_hidden_layers": 1,
         "num_attention_heads": 2}, pictures,
    ),
    "cnn, mirrored": World(
        {"name": "image-classification", "image_size": 32, "tta": "flip", "crop_pct": 0.8,
         "channels": 1},
        {"name": "cnn", "hidden_sizes": [8, 12], "embedding_size": 6}, pictures, ONNX,
    ),
    "stretched boxes": World(
        {"name": "object-detection", "image_size": [64, 48], "resize": "stretch",
         "score_threshold": 0.0, "max_detections": 30},
        {"name": "fcos", "embedding_size": 6, "pyramid_size": 8, "depths": [1, 1],
         "hidden_sizes": [6, 8]}, boxes, ONNX,
    ),
    "sounds": World({"name": "audio-classification", **_HEARD}, _CONFORMER, sounds, ONNX),
    "sounds, standard": World(
        {"name": "audio-classification", **_HEARD, "scale": "standard"},
        {"name": "rnn", "hidden_size": 8}, sounds, ONNX,
    ),
    "speech, greedy": World(
        {"name": "speech-recognition", **_HEARD, "scale": "standard"},
        {"name": "rnn", "hidden_size": 8}, speech, ONNX,
    ),
}  # fmt: skip
