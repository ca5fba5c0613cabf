"""Log-likelihood of given answers, and writing new ones.

The prompt is read once; its keys and values serve all candidates. The candidates of a prompt form a
tree (descriptions begin alike), and each node of the tree is read once: the nodes are laid out in
rows, and a mask lets each see the prompt and its own ancestors only. A node's position is that of
its depth, so the result equals reading every candidate on its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch
from transformers import DynamicCache

from tpad.errors import ModelError
from tpad.mllm.features import ImageCache
from tpad.mllm.prompts import Conversation, ItemInput, Turn

if TYPE_CHECKING:
    from tpad.mllm.model import MLLM

Candidates = Sequence[str] | Sequence[np.ndarray]

ROW_NODES = 192
"""Nodes in a row: more share more, but all nodes of a row are compared with each other."""
PASS_NODES = 2048
"""Nodes read in one pass: bounds the memory, whose first touch is what larger passes pay for."""
LOGITS_AT_ONCE = 2**21
"""Logits held at once."""

_NONE = -2
"""In place of a node: nothing follows this token, so it needs not be read."""


@dataclass
class _Row:
    """Part of a prompt's candidate tree. A parent of -1 is the prompt's marker."""

    prompt: int
    tokens: list[int] = field(default_factory=list)  # of each node that has children
    parents: list[int] = field(default_factory=list)
    depths: list[int] = field(default_factory=list)
    edge_parents: list[int] = field(default_factory=list)  # of each step from token to token
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
            if parent == _NONE:  # so far nothing followed this token
                parent = nodes[-1] = len(self.tokens)
                self.tokens.append(ids[depth - 1])
                self.parents.append(nodes[-2] if depth > 1 else -1)
                self.depths.append(depth - 1)
            path.append(len(self.edge_tokens))
            self.edge_parents.append(parent)
            self.edge_tokens.append(ids[depth])
            nodes.append(_NONE)
            parent = _NONE
        self.paths.append(path)
        self.candidates.append(number)
        self.last_nodes = nodes


def _rows(prompt: int, candidates: Sequence[np.ndarray], row_nodes: int) -> list[_Row]:
    lists = [ids.tolist() for ids in candidates]
    rows: list[_Row] = []
    previous: list[int] = []
    for number in sorted(range(len(lists)), key=lists.__getitem__):
        ids = lists[number]
        if not ids:
            raise ModelError("A candidate has no tokens, not even an end; remove it.")
        if not rows or len(rows[-1].tokens) + len(ids) > row_nodes:
            rows.append(_Row(prompt))
        rows[-1].add(number, ids, previous)
        previous = ids
    return rows


def score_many(
    mllm: "MLLM",
    conversations: Sequence[Conversation],
    candidates: Sequence[Candidates],
    *,
    images: ImageCache | None = None,
    batch_size: int = 32,
    pass_nodes: int = PASS_NODES,
) -> list[np.ndarray]:
    """See `MLLM.score_many`."""
    if len(conversations) != len(candidates):
        raise ModelError(
            f"{len(conversations)} conversations but {len(candidates)} lists of candidates; "
            "give one list for each."
        )
    if any(c[-1].answer is not None for c in conversations):
        raise ModelError("The last turn of a scored conversation must be open: answer=None.")
    token_ids = [tokenized(mllm, given) for given in candidates]
    scores = [np.zeros(len(given), np.float64) for given in candidates]
    # Prompts of like length together: less padding.
    order = sorted(
        range(len(conversations)),
        key=lambda i: (len(conversations[i]), sum(len(t.item.text) for t in conversations[i])),
    )
    with mllm.inference(), mllm.adapters.merged():
        for start in range(0, len(order), batch_size):
            chunk = order[start : start + batch_size]
            batch = mllm.collate([conversations[i] for i in chunk], images=images)
            batch = batch.to(mllm.device)
            prompt = mllm.run(batch, use_cache=True)
            ends = batch.markers.max(1).values  # (B,) last token
            each = torch.arange(len(chunk), device=mllm.device)
            markers = prompt.last_hidden[each, ends]  # (B, d)
            depth0 = batch.position_ids.reshape(-1, *batch.input_ids.shape)[0][each, ends] + 1
            context = _Context(markers, depth0, batch.attention_mask.bool(), list(prompt.cache))
            rows = [r for n, i in enumerate(chunk) for r in _rows(n, token_ids[i], ROW_NODES)]
            for group in _groups(rows, pass_nodes):
                for row, values in zip(group, _score_rows(mllm, context, group), strict=True):
                    scores[chunk[row.prompt]][row.candidates] = values
    return scores


def tokenized(mllm: "MLLM", candidates: Candidates) -> list[np.ndarray]:
    """Candidates as token ids."""
    if len(candidates) and isinstance(candidates[0], str):
        return mllm.tokenize_answers([str(text) for text in candidates])
    return [np.asarray(ids) for ids in candidates]


def _groups(rows: list[_Row], pass_nodes: int) -> list[list[_Row]]:
    """Rows of like length, as many together as a pass may have nodes."""
    groups: list[list[_Row]] = []
    width = 0
    for row in sorted(rows, key=lambda row: -len(row.tokens)):
        if not groups or width * (len(groups[-1]) + 1) > pass_nodes:
            groups.append([])
            width = max(1, len(row.tokens))
        groups[-1].append(row)
    return groups


@dataclass
class _Context:
    """Prompts that were read: `B` prompts of `P` tokens."""

    markers: torch.Tensor  # (B, d) state of the last token
    positions: torch.Tensor  # (B,) position of what follows
    mask: torch.Tensor  # (B, P)
    keys_values: list[tuple]  # per layer (B, heads, P, d_head) twice


def _score_rows(mllm: "MLLM", context: _Context, rows: list[_Row]) -> list[np.ndarray]:
    """Log-likelihood of the candidates of each row."""
    device = mllm.device
    prompts = torch.tensor([row.prompt for row in rows], device=device)  # (R,)
    sizes = [len(row.tokens) for row in rows]
    states = context.markers[prompts]  # (R, d): the parents of first tokens, then all nodes
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
    mllm: "MLLM", context: _Context, rows: list[_Row], prompts: torch.Tensor
) -> torch.Tensor:
    """States (R, N, d) of the nodes of each row, read after the row's prompt."""
    size = (len(rows), max(len(row.tokens) for row in rows))
    tokens = np.full(size, mllm.text.pad_id, np.int64)
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
    return mllm.run_text(
        torch.from_numpy(tokens).to(mllm.device), mask.unsqueeze(1), positions, cache
    )


def _next_token_logprobs(
    mllm: "MLLM", states: torch.Tensor, parents: np.ndarray, tokens: np.ndarray
) -> np.ndarray:
    """log p(tokens[e] | states[parents[e]]) of each edge e: (E,)."""
    order = np.argsort(parents, kind="stable")
    parents, tokens = parents[order], tokens[order]
    out = np.empty(len(order), np.float64)
    step = max(1, LOGITS_AT_ONCE // mllm.vocab_size)
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


def generate(
    mllm: "MLLM",
    items: Sequence[ItemInput],
    *,
    instruction: str,
    max_new_tokens: int,
    batch_size: int,
    images: ImageCache | None,
) -> list[str]:
    """See `MLLM.generate`."""
    out = [""] * len(items)
    order = sorted(range(len(items)), key=lambda i: (items[i].image is None, len(items[i].text)))
    with mllm.inference():
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            conversations = [[Turn(items[i], instruction)] for i in rows]
            for i, ids in zip(
                rows, _greedy(mllm, conversations, max_new_tokens, images), strict=True
            ):
                out[i] = mllm.text.decode(ids)
    return out


def _greedy(
    mllm: "MLLM",
    conversations: Sequence[Conversation],
    max_new_tokens: int,
    images: ImageCache | None,
) -> list[list[int]]:
    """The likeliest next token, again and again, until an end token."""
    batch = mllm.collate(conversations, images=images).to(mllm.device)
    prompt = mllm.run(batch, use_cache=True)
    each = torch.arange(len(batch), device=mllm.device)
    ends = batch.markers.max(1).values  # (B,) last token
    state = prompt.last_hidden[each, ends]  # (B, d)
    position = batch.position_ids.reshape(-1, *batch.input_ids.shape)[0][each, ends] + 1  # (B,)
    mask, cache = batch.attention_mask, prompt.cache
    stops = torch.tensor(sorted(mllm.text.stop_ids), device=mllm.device)
    done = torch.zeros(len(batch), dtype=torch.bool, device=mllm.device)
    written: list[torch.Tensor] = []
    for _ in range(max_new_tokens):
        token = mllm.logits(state).argmax(-1)  # (B,)
        done = done | torch.isin(token, stops)
        written.append(token.masked_fill(done, mllm.text.pad_id))
        if done.all():
            break
        mask = torch.cat([mask, mask.new_ones(len(batch), 1)], dim=1)
        state = mllm.run_text(token[:, None], mask, position[:, None], cache)[:, 0]
        position = position + 1
    ids = torch.stack(written, 1).cpu().numpy()  # (B, new)
    return [row[row != mllm.text.pad_id].tolist() for row in ids]
