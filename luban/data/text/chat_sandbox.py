"""Where chat templates run: they come with models, so they are code of strangers.

A template sees its arguments and nothing else (Jinja's sandbox). Beyond that, its work is
bounded: turns of loops, calls, the sizes that one operation may reach, and the text that comes
out, so that most hostile templates end with an error that says why. What passes these bounds is
held by those of the process in which templates of strangers run
(``data.text.chat_renderer_process``).
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from functools import wraps
from threading import local
from typing import Any, NoReturn

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

from luban.core.errors import DataError

#: Turns of loops, calls and filters in one rendering; also items of a list.
MAX_TURNS = 100_000
#: Characters of any text that a template makes, and of what it gives.
MAX_CHARACTERS = 4_000_000
_MAX_SOURCE = 1_000_000
_MAX_NUMBER = 10**18


#: What a template may raise beside Jinja's own errors.
FAULTS = (TypeError, ValueError, KeyError, IndexError, AttributeError, RecursionError,
          ArithmeticError, MemoryError)  # fmt: skip


class Stopped(jinja2.TemplateError):
    """A template asked for more work than any conversation needs."""


class Environment(ImmutableSandboxedEnvironment):
    """The environment that ``transformers`` gives to chat templates, with bounds."""

    intercepted_binops = frozenset(["+", "-", "*", "**", "%"])

    def __init__(self) -> None:
        super().__init__(
            trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols, _Generation]
        )
        self._work = local()
        self.filters["tojson"] = _to_json
        self.filters = {name: self._bounded(name, made) for name, made in self.filters.items()}
        self.globals = {
            "range": self.globals["range"],
            "dict": _Dict(),
            "namespace": _Namespace,
            "cycler": self.globals["cycler"],
            "joiner": self.globals["joiner"],
            "raise_exception": _raise,
            "strftime_now": _now,
        }

    def render_bounded(self, template: jinja2.Template, variables: Mapping[str, Any]) -> str:
        """Return what a template of this environment makes of its variables.

        Raises:
            jinja2.TemplateError: if the template fails, refuses or does too much.
        """
        self._work.left = MAX_TURNS
        parts, size = [], 0
        for part in template.generate(**variables):
            size += len(part)
            _check_size(size)
            parts.append(part)
        return "".join(parts)

    def tick(self) -> str:
        """Count a turn; every turn of a loop and every call of a macro begins with it."""
        self._spend(1)
        return ""

    def joined(self, *parts: Any) -> str:
        """Return what ``~`` makes of its operands."""
        texts = [str(part) for part in parts]
        _check_size(sum(map(len, texts)))
        return "".join(texts)

    def call(__self, __context: Any, __obj: Any, *args: Any, **kwargs: Any) -> Any:
        """Call something from a template, within bounds."""
        owner = getattr(__obj, "__self__", None)
        of_text = isinstance(owner, str)
        _check_arguments((owner if of_text else None, *args, *kwargs.values()), product=of_text)
        return __self._paid(super().call(__context, __obj, *args, **kwargs))

    def wrap_str_format(self, value: Any) -> Any:
        """Return ``str.format`` made safe, if ``value`` is that."""
        wrapped = super().wrap_str_format(value)
        if wrapped is not None:
            _check_format(value.__self__)
        return wrapped

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Compute ``left operator right``, within bounds."""
        if operator == "%" and isinstance(left, str | bytes):
            _check_format(left)
        if operator in ("*", "**"):
            _check_product(operator, left, right)
        if operator == "+" and isinstance(left, str | list | tuple):
            _check_size(len(left) + (len(right) if hasattr(right, "__len__") else 0))
        return self._paid(super().call_binop(context, operator, left, right))

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        if len(source) > _MAX_SOURCE:
            raise jinja2.TemplateSyntaxError("the template is too long", 1)
        return _watched(super()._parse(source, name, filename))

    def _bounded(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a filter with bounds; Jinja's marks on it stay."""

        @wraps(function)
        def bounded(*args: Any, **kwargs: Any) -> Any:
            if name == "format":
                _check_format(str(args[0]))
            _check_arguments((*args, *kwargs.values()), product=name in _MULTIPLYING)
            return self._paid(function(*args, **kwargs))

        return bounded

    def _paid(self, value: Any) -> Any:
        """Return a value that one operation made, its size checked and counted as work."""
        size = len(value) if isinstance(value, str | bytes | list | tuple) else 0
        _check_size(size)
        if isinstance(value, list | tuple) and size > MAX_TURNS:
            raise Stopped(f"it makes a list of more than {MAX_TURNS:,} items")
        self._spend(1 + size // 1000)
        return value

    def _spend(self, work: int) -> None:
        self._work.left -= work
        if self._work.left < 0:
            raise Stopped(f"it takes more than {MAX_TURNS:,} turns of loops and calls")


def _watched(tree: nodes.Template) -> nodes.Template:
    """Let every loop and macro count its turns, and every ``~`` know its size."""
    loops: tuple[type[Any], ...] = (nodes.For, nodes.Macro, nodes.CallBlock)
    for loop in list(tree.find_all(loops)):
        tick = nodes.Call(nodes.EnvironmentAttribute("tick"), [], [], None, None)
        loop.body.insert(0, nodes.ExprStmt(tick, lineno=loop.lineno))
    _replace_concat(tree)
    return tree


def _replace_concat(node: nodes.Node) -> None:
    for name, value in list(node.iter_fields()):
        if isinstance(value, list):
            setattr(node, name, [_without_concat(item) for item in value])
        else:
            setattr(node, name, _without_concat(value))


def _without_concat(value: Any) -> Any:
    if not isinstance(value, nodes.Node):
        return value
    _replace_concat(value)
    if not isinstance(value, nodes.Concat):
        return value
    joined = nodes.EnvironmentAttribute("joined", lineno=value.lineno)
    return nodes.Call(joined, value.nodes, [], None, None, lineno=value.lineno)


class _Generation(Extension):
    """``{% generation %}``: marks what the model says; here it is only its body."""

    tags = {"generation"}  # noqa: RUF012

    def parse(self, parser: Any) -> Any:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class _Namespace(jinja2.utils.Namespace):
    """A namespace without names that lead into Python."""

    def __init__(*args: Any, **kwargs: Any) -> None:
        self, attributes = args[0], dict(*args[1:], **kwargs)
        for name in attributes:
            _Namespace._check(name)
        jinja2.utils.Namespace.__init__(self, attributes)

    def __setitem__(self, name: str, value: Any) -> None:
        _Namespace._check(name)
        super().__setitem__(name, value)

    @staticmethod
    def _check(name: Any) -> None:
        if str(name).startswith("_"):
            raise jinja2.exceptions.SecurityError(f"a namespace cannot hold {name!r}")


class _Dict:
    """``dict`` without the class itself, which leads into Python."""

    def __call__(self, *args: Any, **kwargs: Any) -> dict[Any, Any]:
        return dict(*args, **kwargs)

    def fromkeys(self, *args: Any) -> dict[Any, Any]:
        return dict.fromkeys(*args)


#: Filters whose result can be as long as their arguments multiplied.
_MULTIPLYING = {"center", "indent", "join", "replace", "wordwrap", "urlize", "xmlattr"}


def _check_arguments(arguments: Iterable[Any], *, product: bool) -> None:
    """Refuse large numbers and, if asked, arguments that multiply to more than can be held."""
    size = 1
    for argument in arguments:
        if isinstance(argument, str | bytes | list | tuple):
            size *= max(1, len(argument))
        elif isinstance(argument, int) and abs(argument) > MAX_CHARACTERS:
            raise Stopped("a call is given a number that is too large")
    if product and size > 100 * MAX_CHARACTERS:
        raise Stopped("a call could make a text that is too long")


def _check_product(operator: str, left: Any, right: Any) -> None:
    for thing, times in ((left, right), (right, left)):
        if operator == "*" and hasattr(thing, "__len__") and isinstance(times, int):
            _check_size(len(thing) * times * (1 if isinstance(thing, str | bytes) else 40))
    if isinstance(left, int) and isinstance(right, int):
        digits = math.log(max(2, abs(left)))
        size = digits * right if operator == "**" else digits + math.log(max(2, abs(right)))
        if size > math.log(_MAX_NUMBER):
            raise Stopped("a number is too large")


def _check_format(text: str | bytes) -> None:
    """Refuse widths: ``'%99999999d' % 1`` is a long text from a short one."""
    pattern = text.decode("latin-1") if isinstance(text, bytes) else text
    digits = "".join(c if c.isdigit() else " " for c in pattern).split()
    if "*" in pattern or any(len(run) > 4 for run in digits):
        raise Stopped("a format has a width that is too large")


def _check_size(size: int) -> None:
    if size > MAX_CHARACTERS:
        raise Stopped(f"it makes more than {MAX_CHARACTERS:,} characters")


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def _raise(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)


def _now(pattern: str) -> str:
    _check_format(pattern)
    return datetime.now().strftime(pattern)


def compiled(source: str, where: str) -> tuple[Environment, jinja2.Template]:
    """Return a template ready to render, and its environment.

    Raises:
        DataError: if it is not a template.
    """
    environment = Environment()
    try:
        return environment, environment.from_string(source)
    except (jinja2.TemplateError, RecursionError, SyntaxError, OverflowError) as error:
        line = getattr(error, "lineno", None)
        raise DataError(
            "this is not a chat template that Jinja reads.",
            where=f"{where}, line {line}" if line else where,
            got=str(error).partition("\n")[0] or type(error).__name__,
        ) from None
