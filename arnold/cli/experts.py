"""The experts that a policy is compared with."""

from __future__ import annotations

from collections.abc import Sequence

from arnold.checkpoints.zoo import ZOO_FOLDER, zoo_names
from arnold.cli.options import name_value_pairs
from arnold.errors import UserError, did_you_mean
from arnold.saved_policy import SavedPolicy, load
from arnold.tasks import task


def experts_beside(saved: SavedPolicy, tasks: Sequence[str], given: Sequence[str]) -> dict[str, SavedPolicy]:
    """By task: the expert named, or else the zoo's expert of the task's name.

    A specialist stands beside no other, unless one is named.

    Args:
        saved: the policy that is compared.
        tasks: what it is evaluated on, names or files.
        given: ``TASK=POLICY`` each.

    Raises:
        UserError: an expert for a task that is not evaluated, or that cannot be read.
    """
    names = [task(reference).name for reference in tasks]
    named = name_value_pairs("--experts", given)
    for name in named:
        if name not in names:
            raise UserError(f"--experts names {name!r}, which is not evaluated; {did_you_mean(name, names)}")
    if saved.config.get("kind") != "mlp":
        shipped = [name for name in zoo_names() if name in names and saved.source != ZOO_FOLDER / name]
        named = {name: name for name in shipped} | named
    return {name: load(checkpoint) for name, checkpoint in named.items()}


def distilled_experts(saved: SavedPolicy) -> dict[str, SavedPolicy]:
    """The experts that a generalist was distilled from, by task."""
    named = dict(saved.config["recipe"].get("experts", ()))
    return {name: load(named.get(name, name)) for name in saved.tasks}
