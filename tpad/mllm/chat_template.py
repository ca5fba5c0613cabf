"""A checkpoint's chat template, run with a bound on its work.

A chat template is a program in Jinja that comes with a checkpoint. The sandbox of Jinja keeps it away
from Python, but not from loops in loops or from strings of gigabytes. Here every expression that can
make a value larger, every loop and every call is counted: a template that needs more than `STEPS`
steps, or makes a value larger than `SIZE`, is refused. What a usual template gives is what
transformers makes of it.
"""

import json
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from types import BuiltinMethodType
from typing import Any

from jinja2 import TemplateError, nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.runtime import Context, LoopContext, Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace

from tpad.errors import ModelError, one_line

LONGEST = 200_000
"""Most characters of a template."""
STEPS = 200_000
"""Most steps of one rendering: turns of loops, calls, operations; each counts more in a long template,
and with a long value."""
SIZE = 200_000
"""Most characters of one value, what it holds included, beside the template's length."""
ELEMENT = 20
"""What an element of a list counts, in characters."""
DEEPEST = 200
"""Most values inside of one another."""
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
_NUMBERS = frozenset({"*", "**", "%", "//", "/"})  # operators that must get numbers


class ChatTemplate:
    """A template that renders conversations, or is refused.

    Args:
        source: the text of the template.
        special_tokens: what the template can name, such as `bos_token`.

    Raises:
        ModelError: it is no template, is too long, or uses what no chat template needs.
    """

    def __init__(self, source: str, special_tokens: Mapping[str, Any]) -> None:
        if not isinstance(source, str):
            raise ModelError("The chat template must be one text; the model folder holds another.")
        if len(source) > LONGEST:
            raise ModelError(
                f"The chat template has {len(source):,} characters, more than {LONGEST:,}."
            )
        self._tokens = dict(special_tokens)
        self._meter = _Meter(len(source))
        try:
            with self._meter:  # constant expressions are computed at once
                self._template = _Bounded(self._meter).from_string(source)
        except Exception as error:  # Jinja's own, RecursionError, errors of Python's compiler
            raise _refused(error) from error

    def __call__(self, messages: Sequence[Mapping[str, Any]], open_ended: bool) -> str:
        """The conversation as a string.

        Args:
            messages: of the conversation, as `apply_chat_template` of transformers takes them.
            open_ended: whether the string ends with the opening of the assistant's reply.

        Raises:
            ModelError: the template fails, or needs too many steps or too much memory.
        """
        parts, size = [], 0
        values = {"messages": messages, "tools": None, "documents": None}
        with self._meter:
            try:
                for part in self._template.generate(
                    **{**self._tokens, **values, "add_generation_prompt": open_ended}
                ):
                    size += len(part)
                    self._meter.count(len(part))
                    if size > self._meter.size:
                        raise _TooMuch(f"it writes more than {self._meter.size:,} characters")
                    parts.append(part)
            except Exception as error:  # whatever a template can raise
                raise _refused(error) from error
        return "".join(parts)


class _TooMuch(Exception):
    """A template that is stopped."""


def _refused(error: Exception) -> ModelError:
    return ModelError(
        f"The chat template cannot be used ({one_line(error)}); use the model's own template."
    )


class _Meter:
    """Counts the steps of one rendering, in each thread on its own.

    Args:
        length: characters of the template, so many of which a turn of a loop can write.
    """

    def __init__(self, length: int) -> None:
        self.size, self._turn = SIZE + length, 1 + length // 1_000
        self._of = threading.local()

    def __enter__(self) -> None:
        self._of.steps = 0

    def __exit__(self, *_: object) -> None:
        self._of.steps = STEPS

    def count(self, size: int = 0) -> None:
        """One more step; `size` is that of what it makes."""
        self._of.steps += self._turn + size // 100
        if self._of.steps > STEPS:
            raise _TooMuch(f"it needs more than {STEPS:,} steps")
        if size > self.size:
            raise _TooMuch(f"it makes a value of more than {self.size:,} characters")

    def bounded(self, value: Any) -> Any:
        """The value, counted with all that it holds."""
        self.count(self._weight(value, 0))
        return value

    def turns(self, values: Iterable[Any]) -> list[Any]:
        """The values of a loop, each counted."""
        found = []
        for value in values:
            self.count()
            found.append(value)
        return found

    def _weight(self, value: Any, depth: int) -> int:
        if isinstance(value, str):
            return len(value)
        if isinstance(value, int):
            return value.bit_length() // 3
        if isinstance(value, Mapping):
            value = [part for pair in value.items() for part in pair]
        if not isinstance(value, list | tuple | set | range):
            return 1
        if depth > DEEPEST:
            raise _TooMuch(f"it makes values more than {DEEPEST} deep")
        weight = ELEMENT * len(value)
        if isinstance(value, range):
            return weight
        for part in value:
            if weight > self.size:
                break
            weight += self._weight(part, depth + 1)
        return weight


class _Silent(Namespace):
    """A namespace whose text does not hold its values, which could hold it in turn."""

    def __repr__(self) -> str:
        return "<namespace>"


class _Generation(Extension):
    """`{% generation %}…{% endgeneration %}`, which marks replies for training: its body."""

    tags = {"generation"}  # noqa: RUF012  # as Jinja declares it

    def parse(self, parser: Parser) -> nodes.Node | list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class _Bounded(ImmutableSandboxedEnvironment):
    """Jinja as transformers sets it up, less what no chat template needs, and counted."""

    intercepted_binops = _NUMBERS

    def __init__(self, meter: _Meter) -> None:
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
            "bounded": meter.bounded,
            "turns": meter.turns,
        }
        del self.tests["in"]  # of a filter: elements times elements in one step
        self._callables: dict[str, Callable[..., Any]] = {
            "range": range,
            "namespace": _Silent,
            "dict": dict,
            "raise_exception": _raise_exception,
            "strftime_now": _strftime_now,
        }
        self.globals = dict(self._callables)

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        return _counted(super()._parse(source, name, filename))

    def is_safe_callable(self, obj: Any) -> bool:
        """Only what is listed here, and the template's own macros."""
        if isinstance(obj, BuiltinMethodType):
            own = isinstance(obj.__self__, str | dict | list | tuple)
            return own and obj.__name__ in _METHODS
        return isinstance(obj, Macro) or obj in self._callables.values() or _is_loop(obj)

    def call(self, context: Context, obj: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Calls, but for the methods that can make much of little."""
        self._meter.count()
        if isinstance(obj, BuiltinMethodType) and isinstance(obj.__self__, str):
            if obj.__name__ == "join":
                return self._join(args[0], obj.__self__)
            if obj.__name__ == "replace":
                return self._replace(obj.__self__, *args)
        return super().call(context, obj, *args, **kwargs)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Arithmetic on numbers of a usual size; neither repeated text nor formatting."""
        for value in (left, right):
            if not isinstance(value, int | float) or abs(value) > 1e9:
                raise _TooMuch(f"it uses {operator} on what is no small number")
        if operator == "**" and abs(right) > 9:
            raise _TooMuch("it raises a number to a high power")
        return super().call_binop(context, operator, left, right)

    def _join(self, value: Iterable[Any], d: str = "", attribute: Any = None) -> str:
        if attribute is not None:
            raise _TooMuch("it joins by an attribute")
        parts = []
        size = 0
        for part in value:
            parts.append(str(self._meter.bounded(part)))
            size += len(parts[-1]) + len(d)
            self._meter.count(size)
        return str(d).join(parts)

    def _replace(self, text: Any, old: str, new: str, count: int = -1) -> str:
        text, old, new = str(self._meter.bounded(text)), str(old), str(new)
        self._meter.count(len(text) + text.count(old) * len(new))
        return text.replace(old, new, -1 if count is None else count)


def _counted(tree: nodes.Template) -> nodes.Template:
    """The template with every loop, and every expression that can make more of less, counted."""
    for loop in list(tree.find_all(nodes.For)):
        loop.iter = _through(loop.iter, "turns")  # type: ignore[arg-type]
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
                # What is written is counted, too: a block can write a value twice into another.
                written = isinstance(parent, nodes.Output)
                value[:] = [_wrapped(one, nodes.Expr if written else growing) for one in value]
            elif isinstance(value, nodes.Node) and not isinstance(parent, nodes.CallBlock):
                setattr(parent, field, _wrapped(value, growing))
    return tree


def _wrapped(node: Any, growing: type[nodes.Node] | tuple[type[nodes.Node], ...]) -> Any:
    if not isinstance(node, growing) or getattr(node, "ctx", "load") != "load":
        return node
    if isinstance(node, nodes.TemplateData):
        return node
    if isinstance(node, nodes.Filter) and node.name in ("bounded", "turns"):
        return node
    return _through(node, "bounded")  # type: ignore[arg-type]


def _through(node: nodes.Expr, name: str) -> nodes.Filter:
    made = nodes.Filter(node, name, [], [], None, None, lineno=node.lineno)
    return made.set_environment(node.environment)  # type: ignore[return-value,arg-type]


def _is_loop(obj: Any) -> bool:
    own = getattr(obj, "__self__", None)
    return isinstance(obj, LoopContext) or isinstance(own, LoopContext)


def _raise_exception(message: str) -> None:
    raise TemplateError(message)


def _strftime_now(format: str) -> str:  # as templates may name it
    return datetime.now().strftime(format[:100])


def _tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    if (indent or 0) > 8 or len("".join(separators or ())) > 8:
        raise _TooMuch("it writes JSON with wide gaps")
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )
