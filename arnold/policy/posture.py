"""A policy that commands postures, and muscles that follow by reflex: two dozen numbers in place of a hundred.

The network says by how much each joint's *equilibrium* is to differ from the next pose of the clip. Every muscle has
then a length that it would have there, and is excited by the clip's activation and by its stretch beyond that length:

    u = clip(a' + g (l - l' - (dl/dq) s z) / l0, least, most)

with z the network's action (the I joints that are free to move), s its unit in rad, dl/dq the moment arms (means over
the clips), l' and a' the length and the activation that the clip has next, l0 the optimal fibre length, g the reflex's
gain. It is the equilibrium-point hypothesis: the brain sets the threshold lengths of stretch reflexes, not forces
(Feldman 1986, "Once more on the equilibrium-point hypothesis (lambda model) for motor control", J. Mot. Behav. 18,
17-54). z = 0 is the controller of :mod:`arnold.reflex`.

What it is good for is learning: noise of a joint moves the body where noise of single muscles cancels out, and a
network has less to find. PPO judges the postures that were drawn; the body is sent the excitations
(`PolicyOutput.executed`). Others see a policy of muscles like any other, which a transformer can be distilled from.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from arnold.embodiments.action_maps import action_map
from arnold.errors import UserError
from arnold.policy.actor_critic import PolicyOutput, TaskTables
from arnold.policy.fronted import Fronted
from arnold.policy.mlp import MlpActorCritic, MlpTokenIds
from arnold.policy.normaliser import ObservationStatistics
from arnold.vocab import TokenTable, Vocabulary

KEY = "posture"
"""Of the reflexes' arrays among the parameters."""

UNIT_RAD = 0.25
"""What an action of 1 means."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Reflexes:
    """What commanded postures become, in a bucket of one task."""

    resting: jax.Array  # (1, B, M) excitation under a command of 0, not yet clipped
    arms: jax.Array  # (M, I): how much less of it each command asks for
    least: float = dataclasses.field(metadata={"static": True})
    most: float = dataclasses.field(metadata={"static": True})
    map_name: str = dataclasses.field(metadata={"static": True})

    def __call__(self, postures: jax.Array) -> jax.Array:
        """Actions (1, B, M) of postures (1, B, I)."""
        excitation = self.resting - postures @ self.arms.T
        return action_map(self.map_name).inverse(jnp.clip(excitation, self.least, self.most))


class PostureTokenIds(NamedTuple):
    """The network's ids, and where the observation says what each muscle of the table needs to know."""

    network: MlpTokenIds
    error: jax.Array  # (M,) int32 the rows of l' - l
    target: jax.Array  # (M,) int32 the rows of a'
    order: jax.Array  # (M,) int32 each muscle's place in the reflexes' arrays

    @property
    def signature_ids(self) -> jax.Array:
        """int32 (1, K): each token's row in the observation statistics."""
        return self.network.signature_ids


class PostureActorCritic(Fronted[MlpActorCritic]):
    """A network of joints in front of reflexes of muscles (see ``ActorCritic``).

    Its parameters are the network's and ``posture``: excitation per metre of stretch ``per_metre`` (M,) and per command
    ``arms`` (M, I). They are not trained.

    Args:
        network: over the task's observation and the joints that are commanded.
        action_table: the M muscles.
        about: ``least`` and ``most`` excitation, the name of the body's ``action_map``.
    """

    key = KEY

    def __init__(self, network: MlpActorCritic, action_table: TokenTable, about: Mapping[str, Any]):
        super().__init__(network)
        self.action_table, self.about = action_table, dict(about)
        self.observation_table = network.observation_table
        self.vocabulary = Vocabulary.of([network.observation_table, action_table])

    def init(self, key: jax.Array) -> dict[str, Any]:
        """Fresh parameters of the network, in front of reflexes of no gain; `arnold.reflex.posture_policy` has them."""
        muscles, joints = len(self.action_table), len(self.network.action_table)
        nothing = {"per_metre": jnp.zeros(muscles), "arms": jnp.zeros((muscles, joints))}
        return {**self.network.init(key), KEY: nothing}

    def bind(self, tasks: Sequence[TaskTables]) -> PostureTokenIds:
        """The token ids of the one task.

        Raises:
            UserError: more than one task, or other tokens or muscles than the policy's.
        """
        observations = [observation for observation, _ in tasks]
        network = self.network.bind([(observation, self.network.action_table) for observation in observations])
        observation, action = tasks[0]
        place_of = {signature: place for place, signature in enumerate(self.action_table.signatures)}
        if set(place_of) != set(action.signatures):
            raise UserError(
                f"the policy drives {len(place_of)} muscles by reflexes, and the task's body has other muscles "
                f"({len(action)}); use the body that the policy was trained on"
            )
        error, target = (muscle_rows(observation, action, said) for said in ("error", "target"))
        order = np.array([place_of[signature] for signature in action.signatures], np.int32)
        return PostureTokenIds(network, *(jnp.asarray(rows) for rows in (error, target, order)))

    def apply(
        self, params: Any, statistics: ObservationStatistics, ids: PostureTokenIds, values: jax.Array
    ) -> PolicyOutput:
        """Postures (1, B, I), and the reflexes that turn them into actions of the muscles."""
        output = self.network.apply(self.network_params(params), statistics, ids.network, values)
        reflexes = jax.lax.stop_gradient(params[KEY])
        now = values[..., -1]
        resting = now[..., ids.target] - now[..., ids.error] * reflexes["per_metre"][ids.order][None, None]
        range_ = float(self.about["least"]), float(self.about["most"])
        sent = Reflexes(resting, reflexes["arms"][ids.order], *range_, self.about["action_map"])
        return output._replace(sent=sent)


def muscle_rows(observation: TokenTable, action: TokenTable, said: str) -> np.ndarray:
    """The rows (M,) of an observation that say the ``error`` of each muscle's length, or its ``target`` activation.

    Raises:
        UserError: where the task does not show it.
    """
    quantity = {"error": {"position", "error"}, "target": {"activation", "target"}}[said]
    place_of = {
        token.entity: place
        for place, token in enumerate(observation)
        if "muscle" in token.entity and quantity <= set(token.quantity)
    }
    missing = [token for token in action if token.entity not in place_of]
    if missing:
        raise UserError(
            f"the task does not show the {said} of each muscle ({str(missing[0])!r} and {len(missing) - 1} more are "
            "missing); reflexes are for imitation tasks (arnold.tasks.imitate.Imitate)"
        )
    return np.array([place_of[token.entity] for token in action], np.int32)
