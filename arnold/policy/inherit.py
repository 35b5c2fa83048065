"""Another body's skill, by words: an expert of a larger body begins as that of a smaller one.

Tokens have the same words on every body, so what a network has learned about "hip_flexion left joint" holds wherever
there is one. The new network reads what the old one read with the old weights, and what else its body shows with
weights of zero; it commands what the old one commanded as that did, and the rest hardly at all. At first it is the old
network, with room to learn the rest.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from arnold.errors import UserError
from arnold.policy.mlp import MlpActorCritic
from arnold.policy.normaliser import ObservationStatistics

if TYPE_CHECKING:
    from collections.abc import Iterable

    from arnold.policy.actor_critic import Signature

_MOMENT = re.compile(r"ahead_(\d+)ms")
_ALIKE = 0.2
"""How far apart two moments ahead may be, relative to the larger, to be taken for the same."""


def inherit(
    old: MlpActorCritic, params: Any, statistics: ObservationStatistics, new: MlpActorCritic, key: jax.Array
) -> tuple[dict[str, Any], ObservationStatistics]:
    """Parameters and statistics with which ``new`` does what ``old`` does, wherever their words agree.

    A moment ahead ("ahead_33ms") is taken for the nearest that the new network sees ("ahead_30ms").

    Args:
        old: the network that is inherited from.
        params: its parameters.
        statistics: its observation statistics.
        new: a network with layers of the same widths that reads and commands all that ``old`` does.
        key: for what is not inherited.

    Raises:
        UserError: where ``new`` has other layers, or lacks a token.
    """
    for what in ("hidden", "lags", "mirrored", "interchangeable"):
        ours, theirs = getattr(new.config, what), getattr(old.config, what)
        if ours != theirs:
            raise UserError(f"its network has {what} {theirs}, the new one {ours}; give both the same (--set network)")
    renamed = _moments(old.signatures, new.signatures)
    read = _places("read", old.tokens_read.signatures, new.tokens_read.signatures, renamed)
    commanded = _places("command", old.action_table.signatures, new.action_table.signatures, renamed)
    begun = jax.tree.map(np.array, new.init(key))
    lags = np.arange(old.config.lags)
    inputs = (read[:, None] * len(lags) + lags).ravel()  # a token's lags lie side by side
    head = begun["policy"]["head"]
    for trunk in ("policy", "value"):
        first = np.zeros_like(begun[trunk]["layer_0"]["kernel"])
        first[inputs] = params[trunk]["layer_0"]["kernel"]
        begun[trunk] = {**params[trunk], "layer_0": {**params[trunk]["layer_0"], "kernel": first}}
    head["kernel"][:, commanded] = params["policy"]["head"]["kernel"]
    head["bias"][commanded] = params["policy"]["head"]["bias"]
    begun["policy"]["head"] = head
    begun["log_std"][commanded] = params["log_std"]
    return jax.tree.map(jnp.asarray, begun), _statistics(old, statistics, new, renamed)


def _statistics(
    old: MlpActorCritic, statistics: ObservationStatistics, new: MlpActorCritic, renamed: dict[str, str]
) -> ObservationStatistics:
    """The new network's statistics: the old one's where signatures agree, fresh ones elsewhere."""
    place_of = {signature: place for place, signature in enumerate(new.signatures)}
    pairs = [(place_of.get(_renamed(signature, renamed)), place) for place, signature in enumerate(old.signatures)]
    to, origin = (np.array(places) for places in zip(*(pair for pair in pairs if pair[0] is not None), strict=True))
    return jax.tree.map(lambda fresh, known: fresh.at[to].set(known[origin]), new.init_statistics(), statistics)


def _moments(old: Iterable[Signature], new: Iterable[Signature]) -> dict[str, str]:
    """The new network's word for each of the old one's moments ahead."""
    theirs, ours = (
        {word: int(found[1]) for signature in signatures for word in signature if (found := _MOMENT.fullmatch(word))}
        for signatures in (old, new)
    )
    nearest = {word: min(ours, key=lambda other: abs(ours[other] - ms), default=word) for word, ms in theirs.items()}
    return {
        word: other
        for word, other in nearest.items()
        if other in ours and abs(ours[other] - theirs[word]) <= _ALIKE * max(ours[other], theirs[word])
    }


def _places(what: str, old: tuple[Signature, ...], new: tuple[Signature, ...], renamed: dict[str, str]) -> np.ndarray:
    """Where the new network has each of the old one's signatures, int (K,)."""
    place_of = {signature: place for place, signature in enumerate(new)}
    sought = [_renamed(signature, renamed) for signature in old]
    missing = [" ".join(signature) for signature in sought if signature not in place_of]
    if missing:
        raise UserError(
            f"its network does {what} {missing[0]!r} and {len(missing) - 1} more that the new one does not; start from "
            "an expert of a body that is part of this one, and of the same kind of task"
        )
    return np.array([place_of[signature] for signature in sought])


def _renamed(signature: Signature, renamed: dict[str, str]) -> Signature:
    return tuple(sorted(renamed.get(word, word) for word in signature))
