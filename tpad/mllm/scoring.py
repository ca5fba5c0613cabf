"""Log-likelihoods of given answers.

A prompt is read once, and its keys and values serve all of its candidate answers. The candidates of a
prompt form a prefix tree, since many begin alike, and each node of the tree is read once. The nodes
are laid out in rows, and the attention mask lets each node see the prompt and its own ancestors only.
The position of a node follows from its depth, so the result equals that of reading every candidate on
its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from tpad.errors import ModelError
from tpad.mllm.collator import collate
from tpad.mllm.hugging_face import DynamicCache
from tpad.mllm.image_cache import ImageCache
from tpad.mllm.model import MLLM
from tpad.mllm.prompts import Conversation

Candidates = Sequence[str] | Sequence[np.ndarray]

ROW_NODES = 192
"""Most nodes in a row. A longer row shares more prefixes, but its attention is quadratic."""
PASS_NODES = 2048
"""Most nodes in a forward pass, which bounds the memory."""
MAX_LOGITS = 2**21
"""Most logits that are held at once."""

_NOT_READ = -2
"""Stands for the node of a token that no other token follows, so that it is not read."""


def score_answers(
    mllm: MLLM,
    conversations: Sequence[Conversation],
    candidates: Sequence[Candidates],
    *,
    images: ImageCache | None = None,
    batch_size: int = 32,
    pass_nodes: int = PASS_NODES,
) -> list[np.ndarray]:
    """Log-likelihood of each candidate as the answer to its conversation.

    It is the sum over the answer's tokens, end token included.

    Args:
        mllm: the model, with its active adapter.
        conversations: their last turns must be open (`answer=None`).
        candidates: a list per conversation, of texts or of the tokens that
            `ChatTokenizer.tokenize_answers` returns.
        images: cached image features; items then name their image by its row.
        batch_size: number of conversations that are read together.
        pass_nodes: number of tokens of candidates that are read together.

    Returns:
        Per conversation, the scores of its candidates as float64.

    Raises:
        ModelError: a conversation is not open, a candidate has no tokens, or the two sequences have
            different lengths.
    """
    if len(conversations) != len(candidates):
        raise ModelError(
            f"{len(conversations)} conversations but {len(candidates)} lists of candidates; "
            "give one list for each."
        )
    if any(c[-1].answer is not None for c in conversations):
        raise ModelError("The last turn of a scored conversation must be open: answer=None.")
    token_ids = [_tokenized(mllm, given) for given in candidates]
    scores = [np.zeros(len(given), np.float64) for given in candidates]
    # Prompts of similar length share a batch, which needs less padding.
    order = sorted(
        range(len(conversations)),
        key=lambda i: (len(conversations[i]), sum(len(t.item.text) for t in conversations[i])),
    )
    with mllm.inference(), mllm.adapters.merged():
        for start in range(0, len(order), batch_size):
            chunk = order[start : start + batch_size]
            prompts = _read_prompts(mllm, [conversations[i] for i in chunk], images)
            rows = [r for n, i in enumerate(chunk) for r in _rows(n, token_ids[i], ROW_NODES)]
            for group in _groups(rows, pass_nodes):
                for row, values in zip(group, _score_rows(mllm, prompts, group), strict=True):
                    scores[chunk[row.prompt]][row.candidates] = values
    return scores


def _tokenized(mllm: MLLM, candidates: Candidates) -> list[np.ndarray]:
    """The token ids of candidates."""
    if len(candidates) and isinstance(candidates[0], str):
        return mllm.chat_tokenizer.tokenize_answers([str(text) for text in candidates])
    return [np.asarray(ids) for ids in candidates]


@dataclass
class _Prompts:
    """`B` prompts of at most `P` tokens that the model has read."""

    states: torch.Tensor  # (B, d) of the last token
    positions: torch.Tensor  # (B,) of the token that follows
    mask: torch.Tensor  # (B, P)
    keys_values: list[tuple]  # per layer (B, heads, P, d_head) twice


def _read_prompts(
    mllm: MLLM, conversations: Sequence[Conversation], images: ImageCache | None
) -> _Prompts:
    batch = collate(mllm, conversations, images=images).to(mllm.device)
    output = mllm.forward(batch, need_logits=False, use_cache=True)
    each = torch.arange(len(batch), device=mllm.device)
    return _Prompts(
        output.last_hidden[each, batch.last_tokens],
        batch.next_positions,
        batch.attention_mask.bool(),
        list(output.cache),
    )


@dataclass
class _Row:
    """A part of the candidate tree of one prompt.

    A node is a token that another token follows. An edge leads from a node to the next token; its
    parent is -1 if that is the first token of the answer.
    """

    prompt: int
    tokens: list[int] = field(default_factory=list)  # of each node
    parents: list[int] = field(default_factory=list)  # of each node
    depths: list[int] = field(default_factory=list)  # of each node
    edge_parents: list[int] = field(default_factory=list)
    edge_tokens: list[int] = field(default_factory=list)
    paths: list[list[int]] = field(default_factory=list)  # per candidate, its edges
    candidates: list[int] = field(default_factory=list)  # per candidate, its number
    last_nodes: list[int] = field(default_factory=list)  # of the tokens of the last candidate

    def add(self, number: int, ids: list[int], previous: list[int]) -> None:
        """Add a candidate; `previous` is the one added before, in sorted order."""
        shared, limit = 0, min(len(ids), len(previous)) if self.paths else 0
        while shared < limit and ids[shared] == previous[shared]:
            shared += 1
        path = self.paths[-1][:shared] if self.paths else []
        nodes = self.last_nodes[:shared]
        parent = -1 if not shared else nodes[-1]
        for depth in range(shared, len(ids)):
            if parent == _NOT_READ:  # no token followed this one so far
                parent = nodes[-1] = len(self.tokens)
                self.tokens.append(ids[depth - 1])
                self.parents.append(nodes[-2] if depth > 1 else -1)
                self.depths.append(depth - 1)
            path.append(len(self.edge_tokens))
            self.edge_parents.append(parent)
            self.edge_tokens.append(ids[depth])
            nodes.append(_NOT_READ)
            parent = _NOT_READ
        self.paths.append(path)
        self.candidates.append(number)
        self.last_nodes = nodes


def _rows(prompt: int, candidates: Sequence[np.ndarray], row_nodes: int) -> list[_Row]:
    """Distribute the candidates of a prompt over rows, in sorted order."""
    lists = [ids.tolist() for ids in candidates]
    rows: list[_Row] = []
    previous: list[int] = []
    for number in sorted(range(len(lists)), key=lists.__getitem__):
        ids = lists[number]
        if not ids:
            raise ModelError("A candidate has no tokens, not even an end token; remove it.")
        if not rows or len(rows[-1].tokens) + len(ids) > row_nodes:
            rows.append(_Row(prompt))
        rows[-1].add(number, ids, previous)
        previous = ids
    return rows


def _groups(rows: list[_Row], pass_nodes: int) -> list[list[_Row]]:
    """Group rows of similar length, each group with at most `pass_nodes` nodes."""
    groups: list[list[_Row]] = []
    width = 0
    for row in sorted(rows, key=lambda row: -len(row.tokens)):
        if not groups or width * (len(groups[-1]) + 1) > pass_nodes:
            groups.append([])
            width = max(1, len(row.tokens))
        groups[-1].append(row)
    return groups


def _score_rows(mllm: MLLM, context: _Prompts, rows: list[_Row]) -> list[np.ndarray]:
    """Log-likelihoods of the candidates of each row."""
    device = mllm.device
    prompts = torch.tensor([row.prompt for row in rows], device=device)  # (R,)
    sizes = [len(row.tokens) for row in rows]
    states = context.states[prompts]  # (R, d): the last token of each prompt, then all nodes
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]]) + len(rows)
    if max(sizes):
        nodes = _read_nodes(mllm, context, rows, prompts)  # (R, N, d)
        real = torch.arange(nodes.shape[1]) < torch.tensor(sizes)[:, None]  # (R, N)
        states = torch.cat([states, nodes[real.to(device)]])
    parents = np.concatenate(
        [
            np.where(np.asarray(row.edge_parents) < 0, r, np.asarray(row.edge_parents) + start)
            for r, (row, start) in enumerate(zip(rows, starts, strict=True))
        ]
    )
    tokens = np.concatenate([row.edge_tokens for row in rows])
    edges = _next_token_logprobs(mllm, states, parents, tokens)  # (E,)
    values, first = [], 0
    for row in rows:
        own = edges[first : first + len(row.edge_tokens)]
        lengths = [len(path) for path in row.paths]
        owner = np.repeat(np.arange(len(lengths)), lengths)
        flat = np.concatenate(row.paths)
        values.append(np.bincount(owner, weights=own[flat], minlength=len(lengths)))
        first += len(row.edge_tokens)
    return values


def _read_nodes(
    mllm: MLLM, context: _Prompts, rows: list[_Row], prompts: torch.Tensor
) -> torch.Tensor:
    """States (R, N, d) of the nodes of each row, read after the row's prompt."""
    size = (len(rows), max(len(row.tokens) for row in rows))
    tokens = np.full(size, mllm.chat_tokenizer.pad_id, np.int64)
    depths = np.zeros(size, np.int64)
    parents = np.full(size, -1, np.int64)
    for r, row in enumerate(rows):
        tokens[r, : len(row.tokens)] = row.tokens
        depths[r, : len(row.tokens)] = row.depths
        parents[r, : len(row.tokens)] = row.parents
    sees = np.zeros((*size, size[1]), bool)  # (R, N, N): a node sees itself and its ancestors
    sees[:, np.arange(size[1]), np.arange(size[1])] = True
    for depth in range(1, depths.max() + 1):
        where = np.nonzero(depths == depth)
        sees[where] |= sees[where[0], parents[where]]
    prompt_mask = context.mask[prompts][:, None].expand(-1, size[1], -1)  # (R, N, P)
    mask = torch.cat([prompt_mask, torch.from_numpy(sees).to(mllm.device)], dim=-1)
    positions = context.positions[prompts, None] + torch.from_numpy(depths).to(mllm.device)
    cache = DynamicCache([(k[prompts], v[prompts]) for k, v, *_ in context.keys_values])
    return mllm.forward_cached(
        torch.from_numpy(tokens).to(mllm.device), mask.unsqueeze(1), positions, cache
    )


def _next_token_logprobs(
    mllm: MLLM, states: torch.Tensor, parents: np.ndarray, tokens: np.ndarray
) -> np.ndarray:
    """log p(tokens[e] | states[parents[e]]) of each edge e: (E,)."""
    order = np.argsort(parents, kind="stable")
    parents, tokens = parents[order], tokens[order]
    out = np.empty(len(order), np.float64)
    step = max(1, MAX_LOGITS // mllm.vocab_size)
    for first in range(0, len(states), step):
        low, high = np.searchsorted(parents, [first, first + step])
        if low == high:
            continue
        logits = mllm.logits(states[first : first + step]).float()  # (S, V)
        own = torch.from_numpy(parents[low:high] - first).to(mllm.device)
        to = torch.from_numpy(tokens[low:high]).to(mllm.device)
        logprobs = logits[own, to] - logits.logsumexp(-1)[own]
        out[order[low:high]] = logprobs.double().cpu().numpy()
    return out
