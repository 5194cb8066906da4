"""Any ``tokenizer.json``: of a Hugging Face model directory, or a file of that format."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Self

from pydantic import Field, PrivateAttr

from luban.core.errors import DataError
from luban.data.text.chat_template_files import read_object, read_template
from luban.data.tokenizers._fast import END, ROLES, FastTokenizer, read_fast
from luban.data.tokenizers._frames import set_text_frame

#: Names of the end token, where no configuration tells.
_ENDS = (END, "</s>", "<|end_of_text|>", "<|im_end|>", "<eos>", "[SEP]")

#: What is in ``tokenizer.json`` once a tokenizer was read.
_SETTLED = ("add_bos_token", "add_eos_token", "added_tokens_decoder", "auto_map")

#: What the answers of an encoder-decoder begin with, and the files that tell it: as in
#: transformers' ``generate``, the first one that does.
_DECODER_START = "decoder_start_token_id"
_MODEL_FILES = ("generation_config.json", "config.json")


class Pretrained(FastTokenizer):
    """A tokenizer that was learned elsewhere. Nothing is learned here.

    What it normalises away (case, doubled blanks) does not survive the round trip.
    """

    path: str = Field(description="A `tokenizer.json` or the folder that holds one.")
    end_token: str = Field(
        default="", description="The end token, where `tokenizer_config.json` does not tell it."
    )
    _config: dict[str, Any] = PrivateAttr(default_factory=dict)
    _template: str = PrivateAttr(default="")

    def learn(self, texts: Iterable[str], specials: Sequence[str] = ()) -> Self:
        """Return this tokenizer, read from ``path``.

        Raises:
            DataError: if it lacks a special token that the task needs.
        """
        loaded = self.load(Path(self.path).expanduser())
        for name in specials:
            found = loaded.special(name) if name in ROLES else loaded.fast.token_to_id(name)
            if found is None:
                raise DataError(
                    f"this tokenizer has no token for {name!r}, which the task needs.",
                    where=self.path,
                    fix="choose a tokenizer made for such tasks, or learn one: bpe, wordpiece.",
                )
        return loaded.framed() if {"start", "separator"} <= set(specials) else loaded

    def load(self, folder: Path) -> Self:
        """Return this tokenizer with what a folder (or a ``tokenizer.json``) holds."""
        file = folder if folder.is_file() else folder / "tokenizer.json"
        loaded = self.holding(read_fast(file))
        beside = file.with_name("tokenizer_config.json")
        loaded._template = read_template(file.parent)
        loaded._config = _decoder_start(file.parent, loaded.size) | read_object(beside)
        loaded._settle()
        loaded.end  # noqa: B018 - fails now, by name, where there is no end token
        return loaded

    def _settle(self) -> None:
        """Do to the tokenizer what transformers does to it, as the configuration says.

        Tokens named there are special, and ``add_bos_token`` and ``add_eos_token`` decide over
        what is put around a text. ``tokenizer.json`` holds it from then on.
        """
        named = {key: _text(v) for key, v in self._config.items() if key.endswith("_token")}
        known = [token for token in named.values() if self.fast.token_to_id(token) is not None]
        added = {token.content for token in self.fast.get_added_tokens_decoder().values()}
        self.fast.add_special_tokens([token for token in known if token and token not in added])
        asked = [self._config.get(key) for key in ("add_bos_token", "add_eos_token")]
        if asked != [None, None]:
            sides = [named.get(key, "") for key in ("bos_token", "eos_token")]
            before, after = (
                token if use and token in known else ""
                for use, token in zip(asked, sides, strict=True)
            )
            set_text_frame(self.fast, before, after)

    @property
    def chat_template(self) -> str:
        """The Jinja template of conversations that came along; empty where there is none."""
        folder = Path(self.path).expanduser()
        return self._template or read_template(folder.parent if folder.is_file() else folder)

    @property
    def exact(self) -> bool:
        """Whether text comes back: not promised where it is normalised first, or cut by blanks."""
        return self.fast.normalizer is None and "WordPiece(" not in repr(self.fast.decoder)

    @property
    def end(self) -> int:
        """Id of the end token: ``end_token``, else the configuration's, else a usual name.

        Raises:
            DataError: if none of these is in the vocabulary.
        """
        name = self.end_token or _text(self._config.get("eos_token"))
        if name:
            return self.id_of(name)
        for usual in _ENDS:
            index = self.fast.token_to_id(usual)
            if index is not None:
                return index
        raise DataError(
            "nothing tells which token ends a text.",
            where=self.path,
            fix="set the tokenizer's `end_token`.",
        )

    def special(self, role: str) -> int | None:
        """Return the id of a special token by its role: the configuration's, else BERT's name."""
        if role == "end":
            return self.end
        if role == "begin":
            named = _text(self._config.get("bos_token"))
            return self.fast.token_to_id(named) if named else super().special(role)
        if role == "decoder_start":
            index: int | None = self._config.get(_DECODER_START)
            return index
        usual, key = ROLES[role]
        return self.fast.token_to_id(_text(self._config.get(key)) or usual)

    def config(self) -> dict[str, Any]:
        """Return the configuration that came along, its end and padding tokens made sure.

        What a class of its own would do to the tokenizer, ``tokenizer.json`` has already: another
        class could build another tokenizer from the same file.
        """
        kept = {key: value for key, value in self._config.items() if key not in _SETTLED}
        ours = super().config()
        if "model_input_names" in kept or "DistilBert" in str(self._config.get("tokenizer_class")):
            ours.pop("model_input_names", None)
        return {**kept, **ours}

    def bytes_of(self, token: str) -> int:
        """Return the bytes of a token: byte-level, byte fallback or ``▁`` for a blank."""
        if "ByteLevel(" in repr(self.fast.decoder):
            return len(token)
        if token.startswith("<0x") and len(token) == 6:
            return 1
        if "WordPiece(" in repr(self.fast.decoder):
            return len(token.removeprefix("##").encode())
        blank = "▁" if "▁" in repr(self.fast.decoder) else " "
        return len(token.replace(blank, " ").encode())


def _decoder_start(folder: Path, size: int) -> dict[str, int]:
    """Return the id that the model beside a tokenizer begins its answers with, if it tells one.

    Raises:
        DataError: if that is no id of the vocabulary.
    """
    for name in _MODEL_FILES:
        index = read_object(folder / name).get(_DECODER_START)
        if index is None:
            continue
        if type(index) is not int or not 0 <= index < size:
            raise DataError(
                f"{_DECODER_START} is not the id of a token.",
                where=folder / name,
                expected=f"0 to {size - 1:,}",
                got=index,
            )
        return {_DECODER_START: index}
    return {}


def _text(token: Any) -> str:
    """Return a special token's text; configurations write it plain or as a table."""
    return str(token.get("content", "")) if isinstance(token, dict) else str(token or "")
