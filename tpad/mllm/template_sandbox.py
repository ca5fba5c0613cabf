"""A Jinja sandbox that also limits how much work a template may do.

Jinja's sandbox keeps a template away from Python, but not from nested loops or from strings of
gigabytes. Here every loop, every call and every expression that can produce a larger value is counted.
A template that needs more than `MAX_STEPS` steps, or produces a value larger than `MAX_SIZE`, is
rejected.
"""

import json
import threading
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from types import BuiltinMethodType
from typing import Any

from jinja2 import TemplateError, nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.runtime import Context, LoopContext, Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace

MAX_STEPS = 200_000
"""Most steps of one rendering: iterations, calls and operations. A step counts more in a long template
and with a long value."""
MAX_SIZE = 200_000
"""Most characters of one value, with everything that it contains, in addition to the length of the
template."""
ELEMENT_SIZE = 20
"""The size of an element of a list, in characters."""
TODAY = datetime(2025, 1, 1)
"""The date that templates write, so that a model reads an item in the same way every day."""
MAX_DEPTH = 200
"""Most levels of nested values."""
_FILTERS = (
    "abs",
    "capitalize",
    "count",
    "d",
    "default",
    "dictsort",
    "first",
    "float",
    "int",
    "items",
    "last",
    "length",
    "list",
    "lower",
    "map",
    "max",
    "min",
    "reject",
    "rejectattr",
    "reverse",
    "select",
    "selectattr",
    "sort",
    "string",
    "title",
    "trim",
    "unique",
    "upper",
)
_METHODS = (
    "count",
    "endswith",
    "find",
    "get",
    "index",
    "isdigit",
    "items",
    "join",
    "keys",
    "lower",
    "lstrip",
    "replace",
    "rfind",
    "rstrip",
    "split",
    "splitlines",
    "startswith",
    "strip",
    "title",
    "upper",
    "values",
    "capitalize",
    "rsplit",
    "partition",
    "rpartition",
    "removeprefix",
    "removesuffix",
)
_NUMBERS_ONLY = frozenset({"*", "**", "%", "//", "/"})  # not for strings and lists


class TemplateLimitError(Exception):
    """A template exceeds a limit; the message completes a sentence about it."""


class WorkMeter:
    """Counts the steps of one rendering, separately in each thread.

    Args:
        length: number of characters of the template; an iteration can write as many.
    """

    def __init__(self, length: int) -> None:
        self.max_size, self._step = MAX_SIZE + length, 1 + length // 1_000
        self._local = threading.local()

    def __enter__(self) -> None:
        self._local.steps = 0

    def __exit__(self, *_: object) -> None:
        self._local.steps = MAX_STEPS

    def count(self, size: int = 0) -> None:
        """Count one step that produces a value of this size."""
        self._local.steps += self._step + size // 100
        if self._local.steps > MAX_STEPS:
            raise TemplateLimitError(f"it needs more than {MAX_STEPS:,} steps")
        if size > self.max_size:
            raise TemplateLimitError(
                f"it produces a value of more than {self.max_size:,} characters"
            )

    def counted(self, value: Any) -> Any:
        """Count a value with everything that it contains, and return it."""
        self.count(self._size(value, 0))
        return value

    def counted_loop(self, values: Iterable[Any]) -> list[Any]:
        """Count each value of a loop, and return them."""
        found = []
        for value in values:
            self.count()
            found.append(value)
        return found

    def _size(self, value: Any, depth: int) -> int:
        if isinstance(value, str):
            return len(value)
        if isinstance(value, int):
            return value.bit_length() // 3
        if isinstance(value, Mapping):
            value = [part for pair in value.items() for part in pair]
        if not isinstance(value, list | tuple | set | range):
            return 1
        if depth > MAX_DEPTH:
            raise TemplateLimitError(f"it nests values more than {MAX_DEPTH} levels deep")
        size = ELEMENT_SIZE * len(value)
        if isinstance(value, range):
            return size
        for part in value:
            if size > self.max_size:
                break
            size += self._size(part, depth + 1)
        return size


class _OpaqueNamespace(Namespace):
    """A namespace whose repr leaves out its values, which could contain the namespace itself."""

    def __repr__(self) -> str:
        return "<namespace>"


class _Generation(Extension):
    """Replaces `{% generation %}…{% endgeneration %}`, which marks replies for training, by its body."""

    tags = {"generation"}  # noqa: RUF012  # as Jinja declares it

    def parse(self, parser: Parser) -> nodes.Node | list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class LimitedEnvironment(ImmutableSandboxedEnvironment):
    """Jinja as in transformers, without what no chat template needs, and with its work counted."""

    intercepted_binops = _NUMBERS_ONLY

    def __init__(self, meter: WorkMeter) -> None:
        super().__init__(
            trim_blocks=True,
            lstrip_blocks=True,
            optimized=False,
            extensions=[_Generation, loopcontrols],
        )
        self._meter = meter
        self.filters = {name: self.filters[name] for name in _FILTERS}
        self.filters |= {
            "join": self._join,
            "replace": self._replace,
            "safe": str,
            "tojson": _tojson,
            "counted": meter.counted,
            "counted_loop": meter.counted_loop,
        }
        del self.tests["in"]  # in a filter, it takes a quadratic number of comparisons in one step
        self._callables: dict[str, Callable[..., Any]] = {
            "range": range,
            "namespace": _OpaqueNamespace,
            "dict": dict,
            "raise_exception": _raise_exception,
            "strftime_now": _strftime_now,
        }
        self.globals = dict(self._callables)

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        return _count_work(super()._parse(source, name, filename))

    def is_safe_callable(self, obj: Any) -> bool:
        """Allow only the callables listed here and the template's own macros."""
        if isinstance(obj, BuiltinMethodType):
            own = isinstance(obj.__self__, str | dict | list | tuple)
            return own and obj.__name__ in _METHODS
        return isinstance(obj, Macro) or obj in self._callables.values() or _is_loop(obj)

    def call(self, context: Context, obj: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Call, with our own versions of the methods that can produce long strings."""
        self._meter.count()
        if isinstance(obj, BuiltinMethodType) and isinstance(obj.__self__, str):
            if obj.__name__ == "join":
                return self._join(args[0], obj.__self__)
            if obj.__name__ == "replace":
                return self._replace(obj.__self__, *args)
        return super().call(context, obj, *args, **kwargs)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Compute with small numbers only; strings are neither repeated nor formatted."""
        for value in (left, right):
            if not isinstance(value, int | float) or abs(value) > 1e9:
                raise TemplateLimitError(
                    f"it uses {operator} on a value that is not a small number"
                )
        if operator == "**" and abs(right) > 9:
            raise TemplateLimitError("it raises a number to a high power")
        return super().call_binop(context, operator, left, right)

    def _join(self, value: Iterable[Any], d: str = "", attribute: Any = None) -> str:
        if attribute is not None:
            raise TemplateLimitError("it joins by an attribute")
        parts = []
        size = 0
        for part in value:
            parts.append(str(self._meter.counted(part)))
            size += len(parts[-1]) + len(d)
            self._meter.count(size)
        return str(d).join(parts)

    def _replace(self, text: Any, old: str, new: str, count: int = -1) -> str:
        text, old, new = str(self._meter.counted(text)), str(old), str(new)
        self._meter.count(len(text) + text.count(old) * len(new))
        return text.replace(old, new, -1 if count is None else count)


def _count_work(tree: nodes.Template) -> nodes.Template:
    """Count every loop, and every expression that can produce a larger value than its operands."""
    for loop in list(tree.find_all(nodes.For)):
        loop.iter = _filtered(loop.iter, "counted_loop")  # type: ignore[arg-type]
    growing = (
        nodes.Add,
        nodes.Concat,
        nodes.Filter,
        nodes.Call,
        nodes.List,
        nodes.Tuple,
        nodes.Dict,
    )
    for parent in list(tree.find_all(nodes.Node)):
        for field, value in list(parent.iter_fields()):
            if isinstance(value, list):
                # Output is counted, too: a `set` block can write a value twice into another one.
                written = isinstance(parent, nodes.Output)
                value[:] = [_with_count(one, nodes.Expr if written else growing) for one in value]
            elif isinstance(value, nodes.Node) and not isinstance(parent, nodes.CallBlock):
                setattr(parent, field, _with_count(value, growing))
    return tree


def _with_count(node: Any, growing: type[nodes.Node] | tuple[type[nodes.Node], ...]) -> Any:
    if not isinstance(node, growing) or getattr(node, "ctx", "load") != "load":
        return node
    if isinstance(node, nodes.TemplateData):
        return node
    if isinstance(node, nodes.Filter) and node.name in ("counted", "counted_loop"):
        return node
    return _filtered(node, "counted")  # type: ignore[arg-type]


def _filtered(node: nodes.Expr, name: str) -> nodes.Filter:
    """The value of an expression, passed through a filter."""
    made = nodes.Filter(node, name, [], [], None, None, lineno=node.lineno)
    return made.set_environment(node.environment)  # type: ignore[return-value,arg-type]


def _is_loop(obj: Any) -> bool:
    own = getattr(obj, "__self__", None)
    return isinstance(obj, LoopContext) or isinstance(own, LoopContext)


def _raise_exception(message: str) -> None:
    raise TemplateError(message)


def _strftime_now(format: str) -> str:  # templates may name the argument
    return TODAY.strftime(format[:100])


def _tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    if (indent or 0) > 8 or len("".join(separators or ())) > 8:
        raise TemplateLimitError("it writes JSON with wide gaps")
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )
