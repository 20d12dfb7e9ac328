"""Which features a router reads, by name and hash; one code path for offline matrices and the online single row."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from beast_ml.errors import InputError
from beast_ml.executors import Executor
from beast_ml.features.boilerplate import find_boilerplate, strip_boilerplate
from beast_ml.features.encoder import Encoder
from beast_ml.features.history import HistorySpec
from beast_ml.features.prompt import PROMPT_FEATURES, prompt_features

__all__ = ["CONTEXT_KEYS", "FeatureBuilder", "FeatureSpec"]

Context = Mapping[str, str]
Rows = NDArray[np.float32]

CONTEXT_KEYS: Final = ("task", "language", "file_type", "surface", "app", "turns")
"""Context keys a feature may be made of."""

_PART_PROMPTS: Final = 4096
_MAX_VALUES: Final = 64
_MIN_VALUE_COUNT: Final = 10


class FeatureSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a feature row is made of; two specs with equal hashes give equal rows, to the bit.

    Parameters
    ----------
    encoder, encoder_hash, encoder_dim
        Name, exact weights and width of the encoder.
    prompt_names
        Names of the surface features, in order.
    boilerplate
        Digests of the lines that are taken out before encoding, sorted.
    context
        For each context key in use, the values that have a feature of their own, in order.
    history
        What of the past has features, or None.
    """

    encoder: str
    encoder_hash: str
    encoder_dim: int
    prompt_names: tuple[str, ...]
    boilerplate: tuple[str, ...] = ()
    context: dict[str, tuple[str, ...]] = {}
    history: HistorySpec | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all features, in order."""
        return (
            *(f"embedding_{i}" for i in range(self.encoder_dim)),
            *self.prompt_names,
            "boilerplate_share",
            *(f"context_{key}={value}" for key, values in self.context.items() for value in values),
            *(self.history.names if self.history else ()),
        )

    @property
    def hash(self) -> str:
        """Hex digest of the whole spec."""
        return hashlib.sha256(msgspec.json.encode(self)).hexdigest()

    @classmethod
    def learn(
        cls,
        encoder: Encoder,
        prompts: Sequence[str],
        contexts: Sequence[Context] | None = None,
        context_keys: Sequence[str] = (),
        history: HistorySpec | None = None,
    ) -> FeatureSpec:
        """Learn boilerplate lines and frequent context values from training requests.

        A context value gets a feature of its own when it occurs at least ten times; a key keeps its 64 most
        frequent values. Rarer ones read as "none of these".
        """
        context: dict[str, tuple[str, ...]] = {}
        for key in context_keys:
            counts = Counter(row[key] for row in contexts or () if key in row)
            frequent = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:_MAX_VALUES]
            values = tuple(sorted(value for value, n in frequent if n >= _MIN_VALUE_COUNT))
            if values:
                context[key] = values
        return cls(
            encoder=encoder.name,
            encoder_hash=encoder.hash,
            encoder_dim=encoder.dim,
            prompt_names=PROMPT_FEATURES,
            boilerplate=tuple(sorted(find_boilerplate(prompts))),
            context=context,
            history=history,
        )


@dataclass(frozen=True)
class FeatureBuilder:
    """Turns prompts and contexts into feature rows.

    Parameters
    ----------
    spec
        What a row is made of.
    encoder
        The encoder the spec names; the caller has checked its hash.
    """

    spec: FeatureSpec
    encoder: Encoder

    @cached_property
    def _boilerplate(self) -> frozenset[str]:
        return frozenset(self.spec.boilerplate)

    @cached_property
    def _context_slots(self) -> dict[tuple[str, str], int]:
        pairs = [(key, value) for key, values in self.spec.context.items() for value in values]
        return {pair: slot for slot, pair in enumerate(pairs)}

    @cached_property
    def dim(self) -> int:
        """Width of a row."""
        return len(self.spec.names)

    def row(self, prompt: str, context: Context | None = None, history_row: Rows | None = None) -> Rows:
        """Return the (dim,) float32 features of one request; see `matrix`."""
        rows = None if history_row is None else history_row[None]
        row: Rows = self.matrix([prompt], [context or {}], rows)[0]
        return row

    def matrix(
        self,
        prompts: Sequence[str],
        contexts: Sequence[Context] | None = None,
        history_rows: Rows | None = None,
        executor: Executor | None = None,
    ) -> Rows:
        """Return (n, dim) float32; each row is the same, to the bit, whatever stands beside it.

        Parameters
        ----------
        prompts
            The n texts.
        contexts
            Known facts about each request.
        history_rows
            (n, k) float32 from a `beast_ml.features.history.History`, just when the spec has a history.
        executor
            Has the prompts read by part; None: here, and all at once.

        Raises
        ------
        InputError
            If history rows are missing, too many or not asked for.
        """
        out = np.zeros((len(prompts), self.dim), dtype=np.float32)
        if self.spec.history is not None or history_rows is not None:
            self._place_history(out, history_rows)
        first_context = self.spec.encoder_dim + len(PROMPT_FEATURES) + 1
        # Logs ask the same again and again: each different prompt is read once.
        position = {prompt: i for i, prompt in enumerate(dict.fromkeys(prompts))}
        read = self._prompt_parts(list(position), first_context, executor)
        out[:, :first_context] = read if len(read) == len(prompts) else read[[position[prompt] for prompt in prompts]]
        if self._context_slots and contexts is not None:
            for i, context in enumerate(contexts):
                for pair in context.items():
                    slot = self._context_slots.get(pair)
                    if slot is not None:
                        out[i, first_context + slot] = 1.0
        return out

    def _prompt_parts(self, prompts: list[str], width: int, executor: Executor | None) -> Rows:
        if executor is None or executor.is_local:
            return self._prompt_part(prompts, width)
        parts = (prompts[start : start + _PART_PROMPTS] for start in range(0, len(prompts), _PART_PROMPTS))
        return np.concatenate([np.empty((0, width), np.float32), *executor.map(_read_part, parts, self, width)])

    def _prompt_part(self, prompts: Sequence[str], width: int) -> Rows:
        stripped = [strip_boilerplate(prompt, self._boilerplate) for prompt in prompts]
        part = np.zeros((len(prompts), width), dtype=np.float32)
        embedded = self.spec.encoder_dim
        part[:, :embedded] = self.encoder.encode([text for text, _ in stripped])
        for i, prompt in enumerate(prompts):
            part[i, embedded : width - 1] = prompt_features(prompt)
            part[i, width - 1] = stripped[i][1]
        return part

    def _place_history(self, out: Rows, history_rows: Rows | None) -> None:
        shape = (len(out), self.spec.history.dim if self.spec.history else 0)
        if history_rows is None or history_rows.shape != shape or not shape[1]:
            given = "no history rows" if history_rows is None else f"history rows of shape {history_rows.shape}"
            wanted = f"rows of shape {shape} from a `History`" if shape[1] else "none: these features have no history"
            raise InputError(f"{given} for {shape[0]} prompts, give {wanted}")
        out[:, -shape[1] :] = history_rows


def _read_part(prompts: list[str], builder: FeatureBuilder, width: int) -> Rows:
    return builder._prompt_part(prompts, width)
