"""What muscles read while a policy does its task: attention from each muscle's query to the observed tokens.

Attention is composed through the encoder (:mod:`arnold.policy.introspection`), so that a row says how much of each
observed token is in what a muscle reads, whichever encoder lies between. It says where the network looks, not what
follows from it (Jain and Wallace 2019, arXiv:1902.10186): the *influence* is beside it, by how much a muscle's action
moves with each token, to first order. Both are shares, whose rows sum to 1, averaged over samples of whole episodes.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from arnold.analysis.muscle_anatomy import MuscleAnatomy
from arnold.analysis.pair_tests import exchanges
from arnold.episodes import policy_agent
from arnold.errors import UserError
from arnold.extras import extra_module
from arnold.policy.actor_critic import ActorCritic
from arnold.policy.introspection import Introspection
from arnold.policy.normaliser import newest_lags
from arnold.tasks import Environment
from arnold.vocab import joint_words, muscle_words
from arnold.vocab.published import KINDS, SIDES

if TYPE_CHECKING:
    import pandas

PURPOSE = "attention"
ROWS = 32
"""Samples that are looked at together."""
MEASURES = ("attention", "influence")


@dataclasses.dataclass(frozen=True, eq=False)
class Reading:
    """What M muscles read of E observed tokens in one task, averaged over samples.

    Attributes:
        task: its name.
        anatomy: of the muscles.
        observed: (E,) the tokens, as their words.
        kinds: (E,) ``"muscle"``, ``"joint"``, ``"tip"``, ``"site"``, ``"root"``, ...; in scalar granularity with the
            quantity.
        sides: (E,) ``"left"``, ``"right"``, or ``""``.
        muscle_of: int (E,), which of the body's muscles a token is of, or -1.
        joint_of: int (E,), likewise of its joints.
        attention: (decoder layers, heads, M, E), through the encoder.
        deviation: (decoder layers, heads, M, E), standard deviation of the attention over samples.
        to_memory: (decoder layers, heads, M, P), to the memory alone: latents, or tokens that have read each other.
        memory: (P, E), what the memory holds of the observed tokens (attention rollout).
        influence: (M, E), shares of each muscle's; NaN where nothing moves a muscle.
        samples: how many.
    """

    task: str
    anatomy: MuscleAnatomy
    observed: tuple[str, ...]
    kinds: tuple[str, ...]
    sides: np.ndarray
    muscle_of: np.ndarray
    joint_of: np.ndarray
    attention: np.ndarray
    deviation: np.ndarray
    to_memory: np.ndarray
    memory: np.ndarray
    influence: np.ndarray
    samples: int

    def shares(self, measure: str = "attention", layer: int | None = None, head: int | None = None) -> np.ndarray:
        """(M, E): one measure; attention of one layer and head, or the mean over all where not given.

        Raises:
            UserError: no such measure, layer or head.
        """
        if measure not in MEASURES:
            raise UserError(f"there is no measure {measure!r}; {' and '.join(MEASURES)} are accepted")
        if measure == "influence":
            return self.influence
        for what, wanted, count in (("layer", layer, len(self.attention)), ("head", head, self.attention.shape[1])):
            if wanted is not None and not 0 <= wanted < count:
                raise UserError(f"the decoder has no {what} {wanted}; 0 to {count - 1} are accepted")
        of_layer = self.attention.mean(axis=0) if layer is None else self.attention[layer]
        return np.asarray(of_layer.mean(axis=0) if head is None else of_layer[head])

    def table(self, measure: str = "attention", layer: int | None = None, head: int | None = None) -> pandas.DataFrame:
        """The same with muscles as rows and observed tokens as columns."""
        pd = extra_module("pandas", "analysis", PURPOSE)
        shares = self.shares(measure, layer, head)
        return pd.DataFrame(shares, index=list(self.anatomy.muscles), columns=list(self.observed))

    def by_layer(self) -> pandas.DataFrame:
        """Every number: a row per layer, head, muscle and token, with ``attention`` and its ``deviation``."""
        pd = extra_module("pandas", "analysis", PURPOSE)
        layers, heads, *_ = self.attention.shape
        names = ["layer", "head", "muscle", "observed"]
        index = pd.MultiIndex.from_product(
            [range(layers), range(heads), self.anatomy.muscles, self.observed], names=names
        )
        columns = {"attention": self.attention.ravel(), "deviation": self.deviation.ravel()}
        return pd.DataFrame(columns, index=index).reset_index()

    def by_group(self) -> pandas.DataFrame:
        """Shares of kinds of observation, by group of muscles.

        Returns:
            a row per muscle group and kind: ``attention`` and ``influence`` (shares of the group's muscles, averaged),
            and ``tokens``, the kind's share of all tokens, which a muscle that reads all alike would have.
        """
        pd = extra_module("pandas", "analysis", PURPOSE)
        groups, kinds = np.array(self.anatomy.groups), np.array(self.kinds)
        rows = []
        for group in dict.fromkeys(groups[self.anatomy.order].tolist()):
            for kind in dict.fromkeys(self.kinds):
                of_kind = kinds == kind
                shares = {m: self.shares(m)[groups == group][:, of_kind].sum(axis=1) for m in MEASURES}
                means = {measure: float(np.nanmean(share)) for measure, share in shares.items() if not _empty(share)}
                rows.append({"group": group, "kind": kind, **means, "tokens": float(of_kind.mean())})
        table = pd.DataFrame(rows).reindex(columns=["group", "kind", *MEASURES, "tokens"])
        table.insert(0, "task", self.task)
        return table

    def relations(self, resamples: int = 999, seed: int = 0) -> pandas.DataFrame:
        """Whether muscles read what anatomy relates them to more than other tokens.

        Relations: tokens of the muscle's ``side`` against those of the other; and, within its side, a muscle's ``own``
        token against other muscles'; those of its ``group`` (digit or segment) against other groups'; the joints it
        ``turns`` (at least a tenth of its largest moment arm) against other joints.

        Args:
            resamples: exchanges of muscles, besides their rows as they are.
            seed: of them.

        Returns:
            a row per measure and relation: ``ratio`` (mean share of related over unrelated tokens), and ``p``
            (one-sided, of a ratio at least as large when muscles are exchanged: with any other for ``side``, within
            their sides for the rest); pandas' NA and a ``note`` where there is nothing to compare.
        """
        pd = extra_module("pandas", "analysis", PURPOSE)
        rows: list[dict[str, Any]] = []
        for measure in MEASURES:
            shares = self.shares(measure)
            moved = np.isfinite(shares).all(axis=1)
            sides = self.anatomy.sides[moved]
            for relation, (related, unrelated) in self._related().items():
                row: dict[str, Any] = {"task": self.task, "measure": measure, "relation": relation, "note": ""}
                if not (related[moved].any() and unrelated[moved].any()):
                    row["note"] = "no such pair, or no other to compare with"
                else:
                    strata = np.full(len(sides), "") if relation == "side" else sides
                    row |= _ratio(shares[moved], related[moved], unrelated[moved], strata, resamples, seed)
                rows.append(row)
        table = pd.DataFrame(rows).reindex(columns=["task", "measure", "relation", "ratio", "p", "note"])
        return table.astype({"ratio": "Float64", "p": "Float64"})

    def summary(self) -> dict[str, float]:
        """How much muscles differ, how much attention changes, and whether attention goes with influence.

        Returns:
            ``between_muscles``: half the mean absolute difference of a muscle's shares from the mean muscle's, summed
            over tokens (0 all alike, 1 disjoint); ``over_time``: the mean standard deviation over samples, relative to
            the mean share; ``attention_influence``: Spearman's correlation of the two over all muscles and tokens, NaN
            where one of them does not vary; ``most``: the largest share of the mean muscle.
        """
        stats: Any = extra_module("scipy.stats", "analysis", PURPOSE)
        shares, finite = self.shares(), np.isfinite(self.influence)
        mean = shares.mean(axis=0)
        agree = np.nan
        if finite.any() and np.ptp(shares[finite]) > 0.0 and np.ptp(self.influence[finite]) > 0.0:
            agree = float(stats.spearmanr(shares[finite], self.influence[finite]).statistic)
        return {
            "between_muscles": float(np.abs(shares - mean).sum(axis=1).mean() / 2.0),
            "over_time": float(self.deviation.mean() / self.attention.mean()),
            "attention_influence": agree,
            "most": float(mean.max()),
        }

    def _related(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """By relation, which tokens each muscle is related to, and which it is held against; bool (M, E)."""
        sides, muscles = self.anatomy.sides, np.arange(len(self.anatomy.muscles))
        beside = sides[:, None] == self.sides[None]
        across = ~beside & (sides != "")[:, None] & (self.sides != "")[None]
        own = self.muscle_of[None] == muscles[:, None]
        other = (self.muscle_of >= 0)[None] & ~own & beside
        groups = np.array(self.anatomy.groups)
        alike = (groups[:, None] == groups[self.muscle_of][None]) & other
        joints = (self.joint_of >= 0)[None] & beside
        turned = self.anatomy.turns[:, self.joint_of] & joints
        return {
            "side": (beside, across),
            "own": (own, other),
            "group": (alike, other & ~alike),
            "turns": (turned, joints & ~turned),
        }


def read(
    policy: ActorCritic, params: Any, environment: Environment, *, episodes: int = 10, every: int = 5, seed: int = 0
) -> Reading:
    """Let a policy do its task with mean actions, and average what its muscles read.

    Args:
        policy: a transformer.
        params: parameters and observation statistics.
        environment: the task.
        episodes: E.
        every: control steps between samples.
        seed: of starts and goals.

    Raises:
        UserError: not a transformer, or fewer than one episode or step.

    Example:
        >>> saved = load("arnold-nine")
        >>> seen = read(saved.policy, (saved.params, saved.statistics), Environment(task("hand_index_reach")))
        >>> seen.by_group()
    """
    for what, count in (("episodes", episodes), ("control steps between samples", every)):
        if count < 1:
            raise UserError(f"the number of {what} is {count}; at least 1 is accepted")
    inside = Introspection(policy, (environment.observation_table, environment.action_table), "attention maps")
    observations = _samples(policy, params, environment, episodes, every, seed)
    averages = _averages(inside, params, observations)
    body, side = environment.body, environment.body.embodiment.side
    entities = [tuple(sorted(entity)) for entity, _ in inside.observed]
    muscles = {tuple(sorted(muscle_words(name, side))): number for number, name in enumerate(body.muscles)}
    joints = {tuple(sorted(joint_words(name, side))): number for number, name in enumerate(body.joints)}
    total = averages["influence"].sum(axis=-1, keepdims=True)
    return Reading(
        task=environment.task.name,
        anatomy=MuscleAnatomy.of(body),
        observed=inside.observed_names,
        kinds=tuple(_kind(entity, quantity) for entity, quantity in inside.observed),
        sides=np.array([next((word for word in entity if word in SIDES), "") for entity in entities]),
        muscle_of=np.array([muscles.get(entity, -1) for entity in entities]),
        joint_of=np.array([joints.get(entity, -1) for entity in entities]),
        attention=averages["attention"],
        deviation=np.sqrt(np.maximum(averages["square"] - np.square(averages["attention"]), 0.0)),
        to_memory=averages["to_memory"],
        memory=averages["memory"],
        influence=np.divide(
            averages["influence"], total, out=np.full_like(averages["influence"], np.nan), where=total > 0.0
        ),
        samples=len(observations),
    )


def _samples(
    policy: ActorCritic, params: Any, environment: Environment, episodes: int, every: int, seed: int
) -> np.ndarray:
    """Observations (S, K, H) of running episodes, one of every so many control steps."""
    act = policy_agent(policy, environment)
    blocks = -(-environment.task.horizon // every)

    def step(carried: Any, _: None) -> Any:
        state, running = carried
        after = jax.vmap(environment.step)(state, act(params, state.observation, jax.random.key(0)))
        return (after, running & ~after.done), None

    def block(carried: Any, _: None) -> Any:
        seen = newest_lags(carried[0].observation, policy.lags), carried[1]
        return jax.lax.scan(step, carried, None, every)[0], seen

    def run(key: jax.Array) -> Any:
        reset_key, _ = jax.random.split(key)  # starts and goals of an evaluation with this seed
        state = jax.vmap(environment.reset)(jax.random.split(reset_key, episodes))
        return jax.lax.scan(block, (state, jnp.ones(episodes, bool)), None, blocks)[1]

    observations, running = jax.tree.map(np.asarray, jax.jit(run)(jax.random.key(seed)))
    return np.asarray(observations[running])


def _averages(inside: Introspection, params: Any, observations: np.ndarray) -> dict[str, np.ndarray]:
    """Means over samples, of what a `Reading` holds, and of squared attention; a few samples at a time."""

    @jax.jit
    def sums(observations: jax.Array, weight: jax.Array) -> dict[str, jax.Array]:
        maps = inside.attention(params, observations)
        observed = maps.observed()
        return {
            "attention": jnp.einsum("lrhme,r->lhme", observed, weight),
            "square": jnp.einsum("lrhme,r->lhme", jnp.square(observed), weight),
            "to_memory": jnp.einsum("lrhmp,r->lhmp", maps.muscles, weight),
            "memory": jnp.einsum("rpe,r->pe", maps.rollout(), weight),
            "influence": jnp.einsum("rme,r->me", inside.influence(params, observations), weight),
        }

    total: dict[str, np.ndarray] = {}
    for first in range(0, len(observations), ROWS):
        rows = observations[first : first + ROWS]
        padded = np.concatenate([rows, np.repeat(rows[-1:], ROWS - len(rows), axis=0)])
        weight = (np.arange(ROWS) < len(rows)).astype(np.float32)
        for name, value in sums(padded, weight).items():
            total[name] = total.get(name, 0.0) + np.asarray(value, np.float64)
    return {name: value / len(observations) for name, value in total.items()}


def _ratio(
    shares: np.ndarray, related: np.ndarray, unrelated: np.ndarray, strata: np.ndarray, resamples: int, seed: int
) -> dict[str, float]:
    """The mean share of related over unrelated tokens; its p when muscles' rows are exchanged within strata."""

    def ratio(rows: np.ndarray) -> float:
        return float(rows[related].mean() / max(rows[unrelated].mean(), np.finfo(float).tiny))

    found = ratio(shares)
    orders = exchanges(strata, resamples, seed)
    as_large = sum(ratio(shares[order]) >= found * (1.0 - 1e-12) for order in orders)
    return {"ratio": found, "p": (1 + as_large) / (1 + resamples)}


def _kind(entity: tuple[str, ...], quantity: tuple[str, ...]) -> str:
    """What a token is of, in a word or two."""
    named = [word for word in entity if word in KINDS] or [word for word in entity if word not in SIDES]
    return " ".join([*named, *(("target",) if "target" in entity and "target" not in named else ()), *quantity])


def _empty(shares: np.ndarray) -> bool:
    return bool(np.isnan(shares).all())
