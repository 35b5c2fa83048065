"""What words carry over: a policy in tasks and on bodies that it was not trained on.

A task's tokens are made of words, and those that a policy knows mean to it what they meant where it learned them. Here
it acts at once, without a step of training: grown to the task, which gives fresh vectors to the words that it lacks,
and held against untrained networks of the same shape that see the same normalised values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from arnold.errors import UserError
from arnold.evaluation import Evaluator
from arnold.extras import extra_module
from arnold.policy import normaliser
from arnold.policy.generalist import TransformerActorCritic, extend_tables
from arnold.saved_policy import SavedPolicy
from arnold.tasks import Environment

if TYPE_CHECKING:
    import pandas

PURPOSE = "transfer between bodies"


def zero_shot(
    saved: SavedPolicy,
    environments: Iterable[Environment],
    *,
    episodes: int = 50,
    untrained: int = 5,
    seed: int = 0,
    note: Callable[[str], None] = lambda line: None,
) -> pandas.DataFrame:
    """What a policy does in tasks as they are, beside untrained networks.

    Args:
        saved: a transformer.
        environments: the tasks.
        episodes: per task and network, with mean actions, on the same starts and goals.
        untrained: networks with fresh parameters.
        seed: of starts, goals and fresh parameters.
        note: given a line of progress.

    Returns:
        a row per task: ``task``, ``body``, ``trained_on`` (whether it is one of the policy's own), ``words_known`` and
        ``tokens_known`` (shares of the task's words, and of its observed tokens by their words), ``solved`` and
        ``solved_ci`` (half the 95 % interval), ``reward`` (mean over episodes), the same of the ``untrained``
        networks (mean; ``untrained_best`` is the best one's solved fraction, ``untrained_reward_best`` the highest
        reward).

    Raises:
        UserError: not a transformer, or fewer than one episode or network.

    Example:
        >>> zero_shot(load("bodies-small"), [Environment(task("elbow_pose"))])
    """
    pd = extra_module("pandas", "analysis", PURPOSE)
    if not isinstance(saved.policy, TransformerActorCritic):
        raise UserError(
            f"only transformers act in tasks that they were not trained on, and this policy is of kind "
            f"{type(saved.policy).__name__}; give one that was distilled, such as arnold-small"
        )
    if untrained < 1:
        raise UserError(f"the number of untrained networks is {untrained}; at least 1 is accepted")
    rows = []
    for environment in environments:
        row = _in_task(saved, saved.policy, environment, episodes, untrained, seed)
        note(f"{row['task']}: {100 * row['words_known']:.0f} % of the words known, {100 * row['solved']:.1f} % solved")
        rows.append(row)
    return pd.DataFrame(rows)


def _in_task(
    saved: SavedPolicy,
    policy: TransformerActorCritic,
    environment: Environment,
    episodes: int,
    untrained: int,
    seed: int,
) -> dict[str, Any]:
    observed, driven = environment.observation_table, environment.action_table
    own, *keys = jax.random.split(jax.random.key(seed), untrained + 1)
    grown = policy.grown([(observed, driven)])
    params = extend_tables(saved.params, grown.init(own))
    statistics = normaliser.remap(saved.statistics, policy.signatures, grown.signatures)
    words = set(grown.vocabulary.words) if policy.config.vocabulary != "shared" else {*observed.words, *driven.words}
    evaluate = Evaluator(grown, environment.task, environment=environment)
    trained = evaluate(params, statistics, episodes, seed)
    fresh = [evaluate(grown.init(key), statistics, episodes, seed) for key in keys]
    solved, reward = (
        np.array([one.solved_step_fraction for one in fresh]),
        np.array([np.mean(one.reward) for one in fresh]),
    )
    return {
        "task": environment.task.name,
        "body": environment.body.embodiment.name,
        "trained_on": environment.task.name in saved.tasks,
        "words_known": float(np.mean([word in policy.vocabulary for word in words])),
        "tokens_known": float(np.mean([signature in policy.signatures for signature in observed.signatures])),
        "solved": trained.solved_step_fraction,
        "solved_ci": trained.confidence,
        "reward": float(np.mean(trained.reward)),
        "untrained": float(solved.mean()),
        "untrained_best": float(solved.max()),
        "untrained_reward": float(reward.mean()),
        "untrained_reward_best": float(reward.max()),
    }
