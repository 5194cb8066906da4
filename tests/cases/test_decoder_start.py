"""A pretrained encoder-decoder begins its answers with the token that its directory tells."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
import tokenizers
import torch
import yaml
from tokenizers import pre_tokenizers, processors, trainers

from luban.core.contracts import Task
from tests.life import done, luban

transformers = pytest.importorskip("transformers")

SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", "de_DE"]
WORDS = ["the", "film", "of", "and", "story", "night", "sleeps", "some", "der", "die", "Nacht"]
SIZES: dict[str, Any] = {
    "d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 20,
    "decoder_ffn_dim": 20, "encoder_attention_heads": 2, "decoder_attention_heads": 2,
    "max_position_embeddings": 130, "init_std": 0.6, "scale_embedding": True,
}  # fmt: skip
#: Architecture, and the token that its directory tells: BART's is its end token, mBART's names
#: the language to write, and a directory may tell none.
DIRECTORIES = [("bart", "</s>"), ("mbart", "de_DE"), ("bart", "<pad>")]


def sentences(count: int, seed: int) -> list[str]:
    dice = random.Random(seed)
    return [" ".join(dice.choices(WORDS, k=dice.randint(3, 7))) for _ in range(count)]


def published(folder: Path, kind: str, start: str) -> Path:
    """Save a tiny model with its tokenizer, as transformers does."""
    fast = tokenizers.Tokenizer(tokenizers.models.BPE(unk_token="<unk>"))
    fast.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    fast.decoder = tokenizers.decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=320, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    fast.train_from_iterator(sentences(50, 0), trainer)
    fast.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=fast, bos_token="<s>", eos_token="</s>", pad_token="<pad>",
        unk_token="<unk>", mask_token="<mask>", cls_token="<s>", sep_token="</s>",
    ).save_pretrained(folder)  # fmt: skip
    config = transformers.AutoConfig.for_model(
        kind, **SIZES, vocab_size=fast.get_vocab_size(), bos_token_id=0, pad_token_id=1,
        eos_token_id=2, decoder_start_token_id=SPECIAL.index(start), forced_eos_token_id=None,
    )  # fmt: skip
    torch.manual_seed(1)
    transformers.AutoModelForSeq2SeqLM.from_config(config).save_pretrained(folder)
    return folder


def recipe(folder: Path, tokenizer: Path) -> Path:
    rows = [{"source": text, "target": text} for text in sentences(60, 1)]
    (folder / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    plain = {
        "name": "run",
        "data": {
            "max_overlap": 1.0,
            "source": {"name": "jsonl", "path": str(folder / "train.jsonl")},
            "split": {"by": "order", "validation": 0.2, "test": 0.1},
        },
        "task": {
            "name": "translation", "max_new_tokens": 12, "num_beams": 1,
            "tokenizer": {"name": "pretrained", "path": str(tokenizer)},
        },
        "model": {"name": "huggingface", "pretrained": str(folder / "published")},
        # As good as no training at all: what answers is the model as it was published.
        "train": {
            "max_steps": 1, "batch_size": 8, "precision": "fp32", "compile": "off",
            "optimizer": {"name": "adamw", "learning_rate": 1e-9},
        },
    }  # fmt: skip
    (folder / "recipe.yaml").write_text(yaml.safe_dump(plain))
    return folder / "recipe.yaml"


def generated(folder: Path, texts: list[str], **options: Any) -> list[str]:
    """Return the greedy answers of transformers, with the directory's own token to begin with."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForSeq2SeqLM.from_pretrained(folder).eval()
    found = []
    for text in texts:
        ids = tokenizer(text, return_tensors="pt").input_ids
        [answer] = model.generate(ids, attention_mask=torch.ones_like(ids), **options)
        found.append(tokenizer.decode(answer, skip_special_tokens=True).strip())
    return found


@pytest.mark.parametrize(("kind", "start"), DIRECTORIES)
def test_the_directory_tells_what_answers_begin_with(kind: str, start: str, tmp_path: Path) -> None:
    directory = published(tmp_path / "published", kind, start)
    done("train", recipe(tmp_path, directory), f"runs={tmp_path}")
    run, texts = tmp_path / "run", sentences(12, 2)
    (tmp_path / "asked.jsonl").write_text(
        "".join(json.dumps({"source": text}) + "\n" for text in texts)
    )
    answers = tmp_path / "answers.jsonl"
    done("predict", run, "--input", tmp_path / "asked.jsonl", "--output", answers)
    ours = [json.loads(line)["text"] for line in answers.read_text().splitlines()]
    greedy = {"num_beams": 1, "do_sample": False, "max_new_tokens": 12}
    assert ours == generated(directory, texts, **greedy), "as the directory was published"
    assert ours == generated(run / "model", texts), "as the run's own settings say"
    assert len(set(ours)) > 3
    for name in ("config.json", "generation_config.json"):
        told = json.loads((run / "model" / name).read_text())
        assert told["decoder_start_token_id"] == SPECIAL.index(start)
    task = Task.from_dict(json.loads((run / "model/luban.json").read_text())["task"])
    task = task.load(run / "model")
    batch = task.collate([task.encode({"source": text, "target": text}) for text in texts])
    theirs = transformers.AutoModelForSeq2SeqLM.from_pretrained(
        directory
    ).prepare_decoder_input_ids_from_labels(labels=batch.targets["labels"])
    if kind == "bart":  # mBART's takes the last token of the labels, whatever the directory says
        kept = batch.targets["labels"] >= 0
        assert torch.equal(batch.inputs["decoder_input_ids"][kept], theirs[kept])
    assert set(batch.inputs["decoder_input_ids"][:, 0].tolist()) == {SPECIAL.index(start)}


def test_a_tokenizer_that_tells_another_start_is_refused(tmp_path: Path) -> None:
    directory = published(tmp_path / "published", "bart", "</s>")
    (tmp_path / "alone").mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / "alone" / name).write_bytes((directory / name).read_bytes())
    said = luban("train", recipe(tmp_path, tmp_path / "alone"), f"runs={tmp_path}")
    assert said.code == 2
    assert "decoder_start_token_id: 1" in said.err
    assert "got: 2" in said.err
    assert "Traceback" not in said.err


@pytest.mark.parametrize("told", ["two", -1, 320, True, [2]])
def test_a_start_that_is_no_token_is_refused(told: Any, tmp_path: Path) -> None:
    directory = published(tmp_path / "published", "bart", "</s>")
    (directory / "generation_config.json").write_text(json.dumps({"decoder_start_token_id": told}))
    said = luban("validate", recipe(tmp_path, directory))
    assert said.code == 2
    assert "is not the id of a token" in said.err
