"""Trees as named leaves: what can be stored of a pytree, and how a stored leaf becomes itself again.

A leaf's name is its path, ``encoder/0/kernel``, whatever the containers along it were (dicts, lists, named tuples): a
tree read back as nested dicts still matches the structure that it came from.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from arnold.checkpoints.manifest import LeafRecord

_NUMBER_KINDS = "biufcV"  # numpy's numbers; V is how bfloat16 and float8 of ml_dtypes appear


def path_of(keys: tuple[Any, ...]) -> tuple[str | int, ...]:
    """The parts of a JAX key path as plain strings and integers."""
    parts: list[str | int] = []
    for key in keys:
        part = next((getattr(key, name) for name in ("key", "idx", "name") if hasattr(key, name)), None)
        parts.append(int(part) if isinstance(part, (int, np.integer)) and not isinstance(part, bool) else str(part))
    return tuple(parts)


def named_leaves(tree: Any) -> dict[str, Any]:
    """The leaves of ``tree`` by name.

    Raises:
        ValueError: two leaves have one name, as in ``{"a/b": x, "a": {"b": y}}``.
    """
    named: dict[str, Any] = {}
    for keys, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]:
        name = "/".join(map(str, path_of(keys)))
        if name in named:
            raise ValueError(f"two leaves of the tree are both called {name!r}; rename one of the keys along the path")
        named[name] = leaf
    return named


def is_key(leaf: Any) -> bool:
    """Whether ``leaf`` (an array or a description of one) is a typed PRNG key array."""
    return hasattr(leaf, "dtype") and jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def describe(leaf: Any) -> tuple[str, tuple[int, ...]]:
    """The dtype name and shape of ``leaf``; a Python number has its type's name and no shape."""
    if hasattr(leaf, "dtype") and hasattr(leaf, "shape"):
        return str(leaf.dtype), tuple(leaf.shape)
    return type(leaf).__name__, ()


def encode(tree: Any) -> tuple[tuple[LeafRecord, ...], dict[str, np.ndarray]]:
    """Split ``tree`` into records and host arrays.

    Returns:
        a record for each leaf, and the bytes to store by name; leaves without elements need no bytes and are left out.

    Raises:
        TypeError: a leaf is neither an array of numbers, a typed PRNG key nor a Python number; it is named.
        ValueError: two leaves have one name.
    """
    named_leaves(tree)
    records, arrays = [], {}
    for keys, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]:
        record, array = _encode_leaf(path_of(keys), leaf)
        records.append(record)
        if array.size:
            arrays[record.name] = array
    return tuple(records), arrays


def decode(record: LeafRecord, array: np.ndarray | None) -> Any:
    """The leaf that ``record`` describes, from its stored ``array`` (None where it has no elements).

    Returns:
        a numpy array, a typed PRNG key array, or a Python number.

    Raises:
        ValueError: ``array`` does not have the shape or dtype of ``record``, or a key's generator is unknown here.
    """
    if record.kind == "key":
        return _decode_key(record, array)
    if array is None:
        if 0 not in record.shape:
            raise ValueError(f"{record.name}: no data stored for shape {record.shape}")
        return np.zeros(record.shape, _dtype(record.dtype))
    if array.shape != record.shape or str(array.dtype) != record.dtype:
        raise ValueError(f"{record.name}: expected {record.dtype} {record.shape}, found {array.dtype} {array.shape}")
    return array if record.kind == "array" else array.item()


def nested(records: tuple[LeafRecord, ...], leaves: Mapping[str, Any]) -> dict[str | int, Any]:
    """Nested dicts of the leaves; a list or named tuple comes back as a dict by index or field name.

    Raises:
        ValueError: a record's path runs through another's leaf, or one dict would have both text and integers as keys.
    """
    tree: dict[str | int, Any] = {}
    for record in records:
        if not record.path:
            raise ValueError("a tree that is one bare leaf cannot be read back as a dict")
        branch = tree
        for part in record.path[:-1]:
            branch = _extend(branch, part, {}, record.name)
            if not isinstance(branch, dict):
                raise ValueError(f"{record.name}: runs through another leaf")
        if record.path[-1] in branch:
            raise ValueError(f"{record.name}: is both a leaf and a branch")
        _extend(branch, record.path[-1], leaves[record.name], record.name)
    return tree


def _extend(branch: dict[str | int, Any], part: str | int, value: Any, name: str) -> Any:
    """``branch[part]``, set to ``value`` if it is new; JAX sorts the keys of a dict, so they must be of one type."""
    if branch and type(next(iter(branch))) is not type(part):
        raise ValueError(f"{name}: text and integers as keys of one dict")
    return branch.setdefault(part, value)


def _encode_leaf(path: tuple[str | int, ...], leaf: Any) -> tuple[LeafRecord, np.ndarray]:
    if is_key(leaf):
        data = np.asarray(jax.random.key_data(leaf))
        return LeafRecord(path, "key", tuple(leaf.shape), str(jax.random.key_impl(leaf))), data
    array = np.asarray(leaf)
    if not _is_number(array.dtype):
        name = "/".join(map(str, path))
        raise TypeError(f"cannot store {name!r}: a {type(leaf).__name__} of {array.dtype} is no array of numbers")
    kind = type(leaf).__name__ if type(leaf) in (bool, int, float) else "array"
    return LeafRecord(path, kind, tuple(array.shape), str(array.dtype)), array


def _decode_key(record: LeafRecord, array: np.ndarray | None) -> jax.Array:
    try:
        width = jax.random.key_data(jax.random.key(0, impl=record.dtype)).shape
    except (ValueError, TypeError, NotImplementedError) as error:
        raise ValueError(f"{record.name}: unknown key generator {record.dtype!r}") from error
    data = np.zeros((*record.shape, *width), np.uint32) if array is None else array
    if data.dtype != np.uint32 or data.shape != (*record.shape, *width):
        raise ValueError(f"{record.name}: key data is {data.dtype} {data.shape}")
    return jax.random.wrap_key_data(jax.numpy.asarray(data), impl=record.dtype)


def _is_number(dtype: np.dtype) -> bool:
    return dtype.kind in _NUMBER_KINDS and dtype.type is not np.void


def _dtype(name: str) -> np.dtype:
    try:
        dtype = np.dtype(jax.numpy.dtype(name))
    except TypeError as error:
        raise ValueError(f"unknown dtype {name!r}") from error
    if not _is_number(dtype):
        raise ValueError(f"the dtype {name!r} is not one of numbers")
    return dtype
