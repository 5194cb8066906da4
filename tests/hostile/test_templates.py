"""Hostile chat templates: none escapes, none takes more time or memory than its bounds."""

from __future__ import annotations

import json
import resource
import time
from itertools import product
from pathlib import Path

import pytest

from luban.core.errors import DataError, RequestError
from luban.data.text.chat_template import ChatTemplate
from luban.data.text.chat_template_files import CHATML
from luban.data.tokenizers.bpe import Bpe
from tests.contracts.samples import TEXTS
from tests.life import luban

MEMORY = 2**30
NUMBERS = ["10**9", "999999999", "10**9 - 1", "2**62"]
_GROW = (
    "{{% set ns = namespace(x={first}) %}}{{% for i in range({turns}) %}}"
    "{{% set ns.x = {step} %}}{{% endfor %}}{{{{ {end} }}}}"
)
_STARTS = {
    "text": "'x' * 99",
    "list": "[0] * 90000",
    "table": "{'a': 1}",
    "list of texts": "['x' * 99999]",
}
_STEPS = [
    *("[ns.x, ns.x]", "[ns.x] * 99", "ns.x ~ ns.x", "{'a': ns.x, 'b': ns.x}", "ns.x + ns.x"),
    *("(ns.x, ns.x, ns.x)", "dict(a=ns.x, b=ns.x)"),
]
_ENDS = [
    *("ns.x", "ns.x | string | length", "ns.x | tojson | length", "ns.x | pprint | length"),
    *("ns.x == ns.x", "ns.x | list | join | length"),
]
_FILTERS = [
    *("center(N)", "indent(N)", "wordwrap(N)", "truncate(N)", "replace('a', 'b' * N)"),
    *("batch(N) | list", "slice(N) | list", "round(N)", "int(base=N)", "format(N)"),
]
_LONG = {
    "wordwrap": "('a' * 3000000) | wordwrap(1)",
    "urlize": "('http://a.b ' * 300000) | urlize",
    "striptags": "('<' * 3000000) | striptags",
    "escape": "('<' * 3900000) | escape | escape | escape",
    "title": "('a ' * 1900000) | title",
    "wordcount": "('a ' * 1900000) | wordcount",
    "sort": "(('a ' * 49999).split()) | sort | unique | list",
    "groupby": "range(99999) | groupby('real') | list | length",
    "map": "([range(100000)] * 9999) | map('list') | map('length') | sum",
    "split": "('a ' * 1900000).split() | length",
    "join": "(['a' * 99999] * 90000) | join('b' * 99999)",
    "translate": "('a' * 99999).translate({97: 'b' * 99999})",
    "expandtabs": "('\\t' * 99999).expandtabs(99999)",
    "zfill": "'a'.zfill(10**9)",
    "ljust": "'a'.ljust(999999999)",
    "percent": "'%999999999d' % 1",
    "percent star": "'%*d' % (999999999, 1)",
    "format": "'{:>999999999}'.format(1)",
    "nested format": "'{:{}}'.format(1, 999999999)",
    "power": "9 ** 9 ** 9",
    "shifted": "(10 ** 17) ** (10 ** 17)",
    "range": "range(10**9) | list",
    "range of ranges": "range(99999) | map('string') | map('center', 99999) | join | length",
    "times": "'a' * 10**9",
    "list times": "[0] * 10**9",
    "list of list times": "[[0] * 99999] * 99999",
}
_ESCAPES = [
    "''.__class__.__mro__[1].__subclasses__()",
    "'{0.__class__}'.format(1).__len__()",
    "''|attr('__class__')|attr('__mro__')",
    "namespace(__class__=1)",
    "cycler.__init__.__globals__",
    "joiner.__init__.__globals__.os.system('touch executed')",
    "raise_exception.__globals__",
    "strftime_now.__globals__",
    "messages.append(1)",
    "self.__init__.__globals__",
    "(messages|first).update({'role': 1})",
    "range.__class__.__base__.__subclasses__()",
    "tojson.__globals__",
    "'%s' % messages.__class__.__base__.x()",
    "[].__reduce_ex__(2)",
    "namespace.__init__.__globals__.sys.modules",
    "dict.fromkeys.__self__.__class__.__globals__",
]
_CODE = {
    "nested loops": "{% for i in range(99999) %}" * 2 + "{% endfor %}" * 2,
    "recursion": "{% macro f() %}{{ f() }}{{ f() }}{% endmacro %}{{ f() }}",
    "recursive loop": "{% for i in [[1]] recursive %}{{ loop([i, i]) }}{% endfor %}",
    "call blocks": "{% macro f(n) %}{{ caller() }}{{ caller() }}{% endmacro %}"
    "{% call f(1) %}{% call f(1) %}{% call f(1) %}" + "x" * 9 + "{% endcall %}" * 3,
    "output": "{% for i in range(99999) %}{{ 'x' * 1000 }}{% endfor %}",
    "set blocks": "{% set x %}" + "{{ 'a' * 3000000 }}" * 9 + "{% endset %}{{ x }}",
    "filter blocks": "{% filter replace('a', 'b' * 99999) %}{{ 'a' * 99999 }}{% endfilter %}",
    "deep brackets": "{{ " + "(" * 20_000 + "1" + ")" * 20_000 + " }}",
    "deep lists": "{{ " + "[" * 20_000 + "]" * 20_000 + " }}",
    "many signs": "{{ " + "-" * 100_000 + "1 }}",
    "many filters": "{{ 'a'" + "|upper" * 50_000 + " }}",
    "deep conditions": "{% if 1 %}" * 5000 + "{% endif %}" * 5000,
    "a long sum": "{{ " + "1+" * 100_000 + "1 }}",
    "include": "{% include '/etc/passwd' %}",
    "import": "{% import 'os' as os %}{{ os.system('touch executed') }}",
    "extends": "{% extends messages %}",
    "too long": "{# " + "x" * 2_000_000 + " #}",
}


def hostile() -> dict[str, str]:
    """Return every hostile template by name."""
    found = {f"escape {number}": f"{{{{ {code} }}}}" for number, code in enumerate(_ESCAPES)}
    found |= {f"long {name}": f"{{{{ {code} }}}}" for name, code in _LONG.items()}
    found |= _CODE
    for call, number in product(_FILTERS, NUMBERS):
        found[f"{call} {number}"] = f"{{{{ 'a' | {call.replace('N', f'({number})')} }}}}"
    for (name, first), step, end in product(_STARTS.items(), _STEPS, _ENDS):
        made = _GROW.format(first=first, step=step, end=end, turns=40)
        found[f"{name}: {step}, {end}"] = made
    return found


EVERY = hostile()
SOME = [name for number, name in enumerate(EVERY) if number < 77 or number % 40 == 0]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizer")
    Bpe(vocab_size=300).learn(TEXTS, ["<|im_start|>", "<|im_end|>"]).save(folder)
    return folder


def tried(name: str, folder: Path) -> str:
    """Let a template be rendered once its first checks are passed; return how it ended."""
    late = "{% if messages|length > 2 %}" + EVERY[name] + "{% endif %}" + CHATML
    start = time.process_time()
    talk = [{"role": role, "content": "hi"} for role in ("user", "assistant", "user")]
    try:
        ChatTemplate(late, folder).render(talk)
        ended = "rendered"
    except (RequestError, DataError) as error:
        ended = str(error)
    assert time.process_time() - start < 2, "this process only waits"
    return ended


def held(names: list[str], folder: Path) -> tuple[int, int]:
    """Return how many of some templates were refused, and how many by the process's bounds."""
    refused = stopped = most = 0
    slowest = (0.0, "")
    for name in names:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        start = time.monotonic()
        ended = tried(name, folder)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        slowest, most = max(slowest, (used, name)), max(most, after.ru_maxrss)
        assert used < 10 or time.monotonic() - start < 10, f"{name}: {used:.0f} s"
        assert after.ru_maxrss * 1024 < MEMORY, f"{name}: {after.ru_maxrss / 2**20:.1f} GiB"
        if name.startswith("escape"):
            assert "__subclasses__" not in ended
            assert ended == "rendered" or "does not take these messages" in ended
        refused += ended != "rendered"
        stopped += "more memory or time" in ended
    print(f"at most {slowest[0]:.1f} s ({slowest[1]}) and {most / 2**10:.0f} MiB")
    return refused, stopped


@pytest.mark.slow
def test_hostile_templates_are_held(folder: Path, here: Path) -> None:
    refused, _ = held(SOME, folder)
    assert refused > len(SOME) * 0.6
    assert not Path("executed").exists()


def test_what_passes_the_sandbox_is_stopped_by_the_process(folder: Path) -> None:
    name = "list: [ns.x] * 99, ns.x | tojson | length"
    assert "more memory or time" in tried(name, folder)
    assert (
        len(
            ChatTemplate("{# not ours #}" + CHATML, folder).render(
                [{"role": "user", "content": "a"}]
            )
        )
        > 1
    )


@pytest.mark.torture
@pytest.mark.timeout(3600)
def test_every_hostile_template_is_held(folder: Path, here: Path) -> None:
    refused, stopped = held(list(EVERY), folder)
    print(f"{len(EVERY)} templates: {refused} refused, {stopped} of them stopped from outside")
    assert not Path("executed").exists()


def test_a_recipe_with_a_hostile_template_is_refused(here: Path) -> None:
    roles = ("user", "assistant")
    rows = [{"messages": [{"role": r, "content": f"{r} {n}"} for r in roles]} for n in range(60)]
    Path("rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    template = EVERY["long wordwrap"] + CHATML
    recipe = {
        "data": {"source": {"name": "jsonl", "path": "rows.jsonl"}},
        "task": {"name": "instruction-tuning", "tokenizer": "char", "chat_template": template},
        "model": "gpt",
    }
    Path("r.yaml").write_text(json.dumps(recipe))
    said = luban("validate", "r.yaml")
    assert said.code == 2
    assert "more memory or time" in said.err
