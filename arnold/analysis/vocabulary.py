"""What the words mean to a policy: whether their vectors lie where anatomy would put them.

Tokens are sums of words, so two muscles that share words are alike before anything is learned. Every measure is
therefore also taken of untrained networks of the same shape and the same words, and a trained network has learned what
it has more of.

The spaces that muscles are compared in are those of :class:`arnold.policy.introspection.MuscleVectors`: the sum of
their words (*token*), what their queries ask the memory with (*query*), the direction along which their action is read
(*read-out*). Similarity is the cosine after the mean over the compared muscles is taken away, which is what all of them
share: of tokens of one side, the words ``muscle``, ``activation`` and the side, so that what is left are the muscles'
names, which share no word.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from arnold.analysis.muscle_anatomy import SYNERGIST, MuscleAnatomy
from arnold.analysis.pair_tests import mantel, separation
from arnold.errors import UserError, did_you_mean
from arnold.extras import extra_module
from arnold.policy.actor_critic import ActorCritic
from arnold.policy.introspection import Introspection
from arnold.tasks import Environment
from arnold.vocab import category

if TYPE_CHECKING:
    import pandas

PURPOSE = "embedding geometry"
RESERVED_WORDS = 2
"""``<pad>`` and ``value`` open every vocabulary; they name nothing that a token speaks of."""
LEAST_PAIRS = 3
SPACES = ("token", "query", "read-out")
RELATIONS = ("mirrored", "synergists", "digit", "segment")
DISTANCES = ("moment arms", "origin", "path")


@dataclasses.dataclass(frozen=True)
class Vectors:
    """Vectors of one body's muscles.

    Attributes:
        space: one of `SPACES`.
        values: (M, D).
    """

    space: str
    values: np.ndarray

    def similarity(self, muscles: np.ndarray | None = None) -> np.ndarray:
        """(n, n): the cosines of some muscles (all by default), their mean taken away; 0 where a vector is the mean."""
        return centred_cosine(self.values if muscles is None else self.values[muscles])


def centred_cosine(vectors: np.ndarray) -> np.ndarray:
    """(n, n) cosines of vectors (n, D) after their mean is taken away."""
    away = np.asarray(vectors, np.float64)
    unit = _unit(away - away.mean(axis=0))
    return unit @ unit.T


def _unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors (n, D) at length 1; 0 stays."""
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12))


def labelled(matrix: np.ndarray, names: Sequence[str]) -> pandas.DataFrame:
    """A matrix (n, n) with the same names for rows and columns."""
    pd = extra_module("pandas", "analysis", PURPOSE)
    return pd.DataFrame(matrix, index=list(names), columns=list(names))


class MuscleWords:
    """The muscles of one task as a policy names them.

    Args:
        policy: a transformer.
        environment: the task.

    Raises:
        UserError: the policy is not a transformer, or cannot act in this task.
    """

    def __init__(self, policy: ActorCritic, environment: Environment):
        inside = Introspection(policy, (environment.observation_table, environment.action_table))
        self.policy = inside.policy
        self.anatomy = MuscleAnatomy.of(environment.body)
        self._vectors = jax.jit(inside.muscle_vectors)

    def vectors(self, params: Any) -> tuple[Vectors, ...]:
        """In every space that the network has.

        Args:
            params: the parameters alone.
        """
        made = self._vectors(params)
        found = {"token": made.token, "query": made.query, "read-out": made.read_out}
        return tuple(Vectors(space, np.asarray(found[space])) for space in SPACES if found.get(space) is not None)

    def similarity(self, params: Any, space: str = "token") -> pandas.DataFrame:
        """The matrix of one space, (M, M), with muscles as rows and columns.

        Raises:
            UserError: the network has no such space.
        """
        vectors = {v.space: v for v in self.vectors(params)}
        if space not in vectors:
            raise UserError(f"this policy has no space {space!r}; {did_you_mean(space, vectors)}")
        return labelled(vectors[space].similarity(), self.anatomy.muscles)


class Geometry:
    """Whether muscles that anatomy relates are near each other in a policy's spaces.

    Relations, each of pairs that ought to be near against pairs that ought to be far: ``mirrored`` (a muscle and that
    of the other side, against other pairs across the sides); within a side, ``synergists`` (moment arms with a cosine
    of at least 0.5, against antagonists, at most -0.5), ``digit`` and ``segment`` (the same, against another).
    Distances, over all pairs of a side by the Mantel test (Spearman): of ``moment arms`` (1 - cosine), between muscles'
    ``origin`` points, and between the centres of their ``path``.

    Args:
        policy: a transformer.
        environments: of each body the first is taken.
        untrained: networks of the same shape and words with fresh parameters, as the control.
        seed: of fresh parameters.
        note: given a line of progress.

    Raises:
        UserError: no environment, fewer than one untrained network, or not a transformer.

    Example:
        >>> saved = load("bodies-small")
        >>> Geometry(saved.policy, [Environment(task("imitate_walking"))])(saved.params)
    """

    def __init__(
        self,
        policy: ActorCritic,
        environments: Iterable[Environment],
        untrained: int = 199,
        seed: int = 0,
        note: Callable[[str], None] = lambda line: None,
    ):
        if untrained < 1:
            raise UserError(f"the number of untrained networks is {untrained}; at least 1 is accepted")
        self.muscles: dict[str, MuscleWords] = {}
        for environment in environments:
            body = environment.body.embodiment.name
            if body not in self.muscles:
                self.muscles[body] = MuscleWords(policy, environment)
        if not self.muscles:
            raise UserError("no task to look at muscles in; give at least one")
        self._controls: dict[str, list[tuple[Vectors, ...]]] = {body: [] for body in self.muscles}
        for number, key in enumerate(jax.random.split(jax.random.key(seed), untrained), 1):
            fresh = policy.init(key)
            for body, muscles in self.muscles.items():
                self._controls[body].append(muscles.vectors(fresh))
            if number % 50 == 0 or number == untrained:
                note(f"{number} of {untrained} untrained networks")

    def __call__(self, params: Any, resamples: int = 999, seed: int = 0) -> pandas.DataFrame:
        """All tests.

        Args:
            params: the policy's parameters.
            resamples: exchanges of muscles' names for the p.
            seed: of them.

        Returns:
            a row per body, side, space and test: ``pairs`` and ``against`` (how many), ``near`` and ``far`` (mean
            similarity), ``effect`` (near - far; of distances, Spearman's correlation), ``superiority`` (probability
            that a near pair is the more alike), ``p`` (one-sided, names of muscles exchanged), ``untrained`` and
            ``untrained_sd`` (the effect there), ``p_untrained`` (one-sided, of an untrained network with as large an
            effect), ``q`` (the larger of the two p, its false discovery rate over the table, Benjamini and Hochberg
            1995). What cannot be tested has pandas' NA and a ``note``.

        Raises:
            UserError: fewer than one exchange.
        """
        pd = extra_module("pandas", "analysis", PURPOSE)
        if resamples < 1:
            raise UserError(f"the number of exchanges of names is {resamples}; at least 1 is accepted")
        rows = []
        for body, muscles in self.muscles.items():
            tests = _tests(muscles.anatomy)
            for number, vectors in enumerate(muscles.vectors(params)):
                same = [one[number] for one in self._controls[body]]
                of_space = {"body": body, "space": vectors.space}
                rows += [{**of_space, **test.row(vectors, same, resamples, seed)} for test in tests]
        columns = ["body", "side", "space", "test", "pairs", "against", "near", "far", "effect", "superiority", "p"]
        columns += ["untrained", "untrained_sd", "p_untrained", "q", "note"]
        table = pd.DataFrame(rows).reindex(columns=columns)
        counts = dict.fromkeys(("pairs", "against"), "Int64")
        table = table.astype(counts | dict.fromkeys(columns[6:-1], "Float64"))
        table["q"] = _discovery_rate(table[["p", "p_untrained"]].max(axis=1))
        return table


def word_similarity(policy: ActorCritic, params: Any) -> pandas.DataFrame:
    """Cosines of the words' embeddings, (V, V), with words as rows and columns; nothing is taken away.

    Raises:
        UserError: the policy is not a transformer.
    """
    words, vectors = _words(policy, params)
    unit = _unit(vectors)
    return labelled(unit @ unit.T, words)


def word_map(policy: ActorCritic, params: Any) -> pandas.DataFrame:
    """The words in a plane: the first two principal components of their embeddings at unit length.

    That is also the classical multidimensional scaling of the chords between them, whose square is 2 (1 - cosine).

    Returns:
        a row per word: ``word``, ``category``, ``x``, ``y``, and ``length``, the norm of its embedding; the attribute
        ``explained`` holds the shares of the variance that the two axes explain.

    Raises:
        UserError: the policy is not a transformer.
    """
    pd = extra_module("pandas", "analysis", PURPOSE)
    decomposition: Any = extra_module("sklearn.decomposition", "analysis", PURPOSE)
    words, vectors = _words(policy, params)
    length = np.linalg.norm(vectors, axis=1)
    found = decomposition.PCA(2, svd_solver="full")
    plane = found.fit_transform(_unit(vectors))
    table = pd.DataFrame({"word": words, "category": [category(word) for word in words]})
    table = table.assign(x=plane[:, 0], y=plane[:, 1], length=length)
    table.attrs["explained"] = [float(share) for share in found.explained_variance_ratio_]
    return table


@dataclasses.dataclass(frozen=True, eq=False)
class _Test:
    """One question about some muscles of one body.

    Attributes:
        name: of `RELATIONS` or `DISTANCES`.
        side: whose muscles.
        muscles: int (n,), which.
        counts: ``pairs``, and ``against``.
        measure: (similarity (n, n), exchanges, seed) -> ``effect``, ``p``, ...
        note: why it cannot be asked, or "".
    """

    name: str
    side: str
    muscles: np.ndarray
    counts: dict[str, int]
    measure: Callable[[np.ndarray, int, int], dict[str, float]]
    note: str

    def row(self, vectors: Vectors, controls: Sequence[Vectors], resamples: int, seed: int) -> dict[str, Any]:
        """What comes of it."""
        row: dict[str, Any] = {"side": self.side, "test": self.name, **self.counts, "note": self.note}
        if self.note:
            return row
        row |= self.measure(vectors.similarity(self.muscles), resamples, seed)
        effects = np.array([self.measure(c.similarity(self.muscles), 0, seed)["effect"] for c in controls])
        return row | {
            "untrained": float(effects.mean()),
            "untrained_sd": float(effects.std()),
            "p_untrained": (1 + int((effects >= row["effect"]).sum())) / (1 + len(effects)),
        }


def _tests(anatomy: MuscleAnatomy) -> list[_Test]:
    """All questions about a body."""
    every, sides = np.arange(len(anatomy.muscles)), anatomy.sides
    across = (sides[:, None] != sides[None]) & (sides != "")[:, None] & (sides != "")[None]
    same = anatomy.bases[:, None] == anatomy.bases[None]
    made = [_relation("mirrored", "both", every, across & same, across & ~same, sides)] if across.any() else []
    for side in sorted(set(sides), reverse=True):
        made += _tests_of_side(anatomy, side or "midline", np.flatnonzero(sides == side))
    return made


def _tests_of_side(anatomy: MuscleAnatomy, side: str, muscles: np.ndarray) -> list[_Test]:
    cosine = anatomy.moment_cosine[np.ix_(muscles, muscles)]
    made = [_relation("synergists", side, muscles, cosine >= SYNERGIST, cosine <= -SYNERGIST)]
    for name, labels in (("digit", anatomy.digits[muscles]), ("segment", anatomy.segments[muscles])):
        if len(set(labels) - {""}) > 1:
            known = (labels != "")[:, None] & (labels != "")[None]
            same = labels[:, None] == labels[None]
            made.append(_relation(name, side, muscles, known & same, known & ~same))
    made.append(_distance("moment arms", side, muscles, 1.0 - cosine))
    for name, points in (("origin", anatomy.origin[muscles]), ("path", anatomy.centre[muscles])):
        made.append(_distance(name, side, muscles, np.linalg.norm(points[:, None] - points[None], axis=-1)))
    return made


def _relation(
    name: str, side: str, muscles: np.ndarray, near: np.ndarray, far: np.ndarray, strata: np.ndarray | None = None
) -> _Test:
    """Pairs (n, n) that ought to be near against pairs that ought to be far; see `separation`."""

    def measure(similarity: np.ndarray, resamples: int, seed: int) -> dict[str, float]:
        found = separation(similarity, near, far, resamples, seed, strata)
        return {**dataclasses.asdict(found), "effect": found.difference}

    upper = np.triu(np.ones(near.shape, bool), 1)
    counts = {"pairs": int((near & upper).sum()), "against": int((far & upper).sum())}
    few = min(counts.values()) < LEAST_PAIRS
    note = f"fewer than {LEAST_PAIRS} pairs on one side of the comparison" if few else ""
    return _Test(name, side, muscles, counts, measure, note)


def _distance(name: str, side: str, muscles: np.ndarray, distance: np.ndarray) -> _Test:
    """Anatomical distances (n, n); see `mantel`."""

    def measure(similarity: np.ndarray, resamples: int, seed: int) -> dict[str, float]:
        return dict(zip(("effect", "p"), mantel(1.0 - similarity, distance, resamples, seed), strict=True))

    return _Test(name, side, muscles, {"pairs": math.comb(len(distance), 2)}, measure, _why_not(distance))


def _why_not(distance: np.ndarray) -> str:
    """Why distances cannot be correlated with anything, or ""."""
    if len(distance) < LEAST_PAIRS:
        return f"fewer than {LEAST_PAIRS} muscles"
    if not np.isfinite(distance).all():
        return "some muscles have no path in space"
    return "" if np.ptp(distance[np.triu_indices(len(distance), 1)]) > 1e-9 else "all distances are equal"


def _discovery_rate(p: pandas.Series) -> pandas.Series:
    """Benjamini and Hochberg's adjusted p over the tests that were made."""
    stats: Any = extra_module("scipy.stats", "analysis", PURPOSE)
    made = p.notna()
    adjusted = p.copy()
    if made.any():
        adjusted[made] = stats.false_discovery_control(p[made].to_numpy(dtype=float))
    return adjusted


def _words(policy: ActorCritic, params: Any) -> tuple[tuple[str, ...], np.ndarray]:
    """The words that tokens are made of, and their embeddings (V, D)."""
    if "embeddings" not in params:
        raise UserError(
            f"word embeddings are of transformers, and this policy is of kind {type(policy).__name__}; give one that "
            "was distilled, such as arnold-small"
        )
    table = np.asarray(params["embeddings"]["table"], np.float64)
    return policy.vocabulary.words[RESERVED_WORDS:], table[RESERVED_WORDS:]
