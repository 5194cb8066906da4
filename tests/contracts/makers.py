"""How to make one of each component: fields for those that cannot do with their defaults.

A new component needs an entry only if it has a field without a default, or variants worth a
test each. ``{folder}`` stands for the folder that ``samples.write_samples`` fills.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from luban.core import registry
from luban.core.component import Component
from luban.core.errors import RecipeError

_GPT = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "initializer_range": 0.2,  # large enough that what is computed depends on every input
}
_BERT = {**_GPT, "intermediate_size": 24}
_RNN = {"hidden_size": 12, "num_hidden_layers": 2}

_SEQ2SEQ = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "dropout": 0.0}
_PAIR = {
    "tokenizer": "char",
    "num_beams": 1,
    "max_new_tokens": 6,
    "max_source_length": 10,
    "max_target_length": 16,
}

_SOUND = {"sampling_rate": 8000, "feature_size": 8, "n_fft": 128, "stride": 2}
_CONFORMER = {
    "hidden_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "conv_depthwise_kernel_size": 5,
    "conv_channels": 3,
    "dropout": 0.0,
}

#: "kind/name" to the fields of each variant.
MAKE: dict[str, list[dict[str, Any]]] = {
    "sources/text": [
        {"path": "{folder}/a.txt"},
        {"path": "{folder}/*.txt", "document": "line"},
        {"path": {"train": "{folder}/a.txt", "test": "{folder}/b.txt.gz"}},
    ],
    "sources/jsonl": [{"path": "{folder}/rows.jsonl"}],
    "sources/json": [{"path": "{folder}/rows.json"}],
    "sources/csv": [{"path": "{folder}/rows.csv"}],
    "sources/parquet": [{"path": "{folder}/rows.parquet"}],
    "sources/catalogue": [{"dataset": "tinyshakespeare", "verify": False}],
    "sources/lines": [{"path": "{folder}/a.txt", "pattern": "(?P<first>.)(?P<rest>.*)"}],
    "sources/conll": [
        {"path": "{folder}/tags.conll"},
        {
            "path": "{folder}/tags.conll",
            "columns": ["word", "tag"],
            "tokens": "word",
            "tags": "tag",
        },
        {"path": "{folder}/tags.conll", "tags": None},
    ],
    "sources/parallel": [
        {"path": {"source": "{folder}/lines.en", "target": "{folder}/lines.zh.gz"}},
        {"path": {"train": {"source": "{folder}/lines.en", "target": "{folder}/lines.zh.gz"}}},
    ],
    "sources/folders": [{"path": "{folder}/labels"}],
    "sources/files": [
        {"path": "{folder}/photos"},
        {"path": {"train": "{folder}/photos.tar.gz"}, "pattern": "{number}.png"},
    ],
    "sources/idx": [{"path": {"image": "{folder}/images.idx"}}],
    "sources/arrays": [{"path": "{folder}/arrays.npz"}],
    "sources/coco": [{"path": "{folder}/coco.json", "images": "{folder}/photos"}],
    "sources/voc": [{"path": "{folder}/voc"}],
    "sources/yolo": [{"path": "{folder}/yolo", "names": ["a", "b"]}],
    "sources/squad": [{"path": "{folder}/squad.json"}],
    "cleaners/language": [{"script": "latin"}, {"script": "cjk"}],
    "cleaners/length": [{"min_characters": 30}, {"max_characters": 30}],
    "cleaners/values": [{"field": "text", "drop": ["the quick brown fox"]}, {"drop": ["a"]}],
    "cleaners/regex": [{"pattern": "fox"}, {"pattern": "[0-9]", "replace_with": "#"}],
    "tokenizers/bpe": [{"vocab_size": 300}],
    "tokenizers/unigram": [{"vocab_size": 300}],
    "tokenizers/wordpiece": [
        {"vocab_size": 300},
        {"vocab_size": 100, "lowercase": False, "handle_chinese_chars": False},
    ],
    "tokenizers/pretrained": [{"path": "{folder}"}],
    "tasks/text-generation": [
        {"context": 12, "tokenizer": "char"},
        {"context": 12, "tokenizer": "char", "label_smoothing": 0.1},
    ],
    "tasks/text-classification": [
        {"tokenizer": "char", "max_length": 8},
        {"tokenizer": "char", "max_length": 8, "class_weights": "balanced", "focal_gamma": 2.0},
    ],
    "tasks/image-classification": [
        {"augmentations": ["flip", {"name": "random-crop", "padding": 1}]},
        {"image_size": [32, 48], "resize": "pad", "channels": 1, "tta": "flip"},
        {"augmentations": ["mixup", "cutmix"], "label_smoothing": 0.1},
    ],
    "tasks/object-detection": [
        {"image_size": [24, 32], "augmentations": ["flip", "scale-jitter"]},
        {"image_size": 20, "resize": "stretch", "channels": 1, "score_threshold": 0.0},
    ],
    "tasks/text-regression": [{"tokenizer": "char", "max_length": 8}],
    "tasks/instruction-tuning": [
        {"tokenizer": "char", "context": 64},
        {"tokenizer": "char", "context": 64, "packing": False, "system": "Be brief."},
    ],
    "tasks/multiple-choice": [{"tokenizer": "char", "context": 24}],
    "tasks/fill-mask": [
        {"tokenizer": "char", "max_length": 12, "mlm_probability": 0.3},
        {"tokenizer": "char", "max_length": 8, "line_by_line": True},
    ],
    "tasks/image-generation": [
        {"image_size": 8, "channels": 3, "num_inference_steps": 2},
        {"image_size": [8, 4], "channels": 1, "resize": "stretch", "class_dropout_prob": 0.5},
    ],
    "metrics/choice-accuracy": [{}, {"normalised": True}],
    "metrics/f1": [{"classes": ["a", "b"]}, {"classes": ["a", "b"], "average": "micro"}],
    "tasks/translation": [
        _PAIR,
        {**_PAIR, "num_beams": 3, "length_penalty": 0.6, "target_tokenizer": "char"},
        {**_PAIR, "num_beams": 2, "decoder_only": True, "no_repeat_ngram_size": 2},
    ],
    "tasks/summarization": [
        {**_PAIR, "num_beams": 2, "tokenize": "characters"},
        {**_PAIR, "decoder_only": True},
    ],
    "tasks/question-answering": [
        {"tokenizer": "char", **lengths, "doc_stride": 4, "max_question_length": 8}
        for lengths in ({"max_length": 24}, {"max_length": 64, "max_answer_length": 5})
    ],
    "tasks/token-classification": [
        {"tokenizer": "char"},
        {"tokenizer": "char", "crf": True, "scheme": "bioes"},
        {"tokenizer": "char", "outside_weight": 0.5, "max_length": 7},
    ],
    "tasks/speech-recognition": [
        {**_SOUND, "augmentations": ["speed-perturbation", "spec-augment"]},
        {**_SOUND, "stride": 4, "num_beams": 3, "lm_order": 3, "token_bonus": 0.5},
        {**_SOUND, "stride": 1, "scale": "standard", "lowercase": True, "strip_punctuation": True},
    ],
    "tasks/audio-classification": [
        {**_SOUND, "augmentations": ["gaussian-noise"]},
        {**_SOUND, "stride": 8, "label_smoothing": 0.1},
    ],
    "metrics/entity-f1": [{}, {"score": "precision"}, {"score": "recall", "type": "b"}],
    "metrics/exact-match": [{}, {"language": "zh"}],
    "metrics/answer-f1": [{}, {"language": "zh"}],
    "metrics/top-k-accuracy": [{"classes": ["a", "b"], "k": 1}],
    "metrics/mean-average-precision": [
        {"classes": ["a", "b"], **its} for its in ({}, {"overlap": "50-95"}, {"only": "b"})
    ],
    "metrics/auroc": [{"classes": ["a", "b"]}],
    "metrics/matthews": [{"classes": ["a", "b"]}],
    "metrics/bleu": [{}, {"tokenize": "zh"}],
    "metrics/chrf": [{}, {"word_order": 2}],
    "metrics/ter": [{}, {"tokenize": "zh"}],
    "metrics/rouge": [
        {"type": kind, "tokenize": by}
        for kind in ("rouge1", "rouge2", "rougeL")
        for by in ("words", "characters")
    ],
    "models/gpt": [{**_GPT, "layout": layout} for layout in ("qwen3", "llama", "gpt2")]
    + [{**_GPT, "num_key_value_heads": 1, "tie_word_embeddings": False}],
    "models/seq2seq": [
        _SEQ2SEQ,
        {**_SEQ2SEQ, "layout": "marian", "initializer": "normal", "initializer_range": 0.2},
        {**_SEQ2SEQ, "layout": "marian", "share_encoder_decoder_embeddings": False},
    ],
    "models/rnn-seq2seq": [
        _RNN,
        {**_RNN, "cell": "gru", "attention": "additive", "tie_word_embeddings": True},
        {**_RNN, "input_feeding": True},
    ],
    "models/bert": [{**_BERT}, {**_BERT, "pooling": "mean"}, {**_BERT, "norm_first": True}],
    "models/huggingface": [
        {
            "config": {
                "model_type": "bert",
                "hidden_size": 16,
                "num_hidden_layers": 2,
                "num_attention_heads": 2,
                "intermediate_size": 20,
            }
        },
        {"config": {"model_type": "gpt2", "n_embd": 16, "n_layer": 2, "n_head": 2}},
        {
            "config": {
                "model_type": "t5",
                "d_model": 16,
                "d_kv": 8,
                "d_ff": 20,
                "num_layers": 2,
                "num_heads": 2,
            }
        },
    ],
    "models/conformer": [
        _CONFORMER,
        {**_CONFORMER, "block": "transformer", "pooling": "attention"},
    ],
    "models/rnn": [{**_RNN, "cell": cell} for cell in ("rnn", "lstm", "gru")]
    + [{**_RNN, "tie_word_embeddings": True}, {**_RNN, "pooling": "attention"}]
    + [{**_RNN, "pooling": "mean", "bidirectional": False}],
    "models/unet": [
        {"block_out_channels": [8, 16], "attention_head_dim": 8, "norm_num_groups": 4, **its}
        for its in (
            {"layers_per_block": 1},
            {"patch_size": 2, "prediction_type": "epsilon", "beta_schedule": "linear"},
        )
    ],
    "models/dit": [
        {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, **its}
        for its in ({}, {"patch_size": 2, "beta_schedule": "linear", "qk_norm": True})
    ],
    "models/vae": [{"latent_size": 5, "channels": 8}],
    "models/gan": [
        {"latent_size": 5, "channels": 8},
        {"latent_size": 5, "channels": 8, "game": "hinge", "r1_gamma": 0.0},
    ],
    "models/fcos": [
        {"embedding_size": 6, "pyramid_size": 8, "depths": [1, 2], **its}
        for its in (
            {"hidden_sizes": [6, 8]},
            {"hidden_sizes": [8, 16], "layer_type": "bottleneck", "extra_levels": 1},
            {"hidden_sizes": [6, 8], "finest_stride": 4, "num_head_layers": 0},
        )
    ],
    "models/linear": [
        {"features": 500, "slots": 5000},
        {"words": [1], "characters": [2, 3], "features": 40, "slots": 90},
    ],
    "models/bag": [{"embedding_size": 6, "ngrams": [2, 3], "buckets": 50}],
    "models/textcnn": [{"embedding_size": 6, "num_filters": 4, "kernel_sizes": [1, 3, 9]}],
    "models/cnn": [
        {"embedding_size": 6, "hidden_sizes": [8, 12]},
        {"hidden_sizes": [8, 12], "depths": [0, 2], "downsample": "max", "norm": "group"},
    ],
    "models/resnet": [
        {"depths": [1, 1], "hidden_sizes": [8, 12], "embedding_size": 8},
        {
            "depths": [1, 1],
            "hidden_sizes": [8, 12],
            "embedding_size": 8,
            "layer_type": "bottleneck",
            "stem": "small",
            "norm": "group",
        },
    ],
    "models/vit": [{**_GPT, "patch_size": 4}],
    "adapters/lora": [{}, {"use_dora": True}, {"target_modules": ["q_proj"], "use_rslora": True}],
    "adapters/freeze": [{"layers": 1}, {"trainable": ["*norm*"]}],
    "adapters/peft": [{}, {"method": "loha", "options": {"r": 1}}, {"method": "ln-tuning"}],
    "objectives/adversarial": [{}, {"method": "pgd"}, {"method": "vat"}],
    "objectives/denoising": [{"rate": 0.3}, {"noise": "span"}],
    "objectives/distillation": [
        {"teacher": "{folder}/teacher"},
        {"teacher": "{folder}/teacher", "weight": 0.0, "hidden_weight": 1.0},
    ],
    "objectives/multi-task": [
        {
            "task": {"name": "text-generation", "tokenizer": "char", "context": 6},
            "source": {"name": "jsonl", "path": "{folder}/rows.jsonl"},
        }
    ],
    "mechanisms/plain": [{}, {"group_by_length": False}, {"balanced": True}],
    "augmentations/random-crop": [
        {"padding": 2, "padding_mode": mode} for mode in ("reflect", "constant", "edge")
    ],
    "augmentations/cutmix": [{"probability": 0.9}],
    "augmentations/flip": [{}, {"direction": "vertical"}],
    "augmentations/random-erasing": [{}, {"value": "random", "probability": 1.0}],
    "optimizers/adam": [{}, {"weight_decay": 0.1}],
    "optimizers/adamw": [{}, {"weight_decay": 0.1}],
    "optimizers/parts": [
        {"parts": {"weight": {"name": "muon", "adamw_parameters": []}, "*": "adamw"}},
        {"parts": {"b*": {"name": "sgd", "learning_rate": 0.01}, "*": "adagrad"}},
    ],
    "optimizers/sgd": [{}, {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1}],
}


def variants(kind: str) -> list[Any]:
    """Return pytest parameters, one for each component of a kind and variant of it."""
    return [
        pytest.param(kind, name, fields, id=f"{name}-{number}" if number else name)
        for name in registry.names(kind)
        for number, fields in enumerate(MAKE.get(f"{kind}/{name}", [{}]))
    ]


def make(base: type[Component], name: str, fields: dict[str, Any], folder: Path) -> Any:
    """Return a component, or fail with what to add here."""
    given = json.loads(json.dumps(fields).replace("{folder}", str(folder)))
    try:
        return base.from_dict({"name": name, **given})
    except RecipeError as error:
        pytest.fail(
            f"{base.kind}/{name} cannot be made from {given or 'its defaults'}: {error}\n"
            f'Add an entry "{base.kind}/{name}" to MAKE in tests/contracts/makers.py.'
        )
