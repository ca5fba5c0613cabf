"""Makes the chat template of a language model accept pictures."""

IMAGE = "<image>"
"""What stands for a picture in a prompt."""

_FLATTEN = (
    "{%- set flat = namespace(messages=[], text='') -%}"
    "{%- for message in messages -%}"
    "{%- if message['content'] is string -%}{%- set flat.text = message['content'] -%}"
    "{%- else -%}{%- set flat.text = '' -%}"
    "{%- for part in message['content'] -%}"
    "{%- set flat.text = flat.text + ('<image>\n' if part['type'] == 'image' else part['text']) -%}"
    "{%- endfor -%}{%- endif -%}"
    "{%- set flat.messages = flat.messages"
    " + [{'role': message['role'], 'content': flat.text}] -%}"
    "{%- endfor -%}"
    "{%- set messages = flat.messages -%}"
)


def with_pictures(template: str) -> str:
    """A chat template for contents that are lists of parts, from one for contents that are strings.

    A picture becomes a line `<image>` before the text. Plain strings are rendered as before.

    Args:
        template: of a language model that reads text only.
    """
    return _FLATTEN + template
