"""A run: one folder with everything that one training made.

::

    runs/<recipe>/<time>-<hash>/
      config.json     the recipe with every field
      manifest.json   config hash, code revision, package versions, devices, fingerprints of bodies and vocabulary
      metrics.jsonl   one row per logged step; metrics.csv holds the same rows
      checkpoints/    step_000000000200/ ..., and LATEST
      eval/ videos/   what later commands add
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from arnold.checkpoints.durable import clear_leftovers, reported_writes
from arnold.checkpoints.jsonfile import read_json, write_json
from arnold.checkpoints.lookup import RUN_CHECKPOINTS
from arnold.checkpoints.series import latest_checkpoint, save_step, step_of
from arnold.checkpoints.zoo import CARD_FILE
from arnold.errors import UserError
from arnold.metric_log import MetricLog, flat_figures, read_rows
from arnold.metric_sinks import MetricSink, open_sink, require_sinks
from arnold.provenance import config_hash, devices, git_revision, machine, package_versions

FORMAT = "arnold-run"
FORMAT_VERSION = 1
FOLDERS = (RUN_CHECKPOINTS, "eval", "videos")


class Run:
    """An open run folder; make one with :meth:`create` or :meth:`open`. One process writes to a run at a time.

    Attributes:
        path: the run's folder.
        config: the content of ``config.json``.
        manifest: the content of ``manifest.json``.
        written: the paths this process wrote, in order, each once; commands print them at their end.

    Example::

        run = Run.create("runs", "elbow_pose", config)
        run.log(2048, {"reward": 0.3})
        run.save(2048, policy, policy_config, learner)
    """

    def __init__(self, path: Path, config: dict[str, Any], manifest: dict[str, Any], keep: int | None) -> None:
        """Hold an existing folder; use :meth:`create` or :meth:`open` instead."""
        self.path = path
        self.config = config
        self.manifest = manifest
        self.written: list[Path] = []
        self._keep = keep
        self._metrics = MetricLog(path)
        self._sinks: list[MetricSink] = []
        self._rewind_to: int | None = None  # the step that a reopened run goes back to when it is first written to
        self._worked_before_s = 0.0
        self._opened_s = time.monotonic()

    @classmethod
    def create(
        cls,
        root: str | Path,
        recipe_name: str,
        config: Mapping[str, Any],
        *,
        fingerprints: Mapping[str, Any] | None = None,
        keep: int | None = 3,
        sinks: Sequence[str] = (),
    ) -> Run:
        """Make the folder of a new run.

        Args:
            root: where runs live, such as ``runs``.
            recipe_name: names the folder under ``root``.
            config: the recipe as JSON values.
            fingerprints: JSON values that identify the bodies and the vocabulary.
            keep: how many checkpoints to keep; None keeps all.
            sinks: where metrics go besides the local files: ``tensorboard``, ``wandb``.

        Raises:
            UserError: the folder cannot be made, ``recipe_name`` is not a plain name, or a sink is unknown or not
                installed.
            TypeError: ``config`` or ``fingerprints`` is not JSON.
        """
        if not recipe_name or recipe_name.startswith(".") or any(c in recipe_name for c in "/\\\0"):
            raise UserError(
                f"a recipe's name names a folder, so {recipe_name!r} will not do; use letters, digits, _ and -"
            )
        require_sinks(sinks)
        manifest = _provenance(recipe_name, config, fingerprints or {})
        parent = Path(root).absolute() / recipe_name
        with reported_writes(parent):
            path = _new_folder(parent, f"{datetime.now():%Y%m%d-%H%M%S}-{manifest['config_sha256'][:8]}")
            for name in FOLDERS:
                (path / name).mkdir()
            write_json(path / "config.json", config)
            write_json(path / "manifest.json", manifest)
        run = cls(path, dict(config), manifest, keep)
        run._open_sinks(sinks)
        run.written += [path / "config.json", path / "manifest.json"]
        return run

    @classmethod
    def open(cls, path: str | Path, *, step: int | None = None, keep: int | None = 3, sinks: Sequence[str] = ()) -> Run:
        """Continue a run in its own files, from a checkpoint.

        Opening changes nothing, so a run may be opened to read it. With the first :meth:`log` or :meth:`save`, the
        metric rows after that checkpoint are dropped, because they are written again, and what a kill left half done is
        cleared.

        Args:
            path: the run's folder.
            step: the step of the checkpoint that training resumes from; None for the newest good one.
            keep: how many checkpoints to keep; None keeps all.
            sinks: where metrics go besides the local files: ``tensorboard``, ``wandb``.

        Raises:
            UserError: ``path`` is no run, its files are damaged, none of its checkpoints is good, or a sink is unknown
                or not installed.
        """
        require_sinks(sinks)
        path = Path(path).absolute()
        if not (path / "manifest.json").is_file():
            raise UserError(
                f"{path} is not a run: it has no manifest.json; give a folder such as runs/<recipe>/<time>-<hash>"
            )
        manifest = read_json(path / "manifest.json", "the run's manifest")
        if (manifest.get("format"), manifest.get("version")) != (FORMAT, FORMAT_VERSION):
            seen = f"format {manifest.get('format')!r}, version {manifest.get('version')!r}"
            raise UserError(
                f"{path} is not a run that this arnold reads: {seen}; accepted: {FORMAT!r}, {FORMAT_VERSION}"
            )
        config = read_json(path / "config.json", "the run's config")
        run = cls(path, config, manifest, keep)
        run._rewind_to = run._latest_step() if step is None else step
        kept = run._metrics.rows(run._rewind_to)
        run._worked_before_s = float(kept[-1].get("wall_s") or 0.0) if kept else 0.0
        run._open_sinks(sinks)
        return run

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def checkpoints(self) -> Path:
        """The folder of the checkpoints."""
        return self.path / RUN_CHECKPOINTS

    def log(self, step: int, metrics: Mapping[str, Any]) -> None:
        """Add a row of metrics, with ``step`` and ``wall_s``, the seconds worked on this run by all its processes.

        Args:
            step: environment steps so far.
            metrics: numbers by name; mappings are flattened with ``/``; what is not finite becomes empty.

        Raises:
            UserError: the disk is full or read-only.
            TypeError: a metric is not one number or text.
        """
        wall_s = round(self._worked_before_s + time.monotonic() - self._opened_s, 3)
        figures = flat_figures(metrics)
        self._take_over()
        self._metrics.append({"step": int(step), "wall_s": wall_s} | figures)
        numbers = {name: float(value) for name, value in figures.items() if isinstance(value, (int, float))}
        for sink in self._sinks:
            sink.log(int(step), numbers)
        self.wrote(self._metrics.jsonl)
        self.wrote(self._metrics.csv)

    def save(self, step: int, policy: Any, config: Mapping[str, Any], learner: Any = None) -> Path:
        """Write the checkpoint of ``step``; the run's manifest goes into it.

        Args:
            step: environment steps so far.
            policy, config, learner: as for :func:`arnold.checkpoints.save_checkpoint`.

        Returns:
            the checkpoint's folder.

        Raises:
            UserError: the disk is full or read-only; the older checkpoints are intact.
        """
        self._take_over()
        path = save_step(
            self.checkpoints,
            step,
            policy=policy,
            config=config,
            learner=learner,
            manifest={"run": self.manifest, "step": int(step)},
            keep=self._keep,
        )
        self.written = [other for other in self.written if other.exists()]  # the oldest checkpoint may be gone now
        return self.wrote(path)

    def latest(self) -> Path | None:
        """The newest good checkpoint, or None before the first.

        Raises:
            UserError: there are checkpoints and every one is damaged.
        """
        return latest_checkpoint(self.checkpoints)

    def wrote(self, path: Path) -> Path:
        """Note that this process wrote ``path``, for the list that the command prints; returns ``path``."""
        if path not in self.written:
            self.written.append(path)
        return path

    def close(self) -> None:
        """Hand over what the sinks still hold; the local files need no closing."""
        while self._sinks:
            self._sinks.pop().close()

    def _open_sinks(self, names: Sequence[str]) -> None:
        self._sinks = [open_sink(name, self.path, self.config) for name in names]

    def _latest_step(self) -> int:
        """The step of the newest good checkpoint; -1 without one: training then starts over and logs step 0 again."""
        latest = self.latest()
        return -1 if latest is None else step_of(latest) or 0

    def _take_over(self) -> None:
        """Before the first write to a reopened run, make it look as it did at the checkpoint."""
        if self._rewind_to is None:
            return
        with reported_writes(self.path):
            for name in FOLDERS:
                (self.path / name).mkdir(exist_ok=True)
            clear_leftovers(self.path)
            clear_leftovers(self.checkpoints)
        self._metrics.truncate(self._rewind_to)
        self._rewind_to = None


def _provenance(recipe_name: str, config: Mapping[str, Any], fingerprints: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "version": FORMAT_VERSION,
        "recipe": recipe_name,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "config_sha256": config_hash(config),
        "git_revision": git_revision(),
        "packages": package_versions(),
        "machine": machine(),
        "devices": devices(),
        "fingerprints": dict(fingerprints),
    }


def _new_folder(parent: Path, name: str) -> Path:
    """Make ``parent/name``; where two runs start in the same second, the second is ``name-2``."""
    parent.mkdir(parents=True, exist_ok=True)
    for number in range(1, 1000):
        path = parent / (name if number == 1 else f"{name}-{number}")
        try:
            path.mkdir()
            return path
        except FileExistsError:
            continue
    raise FileExistsError(17, "a thousand runs of this name exist", str(parent / name))


def run_of(checkpoint: Path) -> Path | None:
    """The run that a checkpoint's folder lies in; None for one outside a run."""
    return checkpoint.parent.parent if checkpoint.parent.name == RUN_CHECKPOINTS else None


def training_time_s(checkpoint: Path) -> float | None:
    """Seconds of training that made a checkpoint, by its card or its run's metrics; None where neither says."""
    if (checkpoint / CARD_FILE).is_file():
        seconds = read_json(checkpoint / CARD_FILE, "the card").get("wall_time_s")
        return None if seconds is None else float(seconds)
    run = run_of(checkpoint)
    rows = read_rows(run / "metrics.jsonl") if run else []
    return float(rows[-1]["wall_s"]) if rows else None
