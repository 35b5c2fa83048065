"""Control subspace inactivation: how many components of its own action a policy needs, measured in closed loop.

The action is projected on its first k principal components around its mean, a' = m + (a - m) V_k V_k^T, before it is
clipped and mapped to excitation (Arnold, arXiv:2508.18066), and the task goes on with what is left. Components are of
the mean actions of whole episodes, of one task or of several pooled. All k of all bases run side by side in one
rollout, on the same starts and goals: k is one more axis of environments, each with a projection matrix of its own.
"""

from __future__ import annotations

import dataclasses
import math
import numbers
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import PercentFormatter

from arnold.analysis.bases import Basis
from arnold.analysis.muscle_signals import MuscleSignals, pooled
from arnold.checkpoints.durable import reported_writes
from arnold.drawing import COLOURS, DPI, GREY, TEXT_SIZE, TITLE_SIZE
from arnold.episodes import policy_agent
from arnold.errors import UserError
from arnold.extras import extra_module
from arnold.policy.actor_critic import ActorCritic
from arnold.tasks import Environment

if TYPE_CHECKING:
    import pandas

PURPOSE = "control subspaces"
ENOUGH = 0.9
"""Of the whole action's solved fraction: the share that papers call full performance."""


@dataclasses.dataclass(frozen=True, eq=False)
class Outcomes:
    """What came of R projections, over the same E episodes each.

    Attributes:
        solved_steps: int (R, E).
        steps: int (R, E), until the episode's end.
        reward: float (R, E), summed.
        horizon: control steps.
    """

    solved_steps: np.ndarray
    steps: np.ndarray
    reward: np.ndarray
    horizon: int

    @property
    def solved(self) -> np.ndarray:
        """(R,): solved steps over the horizon, averaged over episodes."""
        return np.asarray(self.solved_steps.mean(axis=1) / self.horizon)

    @property
    def error(self) -> np.ndarray:
        """(R,): standard error of `solved` over episodes."""
        return np.asarray(self.solved_steps.std(axis=1, ddof=1) / self.horizon / math.sqrt(self.steps.shape[1]))

    @property
    def relative(self) -> np.ndarray:
        """(R,): `solved` over that of the first projection; NaN where that solves nothing."""
        whole = self.solved_steps[0].mean()
        return np.asarray(self.solved_steps.mean(axis=1) / whole if whole else np.full(len(self.steps), np.nan))

    @property
    def relative_error(self) -> np.ndarray:
        """(R,): standard error of `relative`, a ratio of means over the same episodes (Cochran 1977, section 2.11)."""
        away = self.solved_steps - self.relative[:, None] * self.solved_steps[0]
        whole = self.solved_steps[0].mean() or math.nan
        return np.asarray(away.std(axis=1, ddof=1) / whole / math.sqrt(self.steps.shape[1]))


class Inactivation:
    """Episodes of a policy whose action is projected, all projections in one rollout; compiled once per size.

    Args:
        policy: the network.
        environment: the task.
        deterministic: take the mean action; otherwise sample, and project what was sampled, as the paper does.
    """

    def __init__(self, policy: ActorCritic, environment: Environment, deterministic: bool = True):
        self.environment = environment
        self._act = policy_agent(policy, environment, deterministic)
        self._mean = policy_agent(policy, environment)
        self._run = jax.jit(self._episodes, static_argnames=("episodes", "keep"))

    def actions(self, params: Any, episodes: int, seed: int = 0) -> tuple[MuscleSignals, Outcomes]:
        """Mean actions of whole episodes, and what came of them; nothing is projected.

        Args:
            params: parameters and observation statistics.
            episodes: E, at least 2.
            seed: of starts and goals.
        """
        muscles = len(self.environment.body.muscles)
        nothing = np.zeros((1, muscles), np.float32), np.eye(muscles, dtype=np.float32)[None]
        outcomes, (running, means) = self._outcomes(params, *nothing, episodes, seed, keep=True)
        running, means = np.swapaxes(running[:, 0], 0, 1), np.swapaxes(means[:, 0], 0, 1)  # (E, T), (E, T, M)
        trial = np.repeat(np.arange(episodes), running.sum(axis=1))
        name, names = self.environment.task.name, self.environment.body.muscles
        return MuscleSignals(name, names, means[running].astype(np.float64), trial, signal="action"), outcomes

    def curve(
        self, params: Any, bases: Sequence[Basis], episodes: int, seed: int = 0, ranks: Sequence[int] = ()
    ) -> pandas.DataFrame:
        """The solved fraction inside the first 0, 1, 2, ... components of some bases.

        Args:
            params: parameters and observation statistics.
            bases: of this task's muscles.
            episodes: E, at least 2, the same for every rank.
            seed: of starts and goals; another than the bases', unless the same episodes are meant.
            ranks: how many components to keep; all from 0 on where not given. Those beyond a basis are left out.

        Returns:
            a row per basis and rank, its whole span always among them: ``task``, ``basis``, ``rank``, ``explained``,
            ``solved``, ``solved_error`` (standard error), ``relative`` and ``relative_error`` (to the whole action,
            over the same episodes), ``success`` (share of episodes with a solved step), ``reward``, ``steps``. Rank 0
            is the mean action held still. The row of basis ``"none"`` is the action as it is, with its muscles as rank.

        Raises:
            UserError: a basis of other muscles, a rank below 0, or fewer than 2 episodes.
        """
        pd = extra_module("pandas", "analysis", PURPOSE)
        muscles = self.environment.body.muscles
        for basis in bases:
            if basis.muscles != muscles:
                differ = ", ".join(sorted(set(basis.muscles) ^ set(muscles))[:6]) or "another order"
                raise UserError(
                    f"basis {basis.name!r} and task {self.environment.task.name!r} differ in muscles ({differ}); give "
                    "a basis of this body"
                )
        if ranks and min(ranks) < 0:
            raise UserError(f"{min(ranks)} components cannot be kept; 0 to {len(muscles)} are accepted")
        runs = [
            (basis, rank)
            for basis in bases
            for rank in range(len(basis.components) + 1)
            if not ranks or rank in ranks or rank == len(basis.components)
        ]
        means = np.stack([np.zeros(len(muscles)), *(basis.mean for basis, _ in runs)]).astype(np.float32)
        projections = np.stack(
            [np.eye(len(muscles), dtype=np.float32), *(basis.projection(rank) for basis, rank in runs)]
        )
        outcomes, _ = self._outcomes(params, means, projections, episodes, seed)
        told = [("none", len(muscles), 1.0)]
        told += [(b.name, rank, float(b.explained[rank - 1]) if rank else 0.0) for b, rank in runs]
        table = pd.DataFrame(told, columns=["basis", "rank", "explained"])
        table.insert(0, "task", self.environment.task.name)
        return table.assign(
            solved=outcomes.solved,
            solved_error=outcomes.error,
            relative=outcomes.relative,
            relative_error=outcomes.relative_error,
            success=(outcomes.solved_steps > 0).mean(axis=1),
            reward=outcomes.reward.mean(axis=1),
            steps=outcomes.steps.mean(axis=1),
        )

    def _outcomes(
        self, params: Any, means: np.ndarray, projections: np.ndarray, episodes: int, seed: int, keep: bool = False
    ) -> tuple[Outcomes, Any]:
        if episodes < 2:
            raise UserError(f"the number of episodes is {episodes}; at least 2 are accepted, for a standard error")
        key = jax.random.key(seed)
        counted, kept = self._run(params, key, jnp.asarray(means), jnp.asarray(projections), episodes, keep)
        solved, steps, reward = (np.asarray(x).reshape(len(means), episodes) for x in counted)
        return Outcomes(solved, steps, reward, self.environment.task.horizon), jax.tree.map(np.asarray, kept)

    def _episodes(
        self, params: Any, key: jax.Array, means: jax.Array, projections: jax.Array, episodes: int, keep: bool
    ) -> Any:
        ranks, muscles = means.shape
        reset_key, action_key = jax.random.split(key)
        keys = jnp.tile(jax.random.split(reset_key, episodes), ranks)  # every rank meets the same starts and goals
        state = jax.vmap(self.environment.reset)(keys)
        rows = ranks * episodes

        def step(carried: Any, step_key: jax.Array) -> Any:
            state, running, counted = carried
            whole = self._act(params, state.observation, step_key).reshape(ranks, episodes, muscles)
            away = whole - means[:, None]
            # In full precision also on an accelerator: a projection is not to add noise of its own.
            left = jnp.einsum("rem,rmn->ren", away, projections, precision=jax.lax.Precision.HIGHEST)
            action = (means[:, None] + left).reshape(rows, muscles)
            after = jax.vmap(self.environment.step)(state, action)
            counts = (running & after.solved, running, jnp.where(running, after.reward, 0.0))
            counted = tuple(total + count.astype(total.dtype) for total, count in zip(counted, counts, strict=True))
            mean = self._mean(params, state.observation, step_key)
            kept = (running.reshape(ranks, -1), mean.reshape(ranks, episodes, -1)) if keep else ()
            return (after, running & ~after.done, counted), kept

        nothing = (jnp.zeros(rows, jnp.int32), jnp.zeros(rows, jnp.int32), jnp.zeros(rows, jnp.float32))
        begun = (state, jnp.ones(rows, bool), nothing)
        (_, _, counted), kept = jax.lax.scan(step, begun, jax.random.split(action_key, self.environment.task.horizon))
        return counted, kept


def inactivate(
    policy: ActorCritic,
    params: Any,
    environments: Sequence[Environment],
    *,
    episodes: int = 100,
    seed: int = 0,
    ranks: Sequence[int] = (),
    deterministic: bool = True,
    note: Callable[[str], None] = lambda line: None,
) -> tuple[pandas.DataFrame, dict[str, dict[str, Basis]]]:
    """The curves of several tasks: inside each task's own components, and inside those of all tasks of its body.

    Args:
        policy: the network.
        params: parameters and observation statistics.
        environments: one per task.
        episodes: per task and rank; as many more give the components.
        seed: of the episodes that give the components; the curves are of the seed after it.
        ranks: how many components to keep; all from 0 on where not given.
        deterministic: take mean actions; otherwise sample.
        note: given a line of progress.

    Returns:
        the rows of `Inactivation.curve`, task by task; and the bases, by task and name. A task without another of the
        same muscles has no pooled basis.

    Example:
        >>> saved = load("arnold-nine")
        >>> table, bases = inactivate(saved.policy, (saved.params, saved.statistics), [Environment(task("hand_pose"))])
        >>> rank_needed(table)
    """
    pd = extra_module("pandas", "analysis", PURPOSE)
    runs = {e.task.name: Inactivation(policy, e, deterministic) for e in environments}
    actions = {}
    for name, run in runs.items():
        actions[name], outcomes = run.actions(params, episodes, seed)
        note(f"{name}: {100 * outcomes.solved[0]:.1f} % of steps solved by the whole action; components found")
    tables, bases = [], {}
    for name, run in runs.items():
        alike = [other for other in actions.values() if other.muscles == actions[name].muscles]
        found = [Basis.of("own", actions[name])]
        if len(alike) > 1:
            found.append(Basis.of("pooled", pooled(alike)))
        bases[name] = {basis.name: basis for basis in found}
        tables.append(run.curve(params, found, episodes, seed + 1, ranks))
        note(f"{name}: {len(tables[-1])} projections of {episodes} episodes each, in one rollout")
    return pd.concat(tables, ignore_index=True), bases


def rank_needed(table: pandas.DataFrame, share: float = ENOUGH) -> pandas.DataFrame:
    """The smallest rank, among those measured, from which on the policy solves ``share`` of what its whole action does.

    Args:
        table: from `inactivate`.
        share: of the solved fraction without projection.

    Returns:
        a row per task and basis: ``rank``, ``explained`` (variance, at that rank), ``rank_95`` (that explains 95 %),
        ``solved_95`` (share of the whole action's solved fraction there), ``whole`` (solved fraction without
        projection), and ``rank_correlation`` (Spearman's, of explained variance and solved fraction over ranks). Where
        the whole action solves nothing, or no rank is enough, numbers are pandas' NA and ``note`` says why.
    """
    pd = extra_module("pandas", "analysis", PURPOSE)
    rows = []
    whole = table[table["basis"] == "none"].set_index("task")["solved"]
    for (task, basis), curve in table[table["basis"] != "none"].groupby(["task", "basis"], sort=False):
        curve = curve.sort_values("rank")
        row: dict[str, Any] = {"task": task, "basis": basis, "whole": whole[task], "note": ""}
        above = (curve["solved"] >= share * whole[task]).to_numpy()
        high = curve[curve["explained"] >= 0.95].iloc[0]
        row["rank_95"] = int(high["rank"])
        if not whole[task]:
            row["note"] = "the whole action solves nothing"
        elif not above[-1]:
            row["note"] = f"no rank solves {100 * share:.0f} % of it"
        else:
            first = 0 if above.all() else len(above) - int(np.argmin(above[::-1]))
            row |= {"rank": int(curve["rank"].iloc[first]), "explained": float(curve["explained"].iloc[first])}
        if whole[task]:
            row["solved_95"] = float(high["solved"] / whole[task])
        if curve["solved"].nunique() > 1:
            row["rank_correlation"] = float(curve["solved"].corr(curve["explained"], method="spearman"))
        rows.append(row)
    columns = ["task", "basis", "whole", "rank", "explained", "rank_95", "solved_95", "rank_correlation", "note"]
    found = pd.DataFrame(rows).reindex(columns=columns)
    numbers = {"rank": "Int64", "explained": "Float64", "solved_95": "Float64", "rank_correlation": "Float64"}
    return found.astype(numbers)


def draw_inactivation(path: Path, table: pandas.DataFrame) -> Path:
    """A panel per task: performance relative to the whole action (thick, with its standard error) and the variance
    explained (dotted) by the number of components; a ring where `rank_needed` has it. The last panel sets the two
    against each other.

    Args:
        path: the PNG file.
        table: from `inactivate`. Where the whole action solves nothing, there is no performance relative to it.
    """
    tasks = list(dict.fromkeys(table["task"]))
    needed = rank_needed(table).set_index(["task", "basis"])
    columns = min(3, len(tasks) + 1)
    rows = math.ceil((len(tasks) + 1) / columns)
    figure = Figure(figsize=(3.7 * columns, 2.9 * rows + 0.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, squeeze=False, sharey=True).ravel()
    last = axes[len(tasks)]
    for axis, task in zip(axes, tasks, strict=False):
        of_task = table[table["task"] == task]
        whole = float(of_task.loc[of_task["basis"] == "none", "solved"].iloc[0])
        axis.axhline(ENOUGH, color=GREY, linewidth=0.8, linestyle="--")
        for basis in _bases(of_task):
            curve = of_task[of_task["basis"] == basis].sort_values("rank")
            colour, rank = _COLOUR_OF[basis], curve["rank"].to_numpy()
            relative, error = (curve[c].to_numpy() for c in ("relative", "relative_error"))
            axis.fill_between(rank, relative - error, relative + error, color=colour, alpha=0.2, linewidth=0.0)
            axis.plot(rank, relative, color=colour, linewidth=2.0)
            axis.plot(rank, curve["explained"], color=colour, linewidth=1.1, linestyle=":")
            at = needed.loc[(task, basis), "rank"]
            if isinstance(at, numbers.Integral):
                axis.plot(at, relative[rank == at], "o", markersize=8, color=colour, markerfacecolor="white")
            last.plot(curve["explained"], relative, "o", color=colour, markersize=3, alpha=0.7)
        axis.set_title(task, loc="left", fontsize=TITLE_SIZE)
        axis.set_title(f"whole action: {100 * whole:.0f} % solved", loc="right", fontsize=TEXT_SIZE, color=GREY)
        axis.set_xlabel("components kept", fontsize=TEXT_SIZE)
    last.plot([0.0, 1.0], [0.0, 1.0], color=GREY, linewidth=0.8, linestyle="--")
    last.set_title("each rank of each task", loc="left", fontsize=TITLE_SIZE)
    last.set_xlabel("variance explained", fontsize=TEXT_SIZE)
    last.xaxis.set_major_formatter(PercentFormatter(1.0))
    for axis in axes[: len(tasks) + 1]:
        axis.set_ylim(-0.03, 1.08)
        axis.yaxis.set_major_formatter(PercentFormatter(1.0))
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=TEXT_SIZE)
    for axis in axes[::columns]:
        axis.set_ylabel("of the whole action's performance", fontsize=TEXT_SIZE)
    for axis in axes[len(tasks) + 1 :]:
        axis.set_visible(False)
    figure.legend(handles=_handles(_bases(table)), loc="outside lower left", ncols=4, fontsize=TEXT_SIZE, frameon=False)
    with reported_writes(path):
        figure.savefig(path, dpi=DPI)
    return path


_COLOUR_OF = {"own": COLOURS[0], "pooled": COLOURS[3]}


def _handles(bases: Iterable[str]) -> list[Line2D]:
    of_bases = [Line2D([], [], color=_COLOUR_OF[b], linewidth=2.0, label=f"within {b} components") for b in bases]
    variance = Line2D([], [], color=GREY, linewidth=1.1, linestyle=":", label="variance that they explain")
    ring = Line2D([], [], color=GREY, linestyle="none", marker="o", markersize=8, markerfacecolor="white")
    ring.set_label(f"{100 * ENOUGH:.0f} % from here on")
    return [*of_bases, variance, ring]


def _bases(table: pandas.DataFrame) -> list[str]:
    return [str(basis) for basis in dict.fromkeys(table["basis"]) if basis != "none"]
