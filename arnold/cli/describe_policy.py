"""A policy in lines: what it was trained on, for how long and how well, from its config, card and run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from arnold.checkpoints import load_config, resolve, verify_checkpoint
from arnold.checkpoints.jsonfile import read_json
from arnold.checkpoints.zoo import CARD_FILE, zoo_names
from arnold.cli.output import plain_table
from arnold.metric_log import read_rows
from arnold.progress import duration
from arnold.runs import run_of, training_time_s

SUBSPACE, POSTURE = "subspace", "posture"  # the KEYs of arnold.policy.subspace and .posture, without importing JAX


def names() -> list[str]:
    """The policies that ship."""
    return list(zoo_names())


def lines(name_or_path: str) -> list[str]:
    """The policy that ``name_or_path`` means.

    Raises:
        UserError: there is none, or it is damaged; each damaged file is named.
    """
    folder = resolve(name_or_path)
    manifest = verify_checkpoint(folder)
    config = load_config(folder)
    leaves = [leaf for leaf in manifest.items["policy"] if leaf.path and leaf.path[0] == "params"]
    parameters = sum(_size(leaf.shape) for leaf in leaves if leaf.path[1:2] not in ((SUBSPACE,), (POSTURE,)))
    recipe = config.get("recipe", {})
    settings = recipe.get("learner", {})
    return [
        f"policy {name_or_path}: {_kind(config)}, {parameters:,} parameters",
        f"at: {folder}",
        f"trained on: {', '.join(config.get('tasks', ()))}",
        f"bodies: {', '.join(_body(name, about) for name, about in config.get('bodies', {}).items())}",
        f"made by: a recipe of kind {recipe.get('kind', '?')}, regime {settings.get('regime', '?')}, "
        f"seed {recipe.get('seed', '?')}, on {config.get('made', '?')}",
        f"trained for: {config.get('environment_steps', 0):,} environment steps{_wall_time(folder)}",
        *_before(config),
        *_within(config),
        *_commands(config),
        *(["can resume: yes, with --resume"] if "learner" in manifest.items and run_of(folder) else []),
        "",
        *_how_well(folder),
    ]


def _kind(config: dict[str, Any]) -> str:
    network = config.get("network", {})
    if config.get("kind") == "mlp":
        return f"an expert (MLP, hidden layers {network.get('hidden')})"
    words, signatures = len(config.get("words", ())), len(config.get("signatures", ()))
    return f"a generalist (transformer, {words} words, {signatures} signatures)"


def _body(name: str, about: dict[str, Any]) -> str:
    return f"{name} ({about['muscles']} muscles, action map {about['action_map']}, step {about['control_dt_s']:.4g} s)"


def _size(shape: tuple[int, ...]) -> int:
    count = 1
    for length in shape:
        count *= length
    return count


def _wall_time(folder: Path) -> str:
    seconds = training_time_s(folder)
    machine = read_json(folder / CARD_FILE, "the card")["machine"] if (folder / CARD_FILE).is_file() else ""
    return (f" in {duration(seconds)}" if seconds else "") + (f" ({machine})" if machine else "")


def _before(config: dict[str, Any]) -> list[str]:
    """A line about the trainings before this one, if there were any."""
    said = [f"{stage['steps']:,} on {stage['task']}" for stage in config.get("earlier", ())]
    return [f"and before that: {', then '.join(said)}"] if said else []


def _within(config: dict[str, Any]) -> list[str]:
    """A line about the subspace that its actions are projected on, if there is one."""
    subspace = config.get(SUBSPACE)
    if not subspace:
        return []
    return [
        f"acts within: the first {subspace['rank']} of {subspace['components']} components of the actions of "
        f"{len(subspace['muscles'])} muscles, {_percent(subspace['explained'])} of their variance "
        f"({subspace['source']}){'; with other bodies freely' if config['kind'] == 'transformer' else ''}"
    ]


def _commands(config: dict[str, Any]) -> list[str]:
    """A line about the joints that it commands in place of muscles, if it does."""
    posture = config.get(POSTURE)
    if not posture:
        return []
    return [
        f"commands: the equilibrium of {len(config['action_tokens'])} joints; the stretch reflexes of "
        f"{len(posture['muscles'])} muscles follow{', left and right alike' if config['network']['mirrored'] else ''}"
    ]


def _how_well(folder: Path) -> list[str]:
    """The evaluation of the card, or of the run's newest `arnold evaluate`; else the last rollout's figures."""
    if (folder / CARD_FILE).is_file():
        evaluation = read_json(folder / CARD_FILE, "the card")["evaluation"]
        return [f"evaluation ({_conditions(evaluation)}):", _table(evaluation)]
    run = run_of(folder)
    if run is None:
        return ["not evaluated; see `arnold evaluate`"]
    evaluated = sorted((run / "eval").glob("**/evaluation.json"), key=lambda path: path.stat().st_mtime)
    if evaluated:
        detail = json.loads(evaluated[-1].read_text(encoding="utf-8"))
        rows = {pair["student"]["task"]: pair["student"] for pair in detail["tasks"]}
        return [f"evaluation ({_conditions(rows)}; {evaluated[-1]}):", _table(rows)]
    rows_of_training = read_rows(run / "metrics.jsonl")
    last = rows_of_training[-1] if rows_of_training else {}
    solved = [[key.removesuffix("/solved"), _percent(value)] for key, value in last.items() if key.endswith("/solved")]
    return ["not evaluated yet; the last rollout, with exploration:", plain_table(["task", "steps solved"], solved)]


def _conditions(evaluation: dict[str, dict[str, Any]]) -> str:
    first = next(iter(evaluation.values()), {})
    how = "mean actions" if first.get("deterministic") else "sampled actions"
    return f"{first.get('episodes', '?')} episodes, {how}, seed {first.get('seed', '?')}"


def _table(evaluation: dict[str, dict[str, Any]]) -> str:
    rows = [
        [
            task,
            f"{_percent(f['solved_step_fraction'])} ± {_percent(f['confidence_95'])}",
            _percent(f["success"]),
            _percent(f.get("relative_to_expert")),
        ]
        for task, f in evaluation.items()
    ]
    return plain_table(["task", "steps solved", "success", "of the expert's"], rows)


def _percent(value: float | None) -> str:
    return "" if value is None or value != value else f"{100 * value:.1f} %"
