"""Prompts follow the chat template, and the offsets of their parts are correct."""

import torch

from tpad.mllm import ItemInput, Turn, collate, encode_images


def chat(items):
    return [
        Turn(items[0], "What comes next?", "a juice"),
        Turn(items[1], "What comes next?", ""),
        Turn(items[2], "What comes next?"),
        Turn(items[3], "What comes next?", "чехол, 2 €"),
        Turn(items[4], "What comes next?"),
    ]


def render(mllm, conversation):
    """The prompt with one image token per picture that the model sees."""
    tokens = [
        mllm.processor.image_token if mllm.sees and turn.item.image else None
        for turn in conversation
    ]
    return mllm.chat_tokenizer.renderer.render(conversation, True, tokens).string


def processed(mllm, conversation):
    """The inputs that the processor makes of two turns."""
    text = [render(mllm, conversation)]
    if not mllm.sees:
        return mllm.tokenizer(text, return_tensors="pt", return_token_type_ids=False)
    images = [[turn.item.image for turn in conversation]]
    return mllm.processor(images=images, text=text, return_tensors="pt")


def end_of_answer(mllm):
    return int(mllm.chat_tokenizer.tokenize_answers([""])[0][-1])


def tokens(mllm, batch, mask):
    return mllm.tokenizer.decode(batch.input_ids[0][mask[0]])


def test_a_conversation_renders_as_with_the_chat_template(loaded, items):
    conversation = chat(items)
    messages = []
    for turn in conversation:
        parts = [] if turn.item.image is None else [{"type": "image"}]
        words = "\n".join(part for part in (turn.item.text, turn.instruction) if part)
        parts.append({"type": "text", "text": words})
        messages.append({"role": "user", "content": parts if loaded.sees else words})
        answer = turn.answer
        if answer is None and turn is not conversation[-1] and "gemma" in loaded.family:
            answer = ""  # its turns must alternate
        if answer is not None:
            parts = [{"type": "text", "text": answer}]
            messages.append({"role": "assistant", "content": parts if loaded.sees else answer})
    expected = loaded.processor.apply_chat_template(
        messages, tokenize=False, add_generation_prompt=True
    )
    rendered = render(loaded, conversation)
    if loaded.family == "llava":  # its template writes no end token, so it is added
        assert rendered.count("</s>") == 3
        rendered = rendered.replace("</s>", "")
    assert rendered == expected


def test_a_batch_equals_the_output_of_the_processor(loaded, items):
    conversation = [Turn(items[0], "What?", "red"), Turn(items[1], "And?")]
    batch = collate(loaded, [conversation])
    inputs = processed(loaded, conversation)
    assert torch.equal(batch.input_ids, inputs["input_ids"])
    if loaded.sees:
        pixels = batch.vision.tensors["pixel_values"].flatten()
        assert torch.equal(pixels, inputs["pixel_values"].flatten())
    else:
        assert batch.vision is None and not batch.image_mask.any()


def test_a_forward_pass_equals_that_of_the_hugging_face_model(loaded, items):
    conversation = [Turn(items[0], "What?", "red"), Turn(items[1], "And?")]
    inputs = processed(loaded, conversation)
    with torch.no_grad():
        expected = loaded.model(**inputs, output_hidden_states=True)
        out = loaded.forward(collate(loaded, [conversation]), layers=[0, 1, 2, 3])
    torch.testing.assert_close(out.logits, expected.logits, atol=2e-5, rtol=0)
    for layer, states in out.hidden.items():
        torch.testing.assert_close(states, expected.hidden_states[layer], atol=2e-5, rtol=0)


def test_masks_select_the_parts_of_a_conversation(loaded, items):
    batch = collate(loaded, [chat(items)], with_labels=True)
    written = tokens(loaded, batch, batch.text_mask)
    assert written.replace(" ", "") == "".join(i.text for i in items).replace(" ", "")
    pictures = encode_images(loaded, [i.image for i in items])
    assert batch.image_mask.sum() == pictures.counts.sum()
    end = loaded.tokenizer.decode(end_of_answer(loaded))
    assert tokens(loaded, batch, batch.answer_mask).replace(" ", "") == f"ajuice{end}чехол,2€{end}"
    place, before = torch.arange(len(batch.input_ids[0])), -1
    for marker, item in zip(batch.markers[0].tolist(), items, strict=True):
        of_turn = (place > before) & (place <= marker)
        before = marker
        shown = item.image is not None and loaded.sees
        assert bool((batch.image_mask[0] & of_turn).any()) == shown
        own = loaded.tokenizer.decode(batch.input_ids[0][batch.text_mask[0] & of_turn])
        assert own.strip() == item.text


def test_only_answers_are_labels(loaded, items):
    batch = collate(loaded, [chat(items)[:4], chat(items)[:1]], with_labels=True)
    first, second = loaded.chat_tokenizer.tokenize_answers(["a juice", "чехол, 2 €"])
    labels = batch.labels
    assert labels[0][labels[0] != -100].tolist() == [*first, *second]
    assert labels[1][labels[1] != -100].tolist() == first.tolist()
    assert torch.equal(labels[labels != -100], batch.input_ids[labels != -100])
    assert not (batch.answer_mask & (batch.attention_mask == 0)).any()


def test_a_marker_is_the_last_token_before_the_answer(loaded, items):
    conversation = chat(items)
    batch = collate(loaded, [conversation, conversation[:1]])
    assert batch.markers.shape == (2, 5)
    assert batch.markers[1, 1:].tolist() == [-1] * 4
    markers = batch.markers[0].tolist()
    assert markers == sorted(markers)
    assert batch.answer_mask[0, markers[0] + 1] and not batch.answer_mask[0, markers[0]]
    assert markers[4] == int(batch.attention_mask[0].sum()) - 1
    # Up to the marker, a prefix with an open reply has the same tokens as the whole conversation.
    for turn in (0, 1, 3, 4):
        last = conversation[turn]
        prefix = [*conversation[:turn], Turn(last.item, last.instruction)]
        alone = collate(loaded, [prefix])
        assert torch.equal(alone.input_ids[0], batch.input_ids[0, : markers[turn] + 1])


def test_special_tokens_in_titles_are_text(loaded):
    end = end_of_answer(loaded)
    image_token = loaded.processor.image_token if loaded.sees else "<image>"
    names = [image_token, loaded.tokenizer.decode(end)]
    text = f"case {names[0]} {names[1]} red"
    batch = collate(loaded, [[Turn(ItemInput(None, text), names[0], names[1])]], with_labels=True)
    assert not batch.image_mask.any()
    labels = batch.labels[batch.labels != -100].tolist()
    assert labels.count(end) == 1
    assert end not in batch.input_ids[batch.text_mask].tolist()


def test_an_answer_has_the_same_tokens_alone_and_in_a_conversation(loaded, items):
    answers = ["red", " green  apple ", "ü", "7", "", "- x"]
    for answer, ids in zip(answers, loaded.chat_tokenizer.tokenize_answers(answers), strict=True):
        conversation = [Turn(items[0], "What?"), Turn(items[1], "What?", answer)]
        batch = collate(loaded, [conversation])
        marker = int(batch.markers[0, 1])
        assert batch.input_ids[0, marker + 1 : marker + 1 + len(ids)].tolist() == ids.tolist()
