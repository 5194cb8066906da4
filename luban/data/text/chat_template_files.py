"""Where chat templates lie: in the folder of a tokenizer, as transformers writes them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from luban.core.errors import DataError
from luban.core.files import write_atomic, write_json
from luban.core.yaml_json import json_of

#: OpenAI's chat markup language: what models of our own are taught.
CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
_CONFIG, _FILE = "tokenizer_config.json", "chat_template.jinja"
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
        found = read_object(folder / _CONFIG).get("chat_template")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError("cannot read the chat template.", where=folder, got=str(error)) from None
    if isinstance(found, list):
        named = {item.get("name"): item.get("template") for item in found if isinstance(item, dict)}
        found = named.get("default")
    return found if isinstance(found, str) else ""


def write_template(folder: Path, source: str) -> None:
    """Put a template beside the tokenizer in a folder."""
    config = read_object(folder / _CONFIG)
    write_json(folder / _CONFIG, {**config, "chat_template": source})
    write_atomic(folder / _FILE, source)


def named_tokens(folder: Path) -> dict[str, str]:
    """Return ``bos_token`` and its like by name, as transformers passes them to templates.

    Raises:
        DataError: if the configuration is damaged.
    """
    named = {}
    for key, value in read_object(folder / _CONFIG).items():
        text = value.get("content") if isinstance(value, dict) else value
        if key.endswith("_token") and isinstance(text, str):
            named[key] = text
    return named


def read_object(path: Path) -> dict[str, Any]:
    """Return a JSON object; an empty one where there is no file.

    Raises:
        DataError: if it is something else.
    """
    try:
        found = json_of(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise DataError(f"this is not JSON ({error}).", where=path) from None
    if not isinstance(found, dict):
        raise DataError("this is not an object.", where=path, got=found)
    return found
