"""Small folders with tokenizers and chat templates, each as a public family of models has them.

The templates are in their publicly known form, shortened where they deal with what no test says.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import (
    AddedToken,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

from tests.chat_templates import (
    CHATML,
    DEEPSEEK,
    GEMMA,
    LLAMA2,
    LLAMA3,
    MISTRAL,
    PHI3,
    QWEN3,
    ZEPHYR,
)

CORPUS = [
    "what is the answer to this question, and why is it so?",
    "Be brief. Answer in one word: yes or no!",
    "user assistant system tool model\n",
    "def f(x):\n    return x + 1\n",
    "床前明月光，疑是地上霜。举头望明月，低头思故乡。",
    "Naïve café 1234567890 \"quoted\" 'text' <b>&</b> {} [INST] [/INST] <<SYS>> <</SYS>>",
] * 6


def spm(**scheme: Any) -> tokenizers.Tokenizer:
    """BPE over characters with a byte for what is unknown, as SentencePiece makes it (Llama 2).

    Args:
        scheme: Arguments of ``Metaspace``; without any the normaliser puts a blank before texts.
    """
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    trained = tokenizers.Tokenizer(models.BPE(unk_token="<unk>"))
    trained.pre_tokenizer = pre_tokenizers.Metaspace()
    trained.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=320, show_progress=False))
    learned = json.loads(trained.to_str())["model"]
    vocabulary = {piece: index for index, piece in enumerate([*pieces, *learned["vocab"]])}
    merges = [tuple(merge) for merge in learned["merges"]]
    fast = tokenizers.Tokenizer(
        models.BPE(
            vocab=vocabulary, merges=merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True
        )
    )
    if scheme:
        fast.pre_tokenizer = pre_tokenizers.Metaspace(split=False, **scheme)
    else:
        fast.normalizer = normalizers.Sequence(
            [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
        )
    fast.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    fast.add_special_tokens(["<unk>", "<s>", "</s>"])
    fast.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s>:1 $B:1", special_tokens=[("<s>", 1)]
    )
    return fast


def byte_level(*, add_prefix_space: bool) -> tokenizers.Tokenizer:
    """BPE over bytes: GPT-2, Llama 3, Qwen."""
    fast = tokenizers.Tokenizer(models.BPE())
    fast.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=add_prefix_space)
    fast.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    fast.train_from_iterator(
        CORPUS,
        trainers.BpeTrainer(vocab_size=340, initial_alphabet=alphabet, show_progress=False),
    )
    fast.add_special_tokens(["<s>", "</s>"])
    if not add_prefix_space:
        fast.post_processor = processors.ByteLevel(trim_offsets=True)
    return fast


def unigram() -> tokenizers.Tokenizer:
    """A unigram model with a blank before every word (T5, XLM-RoBERTa)."""
    fast = tokenizers.Tokenizer(models.Unigram())
    fast.normalizer = normalizers.Sequence(
        [normalizers.NFKC(), normalizers.Replace(tokenizers.Regex(" {2,}"), " ")]
    )
    fast.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    fast.decoder = decoders.Metaspace(prepend_scheme="always")
    fast.train_from_iterator(
        CORPUS,
        trainers.UnigramTrainer(
            vocab_size=260,
            special_tokens=["<unk>", "<s>", "</s>"],
            unk_token="<unk>",
            show_progress=False,
        ),
    )
    fast.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 2)]
    )
    return fast


def wordpiece() -> tokenizers.Tokenizer:
    """WordPiece in lower case (BERT)."""
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    fast = tokenizers.Tokenizer(models.WordPiece(unk_token="[UNK]"))
    fast.normalizer = normalizers.BertNormalizer(lowercase=True)
    fast.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    fast.decoder = decoders.WordPiece()
    fast.train_from_iterator(
        CORPUS,
        trainers.WordPieceTrainer(vocab_size=320, special_tokens=specials, show_progress=False),
    )
    fast.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return fast


def roberta() -> tokenizers.Tokenizer:
    """BPE over bytes with RoBERTa's special tokens: two separators between texts."""
    fast = byte_level(add_prefix_space=False)
    fast.add_special_tokens(["<pad>", AddedToken("<mask>", lstrip=True, special=True)])
    ids = fast.get_vocab()
    fast.post_processor = processors.RobertaProcessing(
        ("</s>", ids["</s>"]), ("<s>", ids["<s>"]), trim_offsets=True, add_prefix_space=False
    )
    return fast


#: Tokenizers of language models: what they do to the beginning of a text, and of what follows a
#: special token, differs.
READERS: dict[str, Callable[[], tokenizers.Tokenizer]] = {
    "spm": spm,
    "spm-first": lambda: spm(prepend_scheme="first"),
    "spm-never": lambda: spm(prepend_scheme="never"),
    "byte-level": lambda: byte_level(add_prefix_space=False),
    "byte-level-prefix": lambda: byte_level(add_prefix_space=True),
    "unigram": unigram,
}
#: Tokenizers of encoders, and what their configuration names.
BERT = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]",
        "mask_token": "[MASK]", "tokenizer_class": "BertTokenizer"}  # fmt: skip
ROBERTA = {"pad_token": "<pad>", "cls_token": "<s>", "sep_token": "</s>", "mask_token": "<mask>",
           "bos_token": "<s>", "eos_token": "</s>"}  # fmt: skip
ENCODERS: dict[str, tuple[Callable[[], tokenizers.Tokenizer], dict[str, str]]] = {
    "bert": (wordpiece, BERT),
    "roberta": (roberta, ROBERTA),
}


class Family:
    """A family of models that chat.

    Attributes:
        template: Jinja.
        specials: Special tokens beside ``<s>`` and ``</s>``.
        plain: Added tokens that are no special ones.
        named: Of ``tokenizer_config.json``.
        system: Whether a conversation may begin with a system message.
        ends: What ends an answer within a conversation.
    """

    def __init__(
        self,
        template: str,
        ends: str,
        specials: Sequence[str] = (),
        *,
        plain: Sequence[str] = (),
        named: dict[str, str] | None = None,
        system: bool = True,
        strips: bool = False,
    ) -> None:
        self.template, self.ends, self.system = template, ends, system
        self.named = named or {"bos_token": "<s>", "eos_token": "</s>"}
        self.specials = [AddedToken(s, special=True, rstrip=strips) for s in specials]
        self.plain = [AddedToken(token, special=False, normalized=False) for token in plain]


FAMILIES = {
    "llama-2": Family(LLAMA2, "</s>"),
    "llama-3": Family(
        LLAMA3,
        "<|eot_id|>",
        ["<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"],
        named={"bos_token": "<s>", "eos_token": "<|eot_id|>"},
    ),
    "mistral": Family(MISTRAL, "</s>", system=False),
    "gemma": Family(GEMMA, "<end_of_turn>", ["<start_of_turn>", "<end_of_turn>"], system=False),
    "phi-3": Family(
        PHI3,
        "<|end|>",
        ["<|system|>", "<|user|>", "<|assistant|>", "<|end|>", "<|endoftext|>"],
        named={"bos_token": "<s>", "eos_token": "<|endoftext|>"},
        strips=True,
    ),
    "qwen3": Family(
        QWEN3,
        "<|im_end|>",
        ["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        plain=["<think>", "</think>", "<tool_call>", "</tool_call>"],
        named={"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"},
    ),
    "chatml": Family(
        CHATML,
        "<|im_end|>",
        ["<|im_start|>", "<|im_end|>"],
        named={"bos_token": "<s>", "eos_token": "<|im_end|>"},
    ),
    "zephyr": Family(ZEPHYR, "</s>"),
    "deepseek": Family(
        DEEPSEEK,
        "<｜end▁of▁sentence｜>",
        ["<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜User｜>", "<｜Assistant｜>"],
        named={"bos_token": "<｜begin▁of▁sentence｜>", "eos_token": "<｜end▁of▁sentence｜>"},
    ),
}


def write_folder(
    folder: Path, fast: tokenizers.Tokenizer, config: dict[str, Any], template: str = ""
) -> Path:
    """Write a tokenizer as a folder of transformers."""
    folder.mkdir(parents=True, exist_ok=True)
    fast.save(str(folder / "tokenizer.json"))
    whole = {"tokenizer_class": "PreTrainedTokenizerFast", **config}
    if template:
        whole["chat_template"] = template
    (folder / "tokenizer_config.json").write_text(json.dumps(whole), encoding="utf-8")
    return folder


@cache
def _trained(reader: str) -> str:
    return READERS[reader]().to_str()


def write_family(folder: Path, reader: str, family: str) -> Path:
    """Write a tokenizer with the special tokens and the template of a family."""
    fast, made = tokenizers.Tokenizer.from_str(_trained(reader)), FAMILIES[family]
    fast.add_special_tokens(made.specials)
    fast.add_tokens(made.plain)
    return write_folder(folder, fast, made.named, made.template)


def theirs(folder: Path) -> Any:
    """Return the tokenizer of a folder as transformers loads it."""
    import transformers

    auto: Any = transformers.AutoTokenizer
    return auto.from_pretrained(folder)
