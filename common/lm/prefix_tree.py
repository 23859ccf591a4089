"""The prefix tree of token sequences: every distinct prefix is one node, so that it is computed once.

Nodes are numbered in depth-first preorder. Therefore the descendants of node i are i+1 .. end[i]-1, and for a range of
nodes that starts at s, every ancestor outside the range is on the path from a root to s. The tree can be split anywhere
into ranges, and each range needs only the keys and values of one path.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class PrefixTree:
    """A forest of token sequences in depth-first preorder; all arrays are int64.

    Attributes:
        tokens: [nodes] token id of each node.
        parent: [nodes] parent of each node, -1 for a root.
        depth: [nodes] number of ancestors, which is also the position id of the token.
        end: [nodes] one past the last descendant.
        last: [sequences] node of each sequence's last token, in the order the sequences were given.
    """

    tokens: np.ndarray
    parent: np.ndarray
    depth: np.ndarray
    end: np.ndarray
    last: np.ndarray

    def __len__(self) -> int:
        return len(self.tokens)

    def path(self, node: int) -> np.ndarray:
        """Nodes from the root to `node`, both included; [depth[node] + 1]."""
        path = np.empty(self.depth[node] + 1, np.int64)
        for position in range(len(path) - 1, -1, -1):
            path[position] = node
            node = self.parent[node]
        return path


def build_tree(sequences: Sequence[np.ndarray]) -> PrefixTree:
    """Merge non-empty int token sequences into one prefix tree; equal prefixes share their nodes."""
    sequences = [np.asarray(sequence, np.int64) for sequence in sequences]
    # Big-endian bytes compare like the token ids, so that sorting puts every subtree in one run.
    order = sorted(range(len(sequences)), key=lambda i: sequences[i].astype(">u4").tobytes())
    tokens, parent, depth, end = (np.empty(sum(map(len, sequences)), np.int64) for _ in range(4))
    last = np.empty(len(sequences), np.int64)
    path = np.empty(max(map(len, sequences), default=0), np.int64)
    size, previous = 0, np.empty(0, np.int64)
    for i in order:
        sequence = sequences[i]
        if not len(sequence):
            raise ValueError(f"sequence {i} is empty")
        shared = common_prefix(previous, sequence)
        end[path[shared : len(previous)]] = size
        new = slice(size, size + len(sequence) - shared)
        tokens[new] = sequence[shared:]
        depth[new] = np.arange(shared, len(sequence))
        parent[new] = np.arange(size - 1, new.stop - 1)
        if new.stop > size:
            parent[size] = path[shared - 1] if shared else -1
        path[shared : len(sequence)] = np.arange(size, new.stop)
        last[i] = path[len(sequence) - 1]
        size, previous = new.stop, sequence
    end[path[: len(previous)]] = size
    return PrefixTree(tokens[:size], parent[:size], depth[:size], end[:size], last)


def common_prefix(a: np.ndarray, b: np.ndarray) -> int:
    """Length of the longest common prefix of two one-dimensional arrays."""
    length = min(len(a), len(b))
    different = np.flatnonzero(a[:length] != b[:length])
    return int(different[0]) if len(different) else length


def tree_size(texts: Sequence[str]) -> int:
    """Nodes in the prefix tree of the UTF-8 bytes of `texts`: an estimate of their cost without a tokenizer."""
    encoded = [np.frombuffer(text, np.uint8) for text in sorted(text.encode() for text in texts)]
    return sum(map(len, encoded)) - sum(map(common_prefix, encoded, encoded[1:]))
