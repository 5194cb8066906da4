"""Messages of conversations as plain tables, in the forms that OpenAI and ShareGPT write them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from luban.core.errors import RequestError
from luban.core.yaml_json import json_of

Messages = Sequence[Mapping[str, Any]]
Message = dict[str, Any]

ASSISTANT = "assistant"
#: What turns of a record say that their role is, where it is one of the usual roles.
ROLES = {
    "human": "user",
    "gpt": ASSISTANT,
    "chatgpt": ASSISTANT,
    "bot": ASSISTANT,
    "model": ASSISTANT,
}
#: Roles that conversations have, whatever the template; ``ChatTemplate`` finds places for others.
KNOWN = (
    "system",
    "developer",
    "user",
    ASSISTANT,
    "tool",
    "function",
    "function_call",
    "observation",
)
#: Fields of a message that are understood; a template may read others.
READ = ("role", "content", "name", "weight", "train", "tool_calls", "tool_call_id",
        "reasoning_content")  # fmt: skip
#: Fields that say nothing about what is said.
SILENT = ("from", "value", "refusal", "annotations", "audio", "function_call")


def named(message: Any) -> Any:
    """Return a message of ShareGPT's form in the usual one; others as they are."""
    if not isinstance(message, Mapping):
        return message
    if "from" in message and "role" not in message:
        rest = {key: v for key, v in message.items() if key not in ("from", "value")}
        message = {"role": message["from"], "content": message.get("value"), **rest}
    role = message.get("role")
    return {**message, "role": ROLES.get(role, role)} if isinstance(role, str) else message


def checked(messages: Any) -> list[Message]:
    """Return messages as plain tables of ``role``, ``content`` and what else they hold.

    Content that is a list of texts becomes one text; a field without a value is left out.

    Raises:
        RequestError: saying which message is not one.
    """
    if not isinstance(messages, Sequence) or isinstance(messages, str) or not messages:
        raise RequestError("messages must be a list of at least one message.", got=messages)
    return [_checked(message, f"message {number}") for number, message in enumerate(messages, 1)]


def _checked(message: Any, where: str) -> Message:
    if not isinstance(message, Mapping):
        raise RequestError("a message is role and content.", where=where, got=message)
    made = {key: v for key, v in message.items() if v is not None or key == "content"}
    if not isinstance(made.get("role"), str):
        raise RequestError(
            "a message needs the field 'role', a text.", where=where, got=made.get("role")
        )
    if made.get("function_call"):
        raise RequestError(
            "the field 'function_call' of a message is not read.",
            where=where,
            fix="write it as tool_calls: [{type: function, function: {name, arguments}}].",
        )
    calls = made.get("tool_calls")
    if calls is not None:
        made["tool_calls"] = _calls(calls, where, made["role"])
    if not made.get("tool_calls"):
        made.pop("tool_calls", None)
    if isinstance(made.get("content"), list | tuple):
        made["content"] = _joined(made["content"], where)
    absent = made.get("content") is None and "tool_calls" in made
    if not absent and not isinstance(made.get("content"), str):
        raise RequestError(
            "a message needs the field 'content', a text.", where=where, got=made.get("content")
        )
    for text in texts_in(made):
        if any("\ud800" <= character <= "\udfff" for character in text):
            raise RequestError("a message holds half a character.", where=where)
    return made


def supervised(message: Message, where: str) -> bool:
    """Return whether an answer is to be learned: ``weight`` of OpenAI, ``train`` of axolotl.

    Raises:
        RequestError: for other values than 0 and 1, false and true; for a message of somebody
            else that is to be learned.
    """
    wanted = [message[field] for field in ("weight", "train") if field in message]
    for value in wanted:
        if isinstance(value, str) or value not in (0, 1):
            raise RequestError(
                "the weight of an answer is not understood.",
                where=where,
                expected="weight: 0 or 1, or train: true or false",
                got=value,
            )
    answers = message["role"] == ASSISTANT
    if "train" in message and message["train"] and not answers:
        raise RequestError(
            "only answers are learned, and this message is none.",
            where=where,
            expected=f"train: true on messages of the role {ASSISTANT!r} only",
            got=message["role"],
        )
    return answers and all(wanted)


def tools_in(value: Any) -> list[Any] | None:
    """Return the field ``tools`` of a record: a list of descriptions, or JSON that holds one.

    Raises:
        RequestError: if it is something else.
    """
    if isinstance(value, str) and value.strip():
        try:
            value = json_of(value)
        except (ValueError, RecursionError):
            raise RequestError(
                "the field 'tools' is not JSON.", expected="a list of tools", got=value
            ) from None
    if not value:
        return None
    if not isinstance(value, list | tuple) or not all(isinstance(t, Mapping) for t in value):
        raise RequestError(
            "the field 'tools' is not understood.",
            expected="a list of descriptions: {type: function, function: {name, parameters}}",
            got=value,
        )
    return list(value)


def call_in(text: str) -> Message | None:
    """Return the call that a turn ``function_call`` of ShareGPT's form spells as JSON."""
    try:
        found = json_of(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or not isinstance(found.get("name"), str):
        return None
    call = {"name": found["name"], "arguments": found.get("arguments", {})}
    return {
        "role": ASSISTANT,
        "content": "",
        "tool_calls": [{"type": "function", "function": call}],
    }


def texts_in(value: Any) -> Iterator[str]:
    """Yield every text that a message holds, however deep; not the names of fields."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from texts_in(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from texts_in(item)


def names_called(message: Message) -> list[str]:
    """Return the names of the functions that a message calls."""
    return [call.get("function", call)["name"] for call in message.get("tool_calls", ())]


def _calls(calls: Any, where: str, role: str) -> list[Any]:
    good = isinstance(calls, list | tuple) and all(
        isinstance(call, Mapping)
        and isinstance(inner := call.get("function", call), Mapping)
        and isinstance(inner.get("name"), str)
        for call in calls
    )
    if not good or (calls and role != ASSISTANT):
        raise RequestError(
            "the field 'tool_calls' is not understood.",
            where=where,
            expected=f"in messages of the role {ASSISTANT!r}, a list of "
            "{type: function, function: {name, arguments}}",
            got=calls,
        )
    return list(calls)


def _joined(parts: Sequence[Any], where: str) -> str:
    for part in parts:
        kind = part.get("type", "text") if isinstance(part, Mapping) else None
        if kind != "text" or not isinstance(part.get("text"), str):
            raise RequestError(
                "only text is read of a message.",
                where=where,
                expected="content: a text, or a list of {type: text, text: …}",
                got=part,
            )
    return "".join(part["text"] for part in parts)
