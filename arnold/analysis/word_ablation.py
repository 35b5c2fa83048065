"""What a policy still solves when a word loses its meaning, measured in closed loop.

A word is ablated by replacing its embedding: by zero, or by what words mean on average. Every token and every muscle
that is named with it is changed, and nothing else: values, statistics and all other weights stay. All words of a task
are ablated side by side, on the same starts and goals: words are one more axis of environments, each with a table of
embeddings of its own, so that the whole table costs about what as many episodes cost.

Words can be exchanged too: a policy whose words for two fingers, or for left and right, have changed places speaks of
each body part with the words of the other. What it still solves is what the two words share.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from arnold.analysis.inactivation import Outcomes
from arnold.errors import UserError, did_you_mean
from arnold.extras import extra_module
from arnold.policy.actor_critic import ActorCritic
from arnold.policy.introspection import Introspection
from arnold.policy.transformer import VALUE_ID
from arnold.tasks import Environment
from arnold.vocab import Vocabulary, anatomy, category

if TYPE_CHECKING:
    import pandas

PURPOSE = "word ablation"
ROWS_AT_MOST = 1024
"""Environments that are stepped together."""
REPLACEMENTS = ("zero", "mean", "category")
INTACT = "(intact)"
_FINGER_NAMES = {"index": ("2", "IF"), "middle": ("3", "MF"), "ring": ("4", "RF"), "little": ("5", "LF")}


class WordAblation:
    """Episodes of a policy with other embeddings; compiled once per number of episodes.

    Args:
        policy: a transformer, also one that acts within a subspace.
        environment: the task.
        rows: environments that are stepped together, at most; as many tables of embeddings as fit run side by side.

    Raises:
        UserError: the policy is not a transformer, or cannot act in this task.
    """

    def __init__(self, policy: ActorCritic, environment: Environment, rows: int = ROWS_AT_MOST):
        tables = (environment.observation_table, environment.action_table)
        self._ids = Introspection(policy, tables).ids  # of the words
        self._bound = policy.bind([tables])  # what the policy acts with; more, where it acts within a subspace
        self.policy, self.environment, self.rows = policy, environment, rows
        self._run = jax.jit(self._episodes, static_argnames="episodes")

    @property
    def words(self) -> tuple[str, ...]:
        """The words of the task's observed tokens and muscles, in the vocabulary's order."""
        used = {int(word) for row in (*self._token_words(), *np.asarray(self._ids.action_words[0])) for word in row}
        return tuple(self.policy.vocabulary.words[word] for word in sorted(used) if word > VALUE_ID)

    def ablate(
        self,
        params: Any,
        words: Sequence[str] = (),
        *,
        by: str = "zero",
        episodes: int = 20,
        seed: int = 0,
        note: Callable[[str], None] = lambda line: None,
    ) -> pandas.DataFrame:
        """The solved fraction without each of some words.

        Args:
            params: parameters and observation statistics.
            words: of the vocabulary; all of this task where not given. One that the task does not use changes nothing.
            by: what is put in its place: ``zero``, the ``mean`` of all words, or the mean of its ``category`` (muscle,
                joint, side, ...), which takes away what the word says and leaves what all of its kind say.
            episodes: E, at least 2, the same for every word.
            seed: of starts and goals.
            note: given a line of progress.

        Returns:
            a row per word, and first of the ``(intact)`` policy: ``task``, ``word``, ``category``, ``tokens`` and
            ``muscles`` that it names, ``solved`` (solved steps over the horizon), ``solved_error`` (standard error),
            ``change`` (from the intact policy) and ``change_error`` (its standard error over the same episodes),
            ``relative`` (of the intact policy's; pandas' NA where that solves nothing), ``success`` (share of episodes
            with a solved step), ``reward``, ``steps``.

        Raises:
            UserError: an unknown word or replacement, with the nearest match; fewer than 2 episodes.
        """
        vocabulary, table = self.policy.vocabulary, self._table(params)
        words = tuple(dict.fromkeys(words)) or self.words
        ids = vocabulary.ids(words)
        for word, number in zip(words, ids, strict=True):
            if number <= VALUE_ID:
                raise UserError(f"{word!r} is reserved and names no token; {did_you_mean(word, self.words)}")
        tables = [table]
        for word, number in zip(words, ids, strict=True):
            tables.append(table.copy())
            tables[-1][number] = _replacement(table, vocabulary, word, by)
        return self._measured(params, (INTACT, *words), tables, episodes, seed, note)

    def exchange(
        self,
        params: Any,
        pairs: Mapping[str, str],
        *,
        controls: int = 8,
        episodes: int = 20,
        seed: int = 0,
        note: Callable[[str], None] = lambda line: None,
    ) -> pandas.DataFrame:
        """The solved fraction when the words of each pair change places, all pairs at once.

        Args:
            params: parameters and observation statistics.
            pairs: word of this task -> word, or finger -> finger (``{"index": "middle"}``), which stands for all words
                of both.
            controls: beside it, exchanges of the first words of the pairs with partners drawn at random within their
                categories; none where a category has no other word (left and right).
            episodes: E, at least 2.
            seed: of starts, goals, and the controls.
            note: given a line of progress.

        Returns:
            rows as `ablate` has: of the intact policy, of the exchange, of each control (``random 1``, ...).

        Raises:
            UserError: an unknown word, a word in two pairs, or fewer than 2 episodes.
        """
        asked = exchanged_words(self.policy.vocabulary, pairs)
        generator = np.random.default_rng(seed)
        drawn = [_drawn_pairs(asked, self.words, self.policy.vocabulary, generator) for _ in range(controls)]
        names = [INTACT, " ".join(f"{one}={other}" for one, other in pairs.items())]
        names += [f"random {number + 1}" for number, control in enumerate(drawn) if control]
        tables = [self._table(params)]
        for mapping in (asked, *filter(None, drawn)):
            ids = {self.policy.vocabulary.id(a): self.policy.vocabulary.id(b) for a, b in mapping.items()}
            first, second = list(ids), list(ids.values())
            tables.append(tables[0].copy())
            tables[-1][[*first, *second]] = tables[0][[*second, *first]]
        return self._measured(params, names, tables, episodes, seed, note)

    def _measured(
        self,
        params: Any,
        names: Sequence[str],
        tables: Sequence[np.ndarray],
        episodes: int,
        seed: int,
        note: Callable[[str], None],
    ) -> pandas.DataFrame:
        pd = extra_module("pandas", "analysis", PURPOSE)
        outcomes = self._outcomes(params, tables, episodes, seed, note)
        fraction = outcomes.solved_steps / outcomes.horizon
        change = fraction - fraction[:1]
        counted = [self._named_with(name) for name in names]
        whole = float(outcomes.solved[0])
        return pd.DataFrame(
            {
                "task": self.environment.task.name,
                "word": list(names),
                "category": [category(name) if name in self.policy.vocabulary else "" for name in names],
                "tokens": pd.array([tokens for tokens, _ in counted], "Int64"),
                "muscles": pd.array([muscles for _, muscles in counted], "Int64"),
                "solved": outcomes.solved,
                "solved_error": outcomes.error,
                "change": change.mean(axis=1),
                "change_error": change.std(axis=1, ddof=1) / np.sqrt(episodes),
                "relative": pd.array(outcomes.solved / whole if whole else [None] * len(names), "Float64"),
                "success": (outcomes.solved_steps > 0).mean(axis=1),
                "reward": outcomes.reward.mean(axis=1),
                "steps": outcomes.steps.mean(axis=1),
            }
        )

    def _named_with(self, word: str) -> tuple[int | None, int | None]:
        """How many observed tokens and muscles a word names; None for what is no word."""
        if word not in self.policy.vocabulary:
            return None, None
        number = self.policy.vocabulary.id(word)
        muscles = (np.asarray(self._ids.action_words[0]) == number).any(axis=-1).sum()
        return sum(int((row == number).any()) for row in self._token_words()), int(muscles)

    def _token_words(self) -> list[np.ndarray]:
        return [row for group in self._ids.groups for row in np.asarray(group.words[0])]

    def _table(self, params: Any) -> np.ndarray:
        return np.array(params[0]["embeddings"]["table"])

    def _outcomes(
        self,
        params: Any,
        tables: Sequence[np.ndarray],
        episodes: int,
        seed: int,
        note: Callable[[str], None],
    ) -> Outcomes:
        """What comes of each table (V, D), some of them at a time; the last few are filled up with the first."""
        if episodes < 2:
            raise UserError(f"the number of episodes is {episodes}; at least 2 are accepted, for a standard error")
        together = min(len(tables), max(1, self.rows // episodes))
        parts = []
        for first in range(0, len(tables), together):
            some = [*tables[first : first + together], *[tables[0]] * together][:together]
            counted = self._run(params, jax.random.key(seed), np.stack(some), episodes)
            parts.append([np.asarray(x).reshape(together, episodes) for x in counted])
            note(f"{min(first + together, len(tables))} of {len(tables)} vocabularies, {episodes} episodes each")
        solved, steps, reward = (np.concatenate(part)[: len(tables)] for part in zip(*parts, strict=True))
        return Outcomes(solved, steps, reward, self.environment.task.horizon)

    def _episodes(self, params: Any, key: jax.Array, tables: jax.Array, episodes: int) -> Any:
        parameters, statistics = params
        reset_key, _ = jax.random.split(key)  # starts and goals of an evaluation with this seed
        keys = jnp.tile(jax.random.split(reset_key, episodes), len(tables))
        rows = len(tables) * episodes

        def act(table: jax.Array, observation: jax.Array) -> jax.Array:
            changed = {**parameters, "embeddings": {**parameters["embeddings"], "table": table}}
            return self.policy.apply(changed, statistics, self._bound, observation[None]).mean[0]

        def step(carried: Any, _: None) -> Any:
            state, running, counted = carried
            seen = state.observation.reshape(len(tables), episodes, *state.observation.shape[1:])
            after = jax.vmap(self.environment.step)(state, jax.vmap(act)(tables, seen).reshape(rows, -1))
            counts = (running & after.solved, running, jnp.where(running, after.reward, 0.0))
            counted = tuple(total + count.astype(total.dtype) for total, count in zip(counted, counts, strict=True))
            return (after, running & ~after.done, counted), None

        nothing = (jnp.zeros(rows, jnp.int32), jnp.zeros(rows, jnp.int32), jnp.zeros(rows, jnp.float32))
        begun = (jax.vmap(self.environment.reset)(keys), jnp.ones(rows, bool), nothing)
        return jax.lax.scan(step, begun, None, self.environment.task.horizon)[0][2]


def exchanged_words(vocabulary: Vocabulary, pairs: Mapping[str, str]) -> dict[str, str]:
    """The pairs of words that change places, with fingers written out as the words that both have.

    Raises:
        UserError: an unknown word, or a word in two pairs.

    Example:
        >>> exchanged_words(vocabulary, {"index": "middle"})
        {'FDS2': 'FDS3', 'IFtip': 'MFtip', ...}
    """
    found: dict[str, str] = {}
    for one, other in pairs.items():
        if one in _FINGER_NAMES and other in _FINGER_NAMES and one not in vocabulary:
            found |= _words_of_fingers(vocabulary, one, other)
        else:
            vocabulary.ids((one, other))
            found[one] = other
    twice = [word for word in found if word in found.values()]
    twice += [word for word in found.values() if list(found.values()).count(word) > 1]
    if twice:
        raise UserError(f"{twice[0]!r} is in more than one of the pairs that change places; name it once")
    return found


def _words_of_fingers(vocabulary: Vocabulary, one: str, other: str) -> dict[str, str]:
    """Of two fingers, the words that differ in the finger alone; muscles that only one has stay."""
    found = {}
    for word in vocabulary.words:
        if anatomy.digit_of((word,)) == one:
            for mine, other_finger in zip(_FINGER_NAMES[one], _FINGER_NAMES[other], strict=True):
                partner = word.replace(mine, other_finger)
                if partner != word and partner in vocabulary:
                    found[word] = partner
    if not found:
        raise UserError(f"the vocabulary has no words of both {one} and {other} finger")
    return found


def _drawn_pairs(
    asked: Mapping[str, str], in_task: Sequence[str], vocabulary: Vocabulary, generator: np.random.Generator
) -> dict[str, str] | None:
    """The first words of the pairs with other partners of their categories, drawn from the task's words, or from the
    vocabulary where the task has no others; None where there are none at all.
    """
    drawn: dict[str, str] = {}
    for name in dict.fromkeys(map(category, asked)):
        first = [word for word in asked if category(word) == name]
        asked_for = {asked[word] for word in first}
        for words in (in_task, vocabulary.words):
            candidates = [word for word in words if category(word) == name and word not in first]
            if len(candidates) >= len(first) and not set(candidates) <= asked_for:
                break
        else:
            return None
        drawn |= dict(zip(first, generator.permutation(candidates)[: len(first)].tolist(), strict=True))
    return drawn


def _replacement(table: np.ndarray, vocabulary: Vocabulary, word: str, by: str) -> np.ndarray:
    """(D,): what is put in a word's place."""
    if by not in REPLACEMENTS:
        raise UserError(f"a word cannot be replaced by {by!r}; {did_you_mean(by, REPLACEMENTS)}")
    if by == "zero":
        return np.zeros(table.shape[1], table.dtype)
    every = range(VALUE_ID + 1, len(table))
    of_kind = [i for i in every if by == "mean" or category(vocabulary.words[i]) == category(word)]
    return np.asarray(table[of_kind].mean(axis=0), table.dtype)
