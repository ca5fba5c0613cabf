"""Render conversations with a checkpoint's chat template, with a limit on the work it may do.

A chat template is a Jinja program that comes with a checkpoint. For the templates of published models,
the result is the same as that of transformers. See `template_sandbox` for the limits.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from tpad.errors import ModelError, one_line
from tpad.mllm.template_sandbox import LimitedEnvironment, TemplateLimitError, WorkMeter

MAX_LENGTH = 200_000
"""Most characters of a template."""
DEFAULT_TEMPLATE = (
    "{% for message in messages %}{{ message['role'] | capitalize }}: {{ message['content'] }}"
    "{% if message['role'] == 'assistant' %}{{ eos_token }}{% endif %}{{ '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}Assistant:{% endif %}"
)
"""For a language model without a template of its own."""


class ChatTemplate:
    """A chat template that renders conversations.

    Args:
        source: the template.
        special_tokens: name and token, such as `bos_token`, which the template may use.

    Raises:
        ModelError: the template is not a string, is too long, or uses what no chat template needs.
    """

    def __init__(self, source: str, special_tokens: Mapping[str, Any]) -> None:
        if not isinstance(source, str):
            raise ModelError(
                "The chat template must be a single string; use a checkpoint that has one."
            )
        if len(source) > MAX_LENGTH:
            raise ModelError(
                f"The chat template has {len(source):,} characters, more than {MAX_LENGTH:,}."
            )
        self._tokens = dict(special_tokens)
        self._meter = WorkMeter(len(source))
        try:
            with self._meter:  # constant expressions are evaluated while compiling
                self._template = LimitedEnvironment(self._meter).from_string(source)
        except Exception as error:  # from Jinja, RecursionError, or from Python's compiler
            raise _rejected(error) from error

    def __call__(self, messages: Sequence[Mapping[str, Any]], open_ended: bool) -> str:
        """Render a conversation.

        Args:
            messages: as for `apply_chat_template` in transformers.
            open_ended: whether the string ends with the opening of the assistant's reply.

        Raises:
            ModelError: the template fails, or needs too many steps or too much memory.
        """
        parts, size = [], 0
        values: dict[str, Any] = {"messages": messages, "tools": None, "documents": None}
        values["enable_thinking"] = False  # Qwen3, SmolLM3: the answer follows at once
        with self._meter:
            try:
                for part in self._template.generate(
                    **{**self._tokens, **values, "add_generation_prompt": open_ended}
                ):
                    size += len(part)
                    self._meter.count(len(part))
                    if size > self._meter.max_size:
                        raise TemplateLimitError(
                            f"it writes more than {self._meter.max_size:,} characters"
                        )
                    parts.append(part)
            except Exception as error:  # a template can raise anything
                raise _rejected(error) from error
        return "".join(parts)


def _rejected(error: Exception) -> ModelError:
    return ModelError(
        f"The chat template cannot be used ({one_line(error)}); use the template that the model was "
        "published with."
    )
