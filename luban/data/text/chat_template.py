"""Chat templates: how a conversation is written as text and as tokens.

A template is Jinja source, kept as ``chat_template`` in ``tokenizer_config.json`` and in
``chat_template.jinja`` beside it, so that ``apply_chat_template`` of transformers gives the same.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

from luban.core.errors import DataError, RequestError
from luban.data.text.chat_messages import (
    ASSISTANT,
    KNOWN,
    READ,
    SILENT,
    Message,
    Messages,
    call_in,
    checked,
    names_called,
    supervised,
    texts_in,
)
from luban.data.text.chat_renderer import renderer
from luban.data.text.chat_template_files import named_tokens
from luban.data.tokenizers._spelled import SpelledText

_QUOTED = re.compile(r"""['"](\w+)['"]""")  #: names that a template spells: roles, fields
_TAGS = ("<think>", "</think>")
#: Characters that Unicode gives no meaning: one of them breaks special tokens that messages spell.
_PRIVATE = range(0xE000, 0xF900)
_PROBE = "QxQ"  #: a text that no template writes by itself


@dataclass(frozen=True, slots=True)
class Turns:
    """A conversation as tokens.

    Attributes:
        ids: The tokens, up to the end of the last answer.
        spans: [first, last) of each answer that is to be learned, its end token included.
        notes: What the template leaves out, one for each time.
    """

    ids: list[int]
    spans: list[tuple[int, int]]
    notes: tuple[str, ...] = ()


class ChatTemplate:
    """A template together with the tokenizer it writes for: ``luban.inference.text.Chat``.

    What a message says is data: a special token that it spells out stays text. Tokens are those
    of the whole text, as ``apply_chat_template(tokenize=True)`` has them.

    Args:
        source: Jinja.
        folder: Holds ``tokenizer.json`` and, for ``bos_token`` and the like,
            ``tokenizer_config.json``.

    Raises:
        DataError: if the source is no template, or closes an answer with no special token.
    """

    def __init__(self, source: str, folder: Path) -> None:
        self.source = source
        self._renderer = renderer(source)
        self._reader = SpelledText((folder / "tokenizer.json").read_text(encoding="utf-8"))
        self._ids = {token: index for index, token in self._reader.specials.items()}
        self._variables = named_tokens(folder)
        self._roles = {*KNOWN, *_QUOTED.findall(source)}
        #: Tokens that end an answer; the template writes the first of them right after it.
        self.ends = self._closing()
        self.end = self.ends[0]

    def render(self, messages: Messages, add_generation_prompt: bool = True) -> str:
        """Return the text of a conversation, as ``apply_chat_template(tokenize=False)``.

        Args:
            messages: ``role`` and ``content`` of each turn.
            add_generation_prompt: Go on to where the next answer begins.

        Raises:
            RequestError: for messages that the template refuses.
        """
        return self._render(self._placed(messages), add_generation_prompt)

    def encode(self, messages: Messages, add_generation_prompt: bool = True) -> list[int]:
        """Return the tokens of a conversation, ready to be continued.

        Raises:
            RequestError: for messages that the template refuses.
        """
        marked, mark = self._marked(self._placed(messages))
        return self._encoded(self._render(marked, add_generation_prompt), mark)[0]

    def turns(self, messages: Messages, tools: Sequence[Any] | None = None) -> Turns:
        """Return a conversation as tokens, and where in it the answers are.

        An answer begins where the template, asked to let the model speak, stops writing: with the
        first token that stands for a character after that. It ends with the first end token. What
        follows the last answer is left out.

        Args:
            messages: ``role`` and ``content`` of each turn; an answer with ``weight: 0`` or
                ``train: false`` is not learned.
            tools: Descriptions of tools, for the template.

        Raises:
            RequestError: for messages that the template refuses, leaves out, or writes in such a
                way that what stands before an answer changes with what comes after it.
        """
        said = self._placed(messages)
        learned = [supervised(m, f"message {number}") for number, m in enumerate(said, 1)]
        marked, mark = self._marked(said)
        whole = self._render(marked, False, tools)
        if tools and whole == self._render(marked, False):
            raise RequestError(
                "the chat template leaves out the field 'tools'.",
                fix="give task.chat_template one that writes tools, or drop the field.",
            )
        places = [n for n, message in enumerate(marked) if message["role"] == ASSISTANT]
        if not places:
            raise RequestError(f"nobody answers: no message has the role {ASSISTANT!r}.")
        starts = []
        for number in places:
            before = self._render(marked[:number], True, tools)
            if not whole.startswith(before):
                raise _unstable(number, before, whole)
            starts.append(len(before))
        pieces = [whole[a:b] for a, b in pairwise([*starts, len(whole)])]
        answers = dict(zip(places, pieces, strict=True))
        notes = [
            note
            for number, message in enumerate(marked)
            for note in self._left_out(message, f"message {number + 1}", whole, answers.get(number))
        ]
        ids, offsets = self._encoded(whole, mark)
        cuts = [cut - whole.count(mark, 0, cut) if mark else cut for cut in (*starts, len(whole))]
        spans = [self._span(ids, offsets, first, last) for first, last in pairwise(cuts)]
        kept = [span for span, number in zip(spans, places, strict=True) if learned[number]]
        return Turns(ids[: (kept or spans)[-1][1]], kept, tuple(notes))

    def _span(
        self, ids: list[int], offsets: list[tuple[int, int]], first: int, last: int
    ) -> tuple[int, int]:
        """Return the tokens [a, b) of the answer within the characters [first, last)."""
        start = next((i for i, (_, end) in enumerate(offsets) if end > first), len(ids))
        for place in range(start, len(ids)):
            if offsets[place][0] >= last:
                break
            if ids[place] in self.ends:
                return start, place + 1
        raise RequestError("the template gives an answer no end token.")

    def _placed(self, messages: Messages) -> list[Message]:
        """Return messages with roles that the template knows.

        Raises:
            RequestError: for a role that nobody knows.
        """
        return [self._place(m, f"message {n}") for n, m in enumerate(checked(messages), 1)]

    def _place(self, message: Message, where: str) -> Message:
        role = message["role"]
        if role not in self._roles:
            raise RequestError(
                f"the role {role!r} is not known.",
                where=where,
                expected=f"one of {', '.join(KNOWN)}, or another that the chat template names",
                got=role,
                fix="rename the role in the data.",
            )
        if role == "developer" and role not in self.source:
            return {**message, "role": "system"}
        if role == "observation" and role not in self.source:
            return {**message, "role": "tool" if self._takes_tools else "user"}
        if role == "function_call" and role not in self.source:
            call = call_in(message["content"]) if "tool_calls" in self.source else None
            return {**message, "role": ASSISTANT, **(call or {})}
        return message

    @cached_property
    def _takes_tools(self) -> bool:
        """Whether the template writes what a message of the role ``tool`` says."""
        call = {"type": "function", "function": {"name": "f", "arguments": {}}}
        talk: list[Message] = [
            {"role": "user", "content": "a"},
            {"role": ASSISTANT, "content": "", "tool_calls": [call]},
            {"role": "tool", "content": _PROBE},
        ]
        try:
            return _PROBE in self._render(talk, False)
        except RequestError:
            return False

    def _left_out(self, message: Message, where: str, whole: str, answer: str | None) -> list[str]:
        """Return notes on what the template does not write of a message.

        Args:
            message: As the template got it.
            where: Which message it is.
            whole: All text.
            answer: The text from where the answer begins, if the message is one.

        Raises:
            RequestError: if it is more than reasoning, which templates drop on purpose.
        """
        text, said = whole if answer is None else answer, message.get("content") or ""
        thought, _, rest = said.rpartition("</think>") if answer is not None else ("", "", said)
        if not _stands(rest, text):
            raise RequestError(
                "the chat template leaves out what a message says.",
                where=where,
                expected=f"a template that writes the role {message['role']!r} as it is",
                got=rest,
                fix="choose another task.chat_template, or leave such messages out.",
            )
        missing = [name for name in names_called(message) if name not in text]
        if missing:
            raise RequestError(
                "the chat template leaves out the field 'tool_calls' of a message.",
                where=where,
                got=", ".join(missing),
                fix="give task.chat_template one that writes calls of tools.",
            )
        thoughts = (thought.rpartition("<think>")[2], message.get("reasoning_content", ""))
        notes = [f"fields of messages not read: {key}" for key in self._unread(message)]
        if answer is not None and not all(_stands(t, text) for t in thoughts if isinstance(t, str)):
            notes.append("answers whose reasoning the chat template leaves out")
        return notes

    def _unread(self, message: Message) -> list[str]:
        return [
            key
            for key, value in message.items()
            if key not in READ
            and key not in SILENT
            and not re.search(rf"\b{re.escape(key)}\b", self.source)
            if value not in ("", [], {}, False)
        ]

    def _render(
        self,
        messages: list[Message],
        add_generation_prompt: bool,
        tools: Sequence[Any] | None = None,
    ) -> str:
        given = {
            **self._variables,
            "messages": messages,
            "tools": tools,
            "documents": None,
            "add_generation_prompt": add_generation_prompt,
        }
        return self._renderer.render(given)

    def _marked(self, messages: list[Message]) -> tuple[list[Message], str]:
        """Break every special token that a message spells, with a mark that none contains.

        Tags of reasoning are left: where they are special tokens, they are meant.
        """
        said = [text for message in messages for text in texts_in(message)]
        if not any(map(self._spells, said)):
            return messages, ""
        used = set[str]().union(*said)
        mark = next((c for c in map(chr, _PRIVATE) if c not in used), None)
        if mark is None:
            raise RequestError(
                "the messages spell a special token and hold every private-use character.",
                expected="one of U+E000 to U+F8FF that no message holds",
                fix="leave the special token out, or these characters.",
            )

        def broken(value: Any) -> Any:
            if isinstance(value, Mapping):
                return {key: broken(item) for key, item in value.items()}
            if isinstance(value, list | tuple):
                return [broken(item) for item in value]
            while isinstance(value, str) and self._spells(value):
                value = self._reader.pattern.sub(_broken(mark), value)
            return value

        return [{key: broken(value) for key, value in m.items()} for m in messages], mark

    def _spells(self, text: str) -> bool:
        return any(found[0] not in _TAGS for found in self._reader.pattern.finditer(text))

    def _encoded(self, text: str, mark: str) -> tuple[list[int], list[tuple[int, int]]]:
        """Return the tokens of a text and where they stand in it, marks not counted."""
        parts: list[str | int] = []
        at = 0
        for found in self._reader.pattern.finditer(text):
            parts += [text[at : found.start()], self._ids[found[0]]]
            at = found.end()
        parts.append(text[at:])
        if mark:
            parts = [p.replace(mark, "") if isinstance(p, str) else p for p in parts]
        return self._reader.encode([part for part in parts if part != ""])

    def _closing(self) -> tuple[int, ...]:
        """Return the special tokens that the template writes after an answer, in their order."""
        said = [{"role": "user", "content": "a"}, {"role": ASSISTANT, "content": _PROBE}]
        try:
            before, whole = self._render(said[:1], True), self._render(said, False)
        except RequestError as error:
            raise DataError(error.what, where="chat_template", got=error.got) from None
        if not whole.startswith(before):
            found = _unstable(1, before, whole)
            raise DataError(found.what, where="chat_template", got=found.got, fix=found.fix)
        rest = whole[len(before) :]
        closing = self._reader.pattern.findall(rest[rest.rfind(_PROBE) + 1 :])
        if not closing:
            raise DataError(
                "the chat template closes an answer with no special token of the tokenizer.",
                where="chat_template",
                expected=f"one of {', '.join(self._ids)} after the answer",
                got=whole[-80:],
                fix="write {{ eos_token }} after an answer, or choose a tokenizer that has the "
                "template's tokens; else a model would never stop.",
            )
        return tuple(dict.fromkeys(self._ids[token] for token in closing))


def _broken(mark: str) -> Callable[[re.Match[str]], str]:
    """Return what breaks a special token with a mark; tags of reasoning stay whole."""
    return lambda found: found[0] if found[0] in _TAGS else f"{found[0][0]}{mark}{found[0][1:]}"


def _stands(said: str, text: str) -> bool:
    """Return whether a text holds what was said, blanks around it aside, as it is or as JSON."""
    bare = said.strip()
    return bare in text or json.dumps(bare, ensure_ascii=False)[1:-1] in text


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
