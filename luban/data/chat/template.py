"""Chat templates: how a conversation is written as text and as tokens.

A template is Jinja source, kept as ``chat_template`` in ``tokenizer_config.json`` and in
``chat_template.jinja`` beside it, so that ``apply_chat_template`` of transformers gives the same.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import jinja2
import tokenizers

from luban.core.errors import DataError, RequestError
from luban.core.files import write_atomic, write_json
from luban.data.chat.sandbox import compiled

Messages = Sequence[Mapping[str, Any]]

#: OpenAI's chat markup language: what models of our own are taught.
CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
ASSISTANT = "assistant"
_CONFIG, _FILE, _TOKENIZER = "tokenizer_config.json", "chat_template.jinja", "tokenizer.json"
_MARKED = re.compile(r"<\|\w+\|>")


def tokens_named(source: str) -> tuple[str, ...]:
    """Return the tokens of the form ``<|name|>`` that a template spells out."""
    return tuple(dict.fromkeys(_MARKED.findall(source)))


def read_template(folder: Path) -> str:
    """Return the template that a tokenizer's folder holds; empty if it holds none.

    ``chat_template.jinja`` goes before the configuration; of several named templates, the
    ``default`` one counts.

    Raises:
        DataError: if it is there and cannot be read.
    """
    try:
        if (folder / _FILE).is_file():
            return (folder / _FILE).read_text(encoding="utf-8")
        found = _json(folder / _CONFIG).get("chat_template")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError("cannot read the chat template.", where=folder, got=str(error)) from None
    if isinstance(found, list):
        named = {item.get("name"): item.get("template") for item in found if isinstance(item, dict)}
        found = named.get("default")
    return found if isinstance(found, str) else ""


def write_template(folder: Path, source: str) -> None:
    """Put a template beside the tokenizer in a folder."""
    config = _json(folder / _CONFIG)
    write_json(folder / _CONFIG, {**config, "chat_template": source})
    write_atomic(folder / _FILE, source)


@dataclass(frozen=True, slots=True)
class Turns:
    """A conversation as tokens.

    Attributes:
        ids: The tokens, up to the end of the last answer.
        spans: [first, last) of each answer, its end token included.
    """

    ids: list[int]
    spans: list[tuple[int, int]]


class ChatTemplate:
    """A template together with the tokenizer it writes for: ``luban.inference.text.Chat``.

    What a message says is data: a special token that it spells out stays text.

    Args:
        source: Jinja.
        folder: Holds ``tokenizer.json`` and, for ``bos_token`` and the like,
            ``tokenizer_config.json``.

    Raises:
        DataError: if the source is no template, or closes an answer with no special token.
    """

    def __init__(self, source: str, folder: Path) -> None:
        self.source = source
        self._environment, self._template = compiled(source, "chat_template")
        self._fast = tokenizers.Tokenizer.from_file(str(folder / _TOKENIZER))
        added = self._fast.get_added_tokens_decoder().items()
        self._specials = {token.content: index for index, token in added if token.special}
        spelled = sorted(map(re.escape, self._specials), key=len, reverse=True)
        self._special = re.compile("|".join(spelled) or r"(?!)")
        self._variables = _named_tokens(_json(folder / _CONFIG))
        self.end = self._end()

    def render(self, messages: Messages, add_generation_prompt: bool = True) -> str:
        """Return the text of a conversation, as ``apply_chat_template(tokenize=False)``.

        Args:
            messages: ``role`` and ``content`` of each turn.
            add_generation_prompt: Go on to where the next answer begins.

        Raises:
            RequestError: for messages that the template refuses.
        """
        return self._render(checked(messages), add_generation_prompt)

    def encode(self, messages: Messages, add_generation_prompt: bool = True) -> list[int]:
        """Return the tokens of a conversation, ready to be continued.

        Raises:
            RequestError: for messages that the template refuses.
        """
        marked, mark = self._marked(checked(messages))
        text = self._render(marked, add_generation_prompt)
        return self._ids([text], mark)[0]

    def turns(self, messages: Messages) -> Turns:
        """Return a conversation as tokens, and where in it the answers are.

        An answer begins where the template, asked to let the model speak, stops writing; it ends
        with the first end token after that. What follows the last answer is left out.

        Raises:
            RequestError: for messages that the template refuses, or writes in such a way that
                what stands before an answer changes with what comes after it.
        """
        marked, mark = self._marked(checked(messages))
        whole = self._render(marked, False)
        starts = []
        for number, message in enumerate(marked):
            if message["role"] == ASSISTANT:
                before = self._render(marked[:number], True)
                if not whole.startswith(before):
                    raise _unstable(number, before, whole)
                starts.append(len(before))
        if not starts:
            raise RequestError(f"nobody answers: no message has the role {ASSISTANT!r}.")
        cuts = [0, *starts, len(whole)]
        texts = [whole[a:b] for a, b in pairwise(cuts)]
        ids: list[int] = []
        spans: list[tuple[int, int]] = []
        for number, piece in enumerate(self._ids(texts, mark)):
            if number:
                if self.end not in piece:
                    raise RequestError("the template gives an answer no end token.")
                spans.append((len(ids), len(ids) + piece.index(self.end) + 1))
            ids += piece
        return Turns(ids[: spans[-1][1]], spans)

    def _render(self, messages: list[dict[str, Any]], add_generation_prompt: bool) -> str:
        given = {
            **self._variables,
            "messages": messages,
            "tools": None,
            "documents": None,
            "add_generation_prompt": add_generation_prompt,
        }
        try:
            return self._environment.render_bounded(self._template, given)
        except (jinja2.TemplateError, *_FAULTS) as error:
            raise RequestError(
                "the chat template does not take these messages.",
                got=str(error).partition("\n")[0] or type(error).__name__,
            ) from None

    def _marked(self, messages: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], str]:
        """Break every special token that a message spells, with a mark that none contains."""
        said = [text for m in messages for text in m.values() if isinstance(text, str)]
        if not any(self._special.search(text) for text in said):
            return messages, ""
        mark = next(c for c in map(chr, range(0xE000, 0xF8FF)) if not any(c in t for t in said))

        def broken(text: Any) -> Any:
            if not isinstance(text, str):
                return text
            return self._special.sub(lambda found: f"{found[0][0]}{mark}{found[0][1:]}", text)

        return [{key: broken(text) for key, text in m.items()} for m in messages], mark

    def _ids(self, texts: Sequence[str], mark: str) -> list[list[int]]:
        """Return the tokens of each text; at a mark, what stands there stays text."""
        pieces = [text.split(mark) if mark else [text] for text in texts]
        flat = [piece for parts in pieces for piece in parts]
        encoded = self._fast.encode_batch_fast(flat, add_special_tokens=False)
        found = iter([encoding.ids for encoding in encoded])
        return [[id_ for _ in parts for id_ in next(found)] for parts in pieces]

    def _end(self) -> int:
        """Return the token that closes an answer: the last special one the template writes."""
        said = [{"role": "user", "content": "a"}, {"role": ASSISTANT, "content": "b"}]
        try:
            before, whole = self._render(said[:1], True), self._render(said, False)
        except RequestError as error:
            raise DataError(error.what, where="chat_template", got=error.got) from None
        if not whole.startswith(before):
            found = _unstable(1, before, whole)
            raise DataError(found.what, where="chat_template", got=found.got, fix=found.fix)
        closing = self._special.findall(whole[len(before) :])
        if not closing:
            raise DataError(
                "the chat template closes an answer with no special token of the tokenizer.",
                where="chat_template",
                expected=f"one of {', '.join(self._specials)} after the answer",
                got=whole[-80:],
                fix="write {{ eos_token }} after an answer, or choose a tokenizer that has the "
                "template's tokens; else a model would never stop.",
            )
        return self._specials[closing[-1]]


_FAULTS = (TypeError, ValueError, KeyError, IndexError, AttributeError, RecursionError,
           ArithmeticError, MemoryError)  # fmt: skip


def checked(messages: Any) -> list[dict[str, Any]]:
    """Return messages as plain tables of ``role`` and ``content``.

    Raises:
        RequestError: saying which message is not one.
    """
    if not isinstance(messages, Sequence) or isinstance(messages, str) or not messages:
        raise RequestError("messages must be a list of at least one message.", got=messages)
    made = []
    for number, message in enumerate(messages, 1):
        where = f"message {number}"
        if not isinstance(message, Mapping):
            raise RequestError("a message is role and content.", where=where, got=message)
        for field in ("role", "content"):
            if not isinstance(message.get(field), str):
                raise RequestError(
                    f"a message needs the field {field!r}, a text.",
                    where=where,
                    got=message.get(field),
                )
        if any("\ud800" <= character <= "\udfff" for character in message["content"]):
            raise RequestError("a message holds half a character.", where=where)
        if message.get("tool_calls"):
            raise RequestError("calls of tools are not supported.", where=where)
        made.append({key: value for key, value in message.items() if isinstance(value, str)})
    return made


def _unstable(number: int, before: str, whole: str) -> RequestError:
    pairs = enumerate(zip(before, whole, strict=False))
    at = next((i for i, (a, b) in pairs if a != b), len(whole))
    return RequestError(
        "the chat template writes what stands before this answer in two ways.",
        where=f"message {number + 1}",
        expected=repr(before[max(0, at - 20) : at + 40]),
        got=repr(whole[max(0, at - 20) : at + 40]),
        fix="give task.chat_template a template that leaves earlier turns as they are, or end "
        "conversations after their first answer.",
    )


def _named_tokens(config: Mapping[str, Any]) -> dict[str, str]:
    """Return ``bos_token`` and its like by name, as transformers passes them to templates."""
    named = {}
    for key, value in config.items():
        text = value.get("content") if isinstance(value, dict) else value
        if key.endswith("_token") and isinstance(text, str):
            named[key] = text
    return named


def _json(path: Path) -> dict[str, Any]:
    """Return a JSON object; an empty one where there is no file.

    Raises:
        DataError: if it is something else.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise DataError(f"this is not JSON ({error}).", where=path) from None
    if not isinstance(found, dict):
        raise DataError("this is not an object.", where=path, got=found)
    return found
