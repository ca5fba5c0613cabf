"""Writes tiny GGUF files, as llama.cpp's converter would."""

import json
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from gguf.quants import quantize
from mllm_models import LLAMA3_TEMPLATE, LLAMA3_TOKENS, TEXT, _ids, make_tokenizer
from transformers import LlamaConfig, LlamaForCausalLM

QUANTISED = gguf.GGMLQuantizationType.Q4_1


def make_llama():
    """A language model whose layers can be packed in blocks of 32, and its tokenizer."""
    torch.manual_seed(0)
    tokenizer = make_tokenizer(LLAMA3_TOKENS, "<|begin_of_text|>", "<|eot_id|>")
    tokenizer.chat_template = LLAMA3_TEMPLATE
    text = {**TEXT, "intermediate_size": 64, "num_hidden_layers": 2}
    model = LlamaForCausalLM(LlamaConfig(**text, **_ids(tokenizer), tie_word_embeddings=False))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    return model.eval(), tokenizer


def write_gguf(path: Path, *, packed: bool = True, **fields: Any) -> Path:
    """Write `make_llama` to a file.

    Args:
        path: of the file.
        packed: whether the projections have 4 bits per weight.
        fields: numbers that replace fields of the architecture, such as block_count.
    """
    model, tokenizer = make_llama()
    config = model.config
    writer = gguf.GGUFWriter(path, "llama")
    numbers = {
        "context_length": config.max_position_embeddings,
        "block_count": config.num_hidden_layers,
        "embedding_length": config.hidden_size,
        "feed_forward_length": config.intermediate_size,
        "rope.dimension_count": config.head_dim,
        "attention.head_count": config.num_attention_heads,
        "attention.head_count_kv": config.num_key_value_heads,
        "vocab_size": config.vocab_size,
        **fields,
    }
    for name, value in numbers.items():
        writer.add_uint32(f"llama.{name}", value)
    writer.add_float32("llama.attention.layer_norm_rms_epsilon", config.rms_norm_eps)
    writer.add_float32("llama.rope.freq_base", 10_000.0)
    _add_tokenizer(writer, tokenizer)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config.num_hidden_layers)
    for name, value in model.state_dict().items():
        weights = value.numpy()
        for part, heads in (("q_proj", "num_attention_heads"), ("k_proj", "num_key_value_heads")):
            if part in name:
                weights = _permuted(weights, getattr(config, heads))
        stored = names.get_name(name, try_suffixes=(".weight",))
        kind = QUANTISED if packed and "proj" in name else gguf.GGMLQuantizationType.F32
        writer.add_tensor(stored, quantize(np.ascontiguousarray(weights), kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _add_tokenizer(writer: gguf.GGUFWriter, tokenizer: Any) -> None:
    core = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    tokens = sorted(core["vocab"], key=core["vocab"].__getitem__)
    special = set(tokenizer.all_special_tokens)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(tokens)
    writer.add_token_types([3 if token in special else 1 for token in tokens])
    writer.add_token_merges([" ".join(pair) for pair in core["merges"]])
    writer.add_bos_token_id(tokenizer.bos_token_id)
    writer.add_eos_token_id(tokenizer.eos_token_id)
    writer.add_pad_token_id(tokenizer.pad_token_id)
    writer.add_chat_template(tokenizer.chat_template)


def _permuted(weights: np.ndarray, heads: int) -> np.ndarray:
    """In the order of rows that llama.cpp rotates."""
    halves = weights.reshape(heads, 2, len(weights) // heads // 2, -1)
    return halves.swapaxes(1, 2).reshape(weights.shape)
