"""Putting loaded leaves into a tree of known structure, all or nothing unless a partial restore is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, overload

import jax
import jax.numpy as jnp
import numpy as np

from arnold.checkpoints.leaves import describe, is_key, named_leaves
from arnold.errors import UserError

PARTIAL_CALL = "merged, differing = restore_into(like, loaded, partial=True)"


@dataclass(frozen=True)
class Mismatch:
    """A path at which two trees differ; ``expected`` or ``found`` is None where that tree has no such leaf."""

    path: str
    expected: str | None  # such as "float32 (64, 64)"
    found: str | None

    def __str__(self) -> str:
        """One line for a person."""
        return f"{self.path}: expected {self.expected or 'nothing'}, found {self.found or 'nothing'}"


@overload
def restore_into(like: Any, loaded: Any, partial: Literal[False] = False) -> Any: ...
@overload
def restore_into(like: Any, loaded: Any, partial: Literal[True]) -> tuple[Any, tuple[Mismatch, ...]]: ...


def restore_into(like: Any, loaded: Any, partial: bool = False) -> Any:
    """Give the tree ``like`` the values of ``loaded``.

    Leaves are matched by path, so nested dicts fit named tuples and lists. Each value takes the kind of the leaf of
    ``like``: a JAX array (on its devices if it is committed to some, otherwise on the default device), a numpy array,
    a typed key or a Python number. In place of arrays, ``like`` may hold the ``jax.ShapeDtypeStruct`` of
    ``jax.eval_shape``.

    Args:
        like: the structure, shapes and dtypes wanted.
        loaded: a tree such as :func:`arnold.checkpoints.load_policy` returns.
        partial: take the leaves that fit and keep those of ``like`` elsewhere.

    Returns:
        the filled tree; with ``partial``, that and the paths at which the two differ.

    Raises:
        UserError: without ``partial``, for any difference, listing each path; with it, if no leaf fits at all.
        ValueError: ``partial``, and a leaf to keep is only a ``jax.ShapeDtypeStruct``.

    Example::

        params, _ = load_policy("generalist")
        merged, differing = restore_into(fresh_params, params, partial=True)
    """
    found = named_leaves(loaded)
    if not partial:
        return fill(like, found, "the loaded tree", f"to take what fits and keep yours elsewhere: {PARTIAL_CALL}")
    differing = mismatches(like, found)
    skip = {mismatch.path for mismatch in differing}
    wanted = named_leaves(like)
    if skip.issuperset(wanted):
        raise UserError(_report("nothing of the loaded tree fits", differing, "load a checkpoint of a related policy"))
    abstract = [n for n, leaf in wanted.items() if n in skip and isinstance(leaf, jax.ShapeDtypeStruct)]
    if abstract:
        raise ValueError(f"a partial restore keeps leaves of like, so they must be arrays: {', '.join(abstract)}")
    leaves = [leaf if name in skip else _as_like(leaf, found[name]) for name, leaf in wanted.items()]
    return jax.tree.unflatten(jax.tree.structure(like), leaves), differing


def fill(like: Any, found: Mapping[str, Any], source: str, advice: str) -> Any:
    """The tree ``like`` with the values of ``found``, by name; strict.

    Args:
        like: the structure, shapes and dtypes wanted.
        found: leaves by name.
        source: what ``found`` is, for the error.
        advice: what to do about a difference, for the error.

    Raises:
        UserError: the names, shapes or dtypes differ; each difference is on a line of its own.
    """
    differing = mismatches(like, found)
    if differing:
        count = f"{len(differing)} path{'s differ' if len(differing) > 1 else ' differs'}"
        raise UserError(_report(f"{source} does not fit: {count}", differing, advice))
    leaves = [_as_like(leaf, found[name]) for name, leaf in named_leaves(like).items()]
    return jax.tree.unflatten(jax.tree.structure(like), leaves)


def mismatches(like: Any, found: Mapping[str, Any]) -> tuple[Mismatch, ...]:
    """Every path at which ``found`` lacks, exceeds or contradicts ``like``, sorted."""
    wanted = {name: describe(leaf) for name, leaf in named_leaves(like).items()}
    seen = {name: describe(leaf) for name, leaf in found.items()}
    return tuple(
        Mismatch(name, _words(wanted.get(name)), _words(seen.get(name)))
        for name in sorted(wanted.keys() | seen.keys())
        if wanted.get(name) != seen.get(name)
    )


def _words(description: tuple[str, tuple[int, ...]] | None) -> str | None:
    return None if description is None else f"{description[0]} {description[1]}"


def _report(headline: str, differing: tuple[Mismatch, ...], advice: str) -> str:
    return "\n".join([headline, *(f"  {mismatch}" for mismatch in differing), advice])


def _as_like(like: Any, value: Any) -> Any:
    """``value``, which has the shape and dtype of ``like``, in the kind of container and place that ``like`` is."""
    if not isinstance(like, (jax.Array, jax.ShapeDtypeStruct)):
        return np.array(value) if isinstance(like, (np.ndarray, np.generic)) else value
    # A copy, because XLA may otherwise keep using numpy's memory after the caller has changed it.
    array = value if is_key(value) else jnp.array(value, dtype=like.dtype, copy=True)
    committed = isinstance(like, jax.Array) and getattr(like, "committed", False)
    return jax.device_put(array, like.sharding) if committed else array
