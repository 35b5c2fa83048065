"""Packages that only some uses need: imported when they are first asked for, and named in one line where missing."""

from __future__ import annotations

import importlib
from types import ModuleType

from arnold.errors import UserError


def extra_module(name: str, extra: str, purpose: str) -> ModuleType:
    """The module ``name``, which the extra ``extra`` installs.

    Args:
        name: such as ``sklearn.decomposition``.
        extra: of this package.
        purpose: what it is needed for, to begin the message with: ``"muscle synergies"``.

    Raises:
        UserError: it is not installed, or does not import.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        package = name.partition(".")[0]
        raise UserError(
            f"{purpose}: the package {package} is missing ({error}); install the extra `{extra}`: "
            f"pip install 'arnold[{extra}]'"
        ) from error
