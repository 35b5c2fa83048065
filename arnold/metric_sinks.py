"""Metrics to other programs, as an option beside the local files: TensorBoard and Weights & Biases (extra ``log``)."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

from arnold.errors import UserError, did_you_mean


class MetricSink(Protocol):
    """Something that takes the rows of a run."""

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        """Take the figures of one step."""

    def close(self) -> None:
        """Hand over what is still held back."""


class TensorBoardSink:
    """Event files in ``<run>/tensorboard``, for ``tensorboard --logdir runs``."""

    def __init__(self, run_path: Path, config: Mapping[str, Any]) -> None:
        self._writer = _module("tensorboard").SummaryWriter(logdir=str(run_path / "tensorboard"))

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        """Take the figures of one step."""
        for name, value in figures.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Write the events out."""
        self._writer.close()


class WandbSink:
    """A Weights & Biases run named after the folder, continued where the run is."""

    def __init__(self, run_path: Path, config: Mapping[str, Any]) -> None:
        self._run = _module("wandb").init(
            project="arnold",
            id=run_path.name,
            name=f"{run_path.parent.name}/{run_path.name}",
            dir=str(run_path),
            config=dict(config),
            resume="allow",
        )

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        """Take the figures of one step."""
        self._run.log(dict(figures), step=step)

    def close(self) -> None:
        """Finish the upload."""
        self._run.finish()


_SINKS: dict[str, Callable[[Path, Mapping[str, Any]], MetricSink]] = {
    "tensorboard": TensorBoardSink,
    "wandb": WandbSink,
}
_MODULES = {"tensorboard": "tensorboardX", "wandb": "wandb"}


def require_sinks(names: Iterable[str]) -> None:
    """Check that every sink of ``names`` could be opened, before a run is made for them.

    Raises:
        UserError: a sink is unknown, or the extra ``log`` is not installed.
    """
    for name in names:
        if name not in _SINKS:
            raise UserError(f"metrics cannot be sent to {name!r}; {did_you_mean(name, _SINKS)}")
        _module(name)


def open_sink(name: str, run_path: Path, config: Mapping[str, Any]) -> MetricSink:
    """The sink called ``name``, which :func:`require_sinks` accepted, for the run in ``run_path``."""
    return _SINKS[name](run_path, config)


def _module(sink: str) -> ModuleType:
    try:
        return importlib.import_module(_MODULES[sink])
    except ImportError as error:
        raise UserError(
            f"the metric sink {sink!r} needs the extra `log` ({error}); install it: pip install 'arnold[log]'"
        ) from error
