"""Pickled numpy files, read without running what is pickled in them: arrays and plain containers only."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np

from arnold.errors import UserError
from arnold.motion.readers.options import one_line

_ACCEPTED = {
    ("collections", "OrderedDict"),
    ("numpy", "dtype"),
    ("numpy", "ndarray"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy.core.multiarray", "scalar"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "scalar"),
}


class _ArraysOnly(pickle.Unpickler):
    """Finds no class and no function other than those that numpy's arrays are made of."""

    def find_class(self, module_name: str, global_name: str) -> Any:
        """One of the accepted names, or an error."""
        if (module_name, global_name) not in _ACCEPTED:
            raise pickle.UnpicklingError(f"it would run {module_name}.{global_name}")
        return super().find_class(module_name, global_name)


def load_dictionary(path: Path) -> dict[str, Any]:
    """The dictionary that a .npy file holds.

    Raises:
        UserError: where the file is damaged, holds an array and no dictionary, or would run code.
    """
    data = io.BytesIO(path.read_bytes())
    try:
        version = np.lib.format.read_magic(data)
        read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read_header(data)
        if not dtype.hasobject:
            raise UserError(
                f"{str(path)!r} holds an array of shape {shape} and no dictionary; an MDM results.npy or a poselib "
                "motion is accepted"
            )
        content = _ArraysOnly(data).load()
    except pickle.UnpicklingError as error:
        raise UserError(
            f"{str(path)!r} is not read: its pickle is damaged or holds more than arrays ({one_line(error)}); take "
            "files from sources you trust, saved from plain arrays"
        ) from error
    except UserError:
        raise
    except Exception as error:  # of a damaged pickle any kind may come
        raise UserError(
            f"{str(path)!r} cannot be read as a numpy file ({one_line(error)}); it is cut short or damaged"
        ) from error
    content = content.item() if isinstance(content, np.ndarray) and content.size == 1 else content
    if not isinstance(content, dict):
        raise UserError(
            f"{str(path)!r} holds a {type(content).__name__} and no dictionary; an MDM results.npy or a poselib motion "
            "is accepted"
        )
    return content
