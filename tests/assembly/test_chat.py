"""Chat templates of language models read pictures after they are wrapped."""

import pytest
from mllm_models import TEXT_ONLY

from tpad.assembly.chat import with_pictures
from tpad.mllm.chat_template import DEFAULT_TEMPLATE, ChatTemplate

TEMPLATES = {family: made[0] or DEFAULT_TEMPLATE for family, made in TEXT_ONLY.items()}
TOKENS = {"bos_token": "<s>", "eos_token": "</s>"}


@pytest.mark.parametrize("family", TEMPLATES)
@pytest.mark.parametrize("open_ended", [True, False])
def test_parts_are_rendered_as_the_string_that_they_stand_for(family, open_ended):
    plain = ChatTemplate(TEMPLATES[family], TOKENS)
    wrapped = ChatTemplate(with_pictures(TEMPLATES[family]), TOKENS)
    reply = {"role": "assistant", "content": "yes"}
    flat = [{"role": "user", "content": "<image>\na phone"}, reply]
    parts = [{"type": "image"}, {"type": "text", "text": "a phone"}]
    assert wrapped([{"role": "user", "content": parts}, reply], open_ended) == plain(
        flat, open_ended
    )
    assert wrapped(flat, open_ended) == plain(flat, open_ended)
