"""`arnold replay`: run the iteration again from which a training stopped, and name what was not finite."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from arnold.cli.options import PhysicsOptions
from arnold.cli.output import Done, note, say
from arnold.errors import UserError

if TYPE_CHECKING:  # importing it imports JAX, which help and errors do not wait for
    from arnold.learning.learner import TrainState

SHOWN = 12


@dataclasses.dataclass(frozen=True)
class Replay:
    """Run an iteration again that was not finite or in which physics diverged, and say what is not finite."""

    dump: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="DUMP")]
    """The folder that the training named: <run>/nonfinite/iteration_... or <run>/diverged/iteration_..."""

    physics: PhysicsOptions = dataclasses.field(default_factory=PhysicsOptions)

    def run(self) -> Done:
        """Replay and report."""
        from arnold.checkpoints import load_config, load_learner
        from arnold.recipe import from_json
        from arnold.saved_policy import load
        from arnold.training import prepare

        config = load_config(self.dump)
        if "recipe" not in config:
            raise UserError(
                f"{self.dump} does not say which recipe it is of; give a folder <run>/nonfinite/iteration_..."
            )
        subspace = load(self.dump).subspace
        prepared = prepare(from_json(config["recipe"]), self.physics.backend, self.physics.threads, subspace)
        before = load_learner(self.dump, prepared.learner.blank_state())
        note(f"iteration {int(before.iteration)}: compiling and running it again ...")
        after, metrics = prepared.learner.train_iteration(before)
        _report(before, after, metrics)
        return Done()


def _report(before: TrainState, after: TrainState, metrics: dict[str, Any]) -> None:
    skipped = int(after.skipped) - int(before.skipped)
    taken = int(after.updates) - int(before.updates)
    say(f"iteration {int(before.iteration)}: {skipped} updates were not finite and skipped, {taken} taken")
    # an episode's figure is empty, not wrong, where no episode ended in the rollout
    names = [name for name in not_finite(metrics) if not name.endswith("/episode_solved")]
    _say_list("figures", names)
    _say_list("arrays of the state before", not_finite(before))
    _say_list("arrays of the state after", not_finite(after))
    diverged = {name: int(value) for name, value in metrics.items() if name.endswith("/diverged") and int(value)}
    for name, count in diverged.items():
        task = name.removesuffix("/diverged")
        say(f"physics: {count} environment steps of {task} diverged; those episodes were ended")


def not_finite(tree: Any) -> list[str]:
    """Paths of the floating-point leaves of a tree that hold a number which is not finite, with how many."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    found = []
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        if not jnp.issubdtype(leaf.dtype, jnp.floating):
            continue
        bad = int(np.count_nonzero(~np.isfinite(np.asarray(leaf))))
        if bad:
            name = jax.tree_util.keystr(path, simple=True, separator="/")
            found.append(name if leaf.size == 1 else f"{name} ({bad} of {leaf.size})")
    return found


def _say_list(what: str, names: list[str]) -> None:
    more = f", ... ({len(names)} in all)" if len(names) > SHOWN else ""
    say(f"{what} that are not finite: {', '.join(names[:SHOWN]) or 'none'}{more}")
