"""Probe environments: one joint, one muscle, and tasks so small that what must be learned is known in closed form.

An episode shows a *cue*, drawn uniformly in [-1, 1], and a *clock*, the share of the horizon that has passed. What is
rewarded and when an episode fails is a rule of the cue, the clock and the muscle's activation, which follows the
excitation within a control step.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import mujoco

from arnold.embodiments import Body, Embodiment, Signals
from arnold.embodiments.action_maps import LINEAR
from arnold.learning.config import LearnerConfig
from arnold.learning.learner import Learner
from arnold.learning.mixture import Mixture
from arnold.policy.mlp import MlpActorCritic, MlpConfig
from arnold.tasks import Environment, Task, register_task
from arnold.tasks.task import Channel, Outcome
from arnold.vocab import quantities

MJCF = """
<mujoco model="probe">
  <option timestep="0.005" gravity="0 0 0"/>
  <worldbody>
    <body name="link">
      <joint name="hinge" type="hinge" axis="0 1 0" range="-1 1" limited="true" damping="1"/>
      <geom type="sphere" size="0.1" contype="0" conaffinity="0"/>
    </body>
  </worldbody>
  <actuator>
    <muscle name="puller" joint="hinge" lengthrange="-1 1" force="0.1" timeconst="0.01 0.01"/>
    {more}
  </actuator>
</mujoco>
"""


def _one_muscle() -> mujoco.MjSpec:
    return mujoco.MjSpec.from_string(MJCF.format(more=""))


def _two_muscles() -> mujoco.MjSpec:
    second = '<muscle name="pusher" joint="hinge" gear="-1" lengthrange="-1 1" force="0.1" timeconst="0.01 0.01"/>'
    return mujoco.MjSpec.from_string(MJCF.format(more=second))


# The linear map reaches every excitation, so that the best action has a closed form.
ONE_MUSCLE = Embodiment(name="probe", build=_one_muscle, frame_skip=20, side=None, action_map=LINEAR)
TWO_MUSCLES = Embodiment(name="probe_pair", build=_two_muscles, frame_skip=20, side=None, action_map=LINEAR)


class Cue(NamedTuple):
    """What an episode is about."""

    cue: jax.Array  # () uniform in [-1, 1]
    steps: jax.Array  # () float32 control steps since the episode's start
    first: jax.Array  # () the first muscle's activation after the episode's first step


class Moment(NamedTuple):
    """What a rule may look at, after a control step."""

    cue: jax.Array
    steps: jax.Array
    first: jax.Array
    activation: jax.Array  # () of the first muscle


class Ruling(NamedTuple):
    """What a rule says."""

    reward: jax.Array | float
    failed: jax.Array | bool = False
    solved: jax.Array | bool = False


@dataclasses.dataclass(frozen=True)
class Probe(Task):
    """A task given by its rule."""

    name: str = "probe"
    body: Embodiment = ONE_MUSCLE
    weights: tuple[tuple[str, float], ...] = (("rule", 1.0),)
    horizon: int = 6
    rule: Callable[[Moment], Ruling] = lambda moment: Ruling(1.0)
    shows_muscles: bool = False

    def goal(self, body: Body, key: jax.Array) -> Cue:
        """A cue; nothing has happened yet."""
        return Cue(jax.random.uniform(key, (), minval=-1.0, maxval=1.0), jnp.float32(0.0), jnp.float32(0.0))

    def advance(self, body: Body, signals: Signals, goal: Cue) -> Cue:
        """Count the step."""
        first = jnp.where(goal.steps == 0, signals.activation[0], goal.first)
        return Cue(goal.cue, goal.steps + 1.0, first)

    def channels(self, body: Body) -> tuple[Channel, ...]:
        """The cue, the clock, and the muscles where they are shown."""
        cue = Channel(body.joint_tokens(quantities.JOINT_TARGET), lambda signals, goal: goal.cue[None])
        clock = Channel(
            body.joint_tokens(quantities.JOINT_ERROR), lambda signals, goal: goal.steps[None] / self.horizon
        )
        muscles = Channel(body.muscle_tokens(quantities.MUSCLE_ACTIVATION), lambda signals, goal: signals.activation)
        return (cue, clock, muscles) if self.shows_muscles else (cue, clock)

    def judge(self, body: Body, signals: Signals, goal: Cue) -> Outcome:
        """What the rule says."""
        ruling = self.rule(Moment(goal.cue, goal.steps, goal.first, signals.activation[0]))
        return Outcome(
            {"rule": jnp.asarray(ruling.reward, jnp.float32)}, jnp.asarray(ruling.solved), jnp.asarray(ruling.failed)
        )


def observed(cue: float, steps: int, horizon: int) -> jax.Array:
    """The observation (K=2, H=1) at a cue and a clock."""
    return jnp.array([[cue], [steps / horizon]], jnp.float32)


def network(task: Task, hidden: tuple[int, ...] = ()) -> MlpActorCritic:
    """A network for a task; without hidden layers it is linear in the normalised observation."""
    environment = Environment(task, threads=1)
    return MlpActorCritic(environment.observation_table, environment.action_table, MlpConfig(hidden=hidden))


def learner(
    task: Task,
    config: LearnerConfig,
    *,
    environments: int = 32,
    iterations: int = 60,
    hidden: tuple[int, ...] = (),
    **more,
) -> Learner:
    """A learner of one probe."""
    register_task(task)
    return Learner(network(task, hidden), Mixture.of({task.name: environments}), config, iterations, threads=1, **more)


def trained(made: Learner, seed: int = 0):
    """(state, metrics of the last iteration) after all of a learner's iterations."""
    state = made.initial_state(jax.random.key(seed))
    metrics = {}
    for _ in range(made.iterations):
        state, metrics = made.train_iteration(state)
    return state, metrics
