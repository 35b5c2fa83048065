"""What weak, tired, late or noisy muscles do to a policy: to its performance, and to its synergies.

All levels of all perturbations run side by side: in each control step the network is asked once, for the episodes of
every level, which have the same starts and goals. Bodies are stepped level by level, each with its own muscles.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from threadpoolctl import threadpool_limits

from arnold.analysis.muscle_signals import MuscleSignals, episode_signals
from arnold.analysis.subspaces import similarity
from arnold.analysis.synergies import extract, matched, most_synergies
from arnold.analysis.synergy_number import VAF_OVERALL, number_for
from arnold.checkpoints.durable import reported_writes
from arnold.drawing import COLOURS, DPI, GREY, STUDENT, TEXT_SIZE, TITLE_SIZE
from arnold.episodes import Recording, policy_agent
from arnold.errors import UserError, did_you_mean
from arnold.extras import extra_module
from arnold.policy.actor_critic import ActorCritic
from arnold.tasks import Environment, Task
from arnold.tasks.perturbation import INTACT, Perturbation

if TYPE_CHECKING:
    import pandas

PURPOSE = "robustness"
LEVELS: dict[str, tuple[float, ...]] = {
    "weakness": (0.25, 0.5, 0.75),
    "fatigue": (0.2, 0.4, 0.6),
    "delay": (0.02, 0.05, 0.1),
    "noise": (0.1, 0.3, 1.0),
}
"""What is tried unless said; see `arnold.tasks.perturbation.Perturbation` for the units."""

AXES = {
    "weakness": "share of active force lost",
    "fatigue": "share of motor units tired at first",
    "delay": "delay (s)",
    "noise": "noise (share of the excitation)",
}
SAMPLES = 1000
"""Of activations that synergies are extracted from; more, of slow signals, say no more."""


@dataclasses.dataclass(frozen=True)
class Probe:
    """One level of one perturbation."""

    name: str
    level: float
    perturbation: Perturbation


INTACT_PROBE = Probe("intact", 0.0, INTACT)


def probes(levels: Mapping[str, Sequence[float]], muscles: Sequence[str] = ()) -> tuple[Probe, ...]:
    """Every level of every perturbation.

    Args:
        levels: by perturbation.
        muscles: patterns of the muscles that it is about; all where not given.

    Raises:
        UserError: an unknown perturbation, one without levels, or a level that it cannot have.
    """
    if not levels:
        raise UserError(f"no perturbation was given; accepted: {', '.join(AXES)}, with levels")
    for name, given in levels.items():
        if name not in AXES:
            raise UserError(f"unknown perturbation {name!r}; {did_you_mean(name, AXES)}")
        if not len(given):
            raise UserError(f"perturbation {name!r} has no levels; give at least one, such as {LEVELS[name][0]:g}")
    return tuple(
        Probe(name, float(level), Perturbation(**{name: float(level)}, muscles=tuple(muscles)))
        for name, given in levels.items()
        for level in sorted(given)
    )


class ProbedEpisodes:
    """Episodes of a policy under several perturbations at once; compiled once per number of episodes.

    Args:
        policy: the network.
        task: the task.
        perturbations: L of them.
        backend: physics back end.
        threads: threads of the native back end.
        deterministic: take the mean action; otherwise sample.

    Raises:
        UserError: where the policy cannot act in the task, or the body's muscles cannot be perturbed so.
    """

    def __init__(
        self,
        policy: ActorCritic,
        task: Task,
        perturbations: Sequence[Perturbation],
        backend: str = "native",
        threads: int | None = None,
        deterministic: bool = True,
    ):
        self.environments = [Environment(task, backend, threads, perturbation=one) for one in perturbations]
        self._act = policy_agent(policy, self.environments[0], deterministic)
        self._run = jax.jit(self._episodes, static_argnames="episodes")

    def __call__(self, params: Any, episodes: int, seed: int = 0) -> tuple[Recording, ...]:
        """Run them, all stepped together, on the same starts and goals.

        Args:
            params: parameters and observation statistics.
            episodes: E, per perturbation.
            seed: of starts, goals and the perturbations' own chance.

        Returns:
            one per perturbation, with the activations of all episodes.

        Raises:
            UserError: for fewer than 2 episodes.
        """
        if episodes < 2:
            raise UserError(f"the number of episodes is {episodes}; at least 2 are accepted, for a standard error")
        seen = jax.tree.map(np.asarray, self._run(params, jax.random.key(seed), episodes))
        # (T, L, E, ...) -> (L, E, T, ...)
        running, solved, reward, activation = (np.moveaxis(part, 0, 2) for part in seen)
        body, task = self.environments[0].body, self.environments[0].task
        return tuple(
            Recording(task.name, body.muscles, body.control_dt, running[i], solved[i], reward[i], {}, activation[i])
            for i in range(len(self.environments))
        )

    def _episodes(self, params: Any, key: jax.Array, episodes: int) -> Any:
        reset_key, action_key = jax.random.split(key)
        keys = jax.random.split(reset_key, episodes)
        states = [jax.vmap(environment.reset)(keys) for environment in self.environments]
        levels, muscle_act = len(states), self.environments[0].body.muscle_act

        def step(carried: Any, step_key: jax.Array) -> Any:
            states, running = carried
            seen = jnp.concatenate([state.observation for state in states])
            actions = self._act(params, seen, step_key).reshape(levels, episodes, -1)
            activation = jnp.stack([state.physics.act[:, muscle_act] for state in states])
            states = [
                jax.vmap(environment.step)(state, action)
                for environment, state, action in zip(self.environments, states, actions, strict=True)
            ]
            solved, reward, done = (
                jnp.stack([getattr(s, name) for s in states]) for name in ("solved", "reward", "done")
            )
            kept = (running, running & solved, jnp.where(running, reward, 0.0), activation)
            return (states, running & ~done), kept

        begun = (states, jnp.ones((levels, episodes), bool))
        return jax.lax.scan(step, begun, jax.random.split(action_key, self.environments[0].task.horizon))[1]


def robustness(
    policy: ActorCritic,
    params: Any,
    task: Task,
    levels: Mapping[str, Sequence[float]] | None = None,
    *,
    muscles: Sequence[str] = (),
    episodes: int = 50,
    seed: int = 0,
    share: float = VAF_OVERALL,
    backend: str = "native",
    threads: int | None = None,
    deterministic: bool = True,
    note: Callable[[str], None] = lambda line: None,
) -> pandas.DataFrame:
    """How well a policy does at each level of some perturbations, and how alike its synergies stay.

    Args:
        policy: the network.
        params: parameters and observation statistics.
        task: the task.
        levels: by perturbation; `LEVELS` where not given.
        muscles: patterns of the muscles that are perturbed; all where not given.
        episodes: per level, at least 2.
        seed: of starts, goals and noise.
        share: of the activations' variance that the synergies (nmf) are to account for.
        backend: physics back end.
        threads: threads of the native back end.
        deterministic: take mean actions; otherwise sample.
        note: given a line of progress.

    Returns:
        a row per level, the first ``"intact"``: ``perturbation``, ``level``, ``solved`` (solved steps over the
        horizon), ``solved_error`` (standard error over episodes), ``relative`` (to intact), ``success`` (share of
        episodes with a solved step), ``reward`` and ``steps`` per episode; ``synergies`` (how many account for
        ``share``); and of as many synergies as the intact policy has, extracted anew: ``captured`` (the share of the
        perturbed activations' variance in the subspace of the intact policy's synergies, over that in their own),
        ``mean_angle`` between the subspaces and ``chance_angle`` of shuffled ones (degrees), ``cosine`` (median of the
        pairs most alike). What cannot be had is pandas' NA, and ``note`` says why.

    Raises:
        UserError: an unknown perturbation or level, fewer than 2 episodes, or a share that is none.

    Example:
        >>> saved = load("hand_index_reach")
        >>> robustness(saved.policy, (saved.params, saved.statistics), task("hand_index_reach"), {"delay": [0.05]})
    """
    extra_module("sklearn", "analysis", PURPOSE)
    pd = extra_module("pandas", "analysis", PURPOSE)
    if not 0.0 < share < 1.0:
        raise UserError(f"synergies are to account for {share} of the variance; a share between 0 and 1 is accepted")
    asked = (INTACT_PROBE, *probes(LEVELS if levels is None else levels, muscles))
    made = ProbedEpisodes(policy, task, [probe.perturbation for probe in asked], backend, threads, deterministic)
    note(f"{task.name}: compiling, then {len(asked)} x {episodes} episodes of {task.horizon} control steps")
    ran = made(params, episodes, seed)
    note("episodes done; extracting synergies")
    rows = [_performance(probe, one, task.horizon) for probe, one in zip(asked, ran, strict=True)]
    for row in rows:
        row["relative"] = row["solved"] / rows[0]["solved"] if rows[0]["solved"] else pd.NA
    # threads cost more than they give on matrices of this size
    with threadpool_limits(limits=1, user_api="blas"):
        intact = episode_signals(ran[0]).thinned(SAMPLES)
        number = number_for(intact, share) if intact.active.any() else None
        for row, one in zip(rows, ran, strict=True):
            row |= _synergies(intact, number, episode_signals(one).thinned(SAMPLES), share)
    table = pd.DataFrame(rows)
    numbers = {"synergies": "Int64"} | dict.fromkeys(("relative", *_ALIKE), "Float64")
    return table.reindex(columns=[*_COLUMNS, "synergies", *_ALIKE, "note"]).astype(numbers)


_COLUMNS = ("perturbation", "level", "solved", "solved_error", "relative", "success", "reward", "steps")
_ALIKE = ("captured", "mean_angle", "chance_angle", "cosine")


def _performance(probe: Probe, ran: Recording, horizon: int) -> dict[str, Any]:
    solved = ran.solved.sum(axis=1) / horizon
    return {
        "perturbation": probe.name,
        "level": probe.level,
        "solved": float(solved.mean()),
        "solved_error": float(solved.std(ddof=1) / math.sqrt(len(solved))),
        "success": float((solved > 0.0).mean()),
        "reward": float(ran.reward.sum(axis=1).mean()),
        "steps": float(ran.running.sum(axis=1).mean()),
    }


def _synergies(intact: MuscleSignals, number: int | None, other: MuscleSignals, share: float) -> dict[str, Any]:
    """The number of synergies of some activations, and how alike they are to those of the intact policy."""
    if not other.active.any():
        return {"note": "no muscle's activation moves"}
    found: dict[str, Any] = {"synergies": number_for(other, share), "note": ""}
    if found["synergies"] is None:
        found["note"] = f"no number of synergies tried accounts for {100 * share:.0f} %"
    if number is None:
        return found | {"note": f"the intact policy's synergies do not account for {100 * share:.0f} %"}
    if number > most_synergies(other):
        return found | {"note": f"fewer than {number} muscles are active"}
    one, two = extract(intact, number), extract(dataclasses.replace(other, name="perturbed"), number)
    alike = similarity([two, one], draws=20).iloc[0]  # of the perturbed, by the intact
    cosine = float(matched(one, two)["cosine"].median())
    figures = {name: float(alike[name]) for name in ("mean_angle", "chance_angle")}
    return found | figures | {"captured": float(alike["relative"]), "cosine": cosine}


def draw_robustness(path: Path, table: pandas.DataFrame, title: str = "") -> Path:
    """A column per perturbation: the solved fraction against its level, and below it how alike the synergies stay.

    Args:
        path: the PNG file.
        table: from `robustness`.
        title: above it all.
    """
    names = [name for name in dict.fromkeys(table["perturbation"]) if name != INTACT_PROBE.name]
    figure = Figure(figsize=(2.9 * len(names) + 0.5, 4.9), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(2, len(names), squeeze=False, sharey="row", sharex="col")
    for (upper, lower), name in zip(axes.T, names, strict=True):
        rows = table[table["perturbation"].isin([INTACT_PROBE.name, name])]
        _draw_solved(upper, rows)
        _draw_synergies(lower, rows)
        upper.set_title(name, loc="left", fontsize=TITLE_SIZE)
        lower.set_xlabel(AXES[name], fontsize=TEXT_SIZE)
        for axis in (upper, lower):
            axis.spines[["top", "right"]].set_visible(False)
            axis.tick_params(labelsize=TEXT_SIZE)
    axes[0, 0].set_ylabel("share of steps solved", fontsize=TEXT_SIZE)
    axes[1, 0].set_ylabel("variance in the intact's\nsynergies; their number above", fontsize=TEXT_SIZE)
    if title:
        figure.suptitle(title, fontsize=TITLE_SIZE, x=0.01, ha="left")
    with reported_writes(path):
        figure.savefig(path, dpi=DPI)
    return path


def _draw_solved(axis: Axes, rows: pandas.DataFrame) -> None:
    level, solved, error = (rows[column].to_numpy(float) for column in ("level", "solved", "solved_error"))
    axis.axhline(solved[0], color=GREY, linewidth=1.0, linestyle="--")
    axis.fill_between(level, solved - error, solved + error, color=STUDENT, alpha=0.2, linewidth=0.0)
    axis.plot(level, solved, color=STUDENT, linewidth=2.0, marker="o", markersize=4)
    axis.set_ylim(-0.02, 1.02)
    axis.yaxis.set_major_formatter(PercentFormatter(1.0))


def _draw_synergies(axis: Axes, rows: pandas.DataFrame) -> None:
    """Variance captured, with the number of synergies beside each point."""
    level, captured, number = (
        rows[column].to_numpy(float, na_value=np.nan) for column in ("level", "captured", "synergies")
    )
    axis.plot(level, captured, color=COLOURS[1], linewidth=2.0, marker="o", markersize=4)
    for x, y, count in zip(level, captured, number, strict=True):
        if np.isfinite([y, count]).all():
            axis.annotate(f"{count:.0f}", (x, y), (0, 6), textcoords="offset points", ha="center", fontsize=TEXT_SIZE)
    axis.set_ylim(-0.02, 1.14)
    axis.yaxis.set_major_formatter(PercentFormatter(1.0))
