"""Common chat templates render as in transformers; templates that do too much work are rejected."""

import pytest
from mllm_models import (
    GEMMA_TEMPLATE,
    IDEFICS3_TEMPLATE,
    LLAMA3_TEMPLATE,
    LLAVA_TEMPLATE,
    QWEN2_5_TEMPLATE,
    QWEN3_TEMPLATE,
    SMOLLM2_TEMPLATE,
)
from transformers.utils.chat_template_utils import render_jinja_template

from tpad.errors import ModelError
from tpad.mllm.chat_template import DEFAULT_TEMPLATE, ChatTemplate

TOKENS = {"bos_token": "<s>", "eos_token": "</s>"}
WITH_TOOLS = """
{%- macro show(content, first=false) -%}
  {%- for part in content -%}
    {%- if part.type == 'image' or 'image_url' in part -%}
      <|vision_start|><|image_pad|><|vision_end|>
    {%- elif 'text' in part -%}{{ part.text | trim }}{%- endif -%}
  {%- endfor -%}
{%- endmacro -%}
{{- bos_token }}{%- set ns = namespace(last=-1, found=false) %}
{%- for message in messages[::-1] %}
  {%- set index = (messages | length - 1) - loop.index0 %}
  {%- if not ns.found and message.role == "user" and message.content is not string %}
    {%- set ns.found = true %}{%- set ns.last = index %}
  {%- endif %}
{%- endfor %}
{%- if tools %}{{ tools | tojson(indent=2) }}{% endif %}
{%- for message in messages %}
  {%- if (message.role == 'user') != (loop.index0 % 2 == 0) and false %}
    {{- raise_exception('Roles must alternate') }}
  {%- endif %}
  {%- if message.role.startswith('sys') %}{% continue %}{% endif %}
  {{- '<|im_start|>' + message.role.title() + ' ' ~ loop.index ~ (' last' if loop.last else '') }}
  {%- if message.content is string %}{{ message.content.split('x')[-1].replace('a', 'bb') }}
  {%- else %}{{ show(message.content) }}{% endif %}
  {%- generation %}{{ message['role'] | upper }}{% endgeneration %}
  {%- set kept %}[{{ message.keys() | list | sort | join(', ') }}]{% endset %}{{ kept }}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}
"""
THINKING = """
{%- for message in messages %}
  {{- '<|im_start|>' + message.role + '\\n' }}
  {%- if message.role == 'assistant' and loop.last %}{{- '<think>\\n\\n</think>\\n\\n' }}{% endif %}
  {{- message.content.lstrip('\\n') + '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
  {{- '<|im_start|>assistant\\n' }}
  {%- if enable_thinking is defined and enable_thinking is false %}
    {{- '<think>\\n\\n</think>\\n\\n' }}
  {%- endif %}
{%- endif %}
"""  # as in Qwen3
TEXT_ONLY = [SMOLLM2_TEMPLATE, LLAMA3_TEMPLATE, GEMMA_TEMPLATE, THINKING, DEFAULT_TEMPLATE]
COMMON = [IDEFICS3_TEMPLATE, LLAVA_TEMPLATE, QWEN2_5_TEMPLATE, QWEN3_TEMPLATE, WITH_TOOLS]


def user(*parts: str) -> dict:
    content = [{"type": "image"} if p == "image" else {"type": "text", "text": p} for p in parts]
    return {"role": "user", "content": content}


def conversation(turns: int) -> list[dict]:
    reply = {"role": "assistant", "content": [{"type": "text", "text": "green"}]}
    return [message for _ in range(turns) for message in (user("image", " a kite "), reply)]


@pytest.mark.parametrize("source", COMMON)
@pytest.mark.parametrize("open_ended", [True, False])
def test_a_common_template_renders_as_in_transformers(source, open_ended):
    template = ChatTemplate(source, TOKENS)
    for messages in (conversation(1), conversation(3)[:-1], [user("one"), user("image")]):
        expected, _ = render_jinja_template(
            [messages], chat_template=source, add_generation_prompt=open_ended, **TOKENS
        )
        assert template(messages, open_ended) == expected[0]


@pytest.mark.parametrize("source", TEXT_ONLY)
@pytest.mark.parametrize("open_ended", [True, False])
def test_a_template_of_text_renders_as_in_transformers(source, open_ended):
    template = ChatTemplate(source, TOKENS)
    messages = [{"role": role, "content": role} for role in ("user", "assistant", "user")]
    options = {"add_generation_prompt": open_ended, "enable_thinking": False, **TOKENS}
    for some in (messages, messages[:2], messages[:1]):
        expected, _ = render_jinja_template([some], chat_template=source, **options)
        assert template(some, open_ended) == expected[0]


def test_the_date_is_always_the_same():
    template = ChatTemplate("Today: {{ strftime_now('%d %B %Y') }}", TOKENS)
    assert template(conversation(1), True) == "Today: 01 January 2025"


@pytest.mark.parametrize("source", COMMON)
def test_a_long_session_is_rendered(source):
    assert ChatTemplate(source, TOKENS)(conversation(100), True)


NESTED = "{% for a in range(9999) %}" * 3 + "x" + "{% endfor %}" * 3
DOUBLED = "{% set s = 'aaaaaaaa' %}" + "{% set s = s ~ s %}" * 60
REJECTED = {
    "loops": NESTED,
    "loops of messages": "{% for a in messages %}" * 19 + "x" + "{% endfor %}" * 19,
    "a long range": "{% for a in range(10 ** 9) %}x{% endfor %}",
    "a range as a list": "{{ range(99999999) | list | length }}",
    "a wide range": "{{ range(9999999999999) | length }}",
    "repetition": "{{ 'a' * 999999999999 }}",
    "repetition of a list": "{% set x = [1] * 99999999999 %}",
    "a power": "{{ 9 ** 9 ** 9 ** 9 }}",
    "a power of powers": "{% set x = 9 ** 9 %}{% set x = x ** 9 %}{% set x = x ** 9 %}{{ x }}",
    "doubling": DOUBLED + "{{ s | length }}",
    "doubling by addition": DOUBLED.replace("~", "+"),
    "doubling of lists": "{% set s = ['a'] %}" + "{% set s = [s, s] %}" * 60 + "{{ s }}",
    "doubling of dicts": "{% set s = 'a' %}"
    + "{% set s = {1: s, 2: s} %}" * 60
    + "{{ s | tojson }}",
    "doubling by join": "{% set s = 'a' %}" + "{% set s = [s, s] | join %}" * 60,
    "doubling by a method": "{% set s = 'a' %}" + "{% set s = ','.join([s, s]) %}" * 60,
    "doubling by replace": "{% set s = 'aa' %}" + "{% set s = s.replace('a', s) %}" * 60,
    "doubling in a block": "{% set s = 'a' %}" + "{% set s %}{{ s }}{{ s }}{% endset %}" * 60,
    "doubling by dict": "{% set s = 'a' %}" + "{% set s = dict(a=s, b=s) %}" * 60 + "{{ s }}",
    "recursion": "{% macro f(n) %}{{ f(n) }}{{ f(n) }}{% endmacro %}{{ f(1) }}",
    "recursion in a tree": "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}"
    "{% endmacro %}{{ f(40) }}",
    "a recursive loop": "{% for a in [1, 2] recursive %}{{ loop([1, 2]) }}{% endfor %}",
    "a wide format": "{{ '%999999999d' % 1 }}",
    "another wide format": "{{ '{:999999999}'.format(1) }}",
    "a hidden method": "{{ 'a'['cen' ~ 'ter'](999999999) }}",
    "a wide filter": "{{ 'a' | center(999999999) }}",
    "batches": "{{ [1] | batch(999999999, 1) | list }}",
    "elements of elements": "{{ range(9999) | select('in', range(9999) | list) | list }}",
    "wide gaps": "{{ [1] | tojson(indent=99999999) }}",
    "a deep nest": "{{ " + "(" * 5_000 + "1" + ")" * 5_000 + " }}",
    "many lines": "x" * 300_000,
    "a literal in loops": "{% macro f() %}{% for a in range(9999) %}"
    + "x" * 99_999
    + "{% endfor %}{% endmacro %}{{ f() }}",
    "an error of its own": "{{ raise_exception('no') }}",
    "a syntax error": "{% for %}",
    "another file": "{% include 'config.json' %}",
    "Python": "{{ ''.__class__.__mro__ }}{{ messages.__init__.__globals__ }}{{ raise_exception.x.y }}",
    "a missing name": "{{ nothing.at.all }}",
}


@pytest.mark.parametrize("source", REJECTED.values(), ids=REJECTED)
def test_an_unbounded_template_is_rejected(source):
    with pytest.raises(ModelError, match="chat template") as error:
        ChatTemplate(source, TOKENS)(conversation(2), True)
    assert "\n" not in str(error.value) and str(error.value).endswith(".")


def test_each_rendering_is_counted_separately():
    template = ChatTemplate("{% for a in range(9000) %}{% endfor %}{{ messages | length }}", {})
    assert [template(conversation(1), True) for _ in range(30)] == ["2"] * 30
