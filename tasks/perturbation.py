"""Muscles that are weak, tired, late or noisy, in any task: what an environment does to the commands of a policy.

A `Perturbation` is a value that an `Environment` takes. The policy does not know of it. Weakness is in the model; what
the others need to remember is part of the `EnvState` and begins anew with each episode. A command passes through delay,
noise and fatigue in this order, and is the excitation that is sent to the muscle.
"""

from __future__ import annotations

import dataclasses
import fnmatch
import math
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from arnold.embodiments import Body
from arnold.errors import UserError, did_you_mean

# The 3CC-r model of muscle fatigue (Looft, Herkert & Frey-Law 2018, doi:10.1016/j.jbiomech.2018.06.005) with the
# constants of MyoSuite and KINESIS 2.0; recovery is faster at rest (Rakshit et al. 2021, equation 7).
FATIGUE, RECOVERY, AT_REST, REST = 0.00912, 0.1 * 0.00094, 150.0, 0.01  # 1/s, 1/s, times, excitation

NOISE_STREAM = 0x6E6F6973
"""Folded into an episode's key. JAX's ``fold_in(key, i)`` is ``split(key)[i]``: a small number would give the noise a
key that starts and goals are drawn with."""


@dataclasses.dataclass(frozen=True)
class Perturbation:
    """What is wrong with the muscles; nothing by default.

    Attributes:
        weakness: share of the active force that a muscle has lost, 0 to 1; passive force stays (MyoSuite's sarcopenia
            is 0.5).
        fatigue: share of a muscle's motor units that are tired when an episode begins, 0 to 1, from where 3CC-r goes
            on; None for muscles that do not tire.
        delay: s, from the policy to the muscle. Where it is no whole number of control steps, a control step has the
            mean of what arrives during it.
        noise: standard deviation of the excitation as a share of it, drawn for each muscle and control step
            (signal-dependent noise, Harris & Wolpert 1998, doi:10.1038/29528).
        muscles: patterns of the muscles' names (`tibant_*`); all muscles where there is none.
    """

    weakness: float = 0.0
    fatigue: float | None = None
    delay: float = 0.0
    noise: float = 0.0
    muscles: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        shares = {"weakness": self.weakness, "fatigue": 0.0 if self.fatigue is None else self.fatigue}
        for name, value in shares.items():
            if not 0.0 <= value <= 1.0:
                raise UserError(f"perturbation: {name} is {value!r}; a share from 0 to 1 is accepted")
        for name, value in {"delay": self.delay, "noise": self.noise}.items():
            if not (math.isfinite(value) and value >= 0.0):
                raise UserError(f"perturbation: {name} is {value!r}; a number that is not below 0 is accepted")

    @classmethod
    def of(cls, pairs: Mapping[str, str]) -> Perturbation:
        """A perturbation from words, such as ``{"weakness": "0.5", "muscles": "tibant_*,soleus_l"}``.

        Raises:
            UserError: for an unknown name, or a value that is no number.
        """
        names = [field.name for field in dataclasses.fields(cls)]
        values: dict[str, float | tuple[str, ...]] = {}
        for name, value in pairs.items():
            if name not in names:
                raise UserError(f"unknown perturbation {name!r}; {did_you_mean(name, names)}")
            try:
                values[name] = tuple(value.split(",")) if name == "muscles" else float(value)
            except ValueError:
                raise UserError(f"perturbation: {name} is {value!r}; a number is accepted") from None
        return cls(**values)  # type: ignore[arg-type]

    def __str__(self) -> str:
        fields = [(field.name, getattr(self, field.name), field.default) for field in dataclasses.fields(self)]
        said = [
            f"{name} {','.join(value) if name == 'muscles' else f'{value:g}'}"
            for name, value, default in fields
            if value != default
        ]
        return ", ".join(said) or "intact"

    def affected(self, body: Body) -> np.ndarray:
        """Which of the M muscles it is about: bool (M,).

        Raises:
            UserError: for a pattern that no muscle has, with the nearest match.
        """
        found = np.zeros(len(body.muscles), bool)
        for pattern in self.muscles or ("*",):
            which = [fnmatch.fnmatchcase(muscle, pattern) for muscle in body.muscles]
            if not any(which):
                raise UserError(
                    f"perturbation: body {body.embodiment.name!r} has no muscle {pattern!r}; "
                    f"{did_you_mean(pattern, body.muscles)}"
                )
            found |= which
        return found


INTACT = Perturbation()


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Disturbed:
    """What a perturbation remembers of one environment; None where it needs nothing."""

    waiting: jax.Array | None = None  # (D, M) commands on their way, the oldest first
    units: jax.Array | None = None  # (3, M) shares of motor units that are active, resting, tired
    key: jax.Array | None = None  # () typed PRNG key


class Disturbance:
    """A perturbation of one body's excitations.

    Args:
        perturbation: what is wrong.
        body: the body, compiled.

    Attributes:
        body: the body with its weakness.

    Raises:
        UserError: for muscles that the body has not, and where its actions are no excitations.
    """

    def __init__(self, perturbation: Perturbation, body: Body):
        self._of, self._affected = perturbation, perturbation.affected(body)
        lasting = perturbation.delay > 0 or perturbation.noise > 0 or perturbation.fatigue is not None
        if lasting and body.embodiment.action_map.feedback is not None:
            raise UserError(
                f"perturbation {perturbation}: body {body.embodiment.name!r} is driven by wanted muscle lengths "
                f"({body.embodiment.action_map.name}); only excitations can be delayed, noisy or tired: leave weakness"
            )
        self._lag = perturbation.delay / body.control_dt  # control steps
        self._dt = body.control_dt
        constants = body.model.actuator_dynprm[body.muscle_controls]
        self._rise, self._fall = (jnp.asarray(constants[:, k], jnp.float32) for k in (0, 1))
        weakness = perturbation.weakness
        self.body = body.weakened(np.where(self._affected, weakness, 0.0)) if weakness else body

    def begin(self, key: jax.Array, activation: jax.Array) -> Disturbed:
        """An episode begins: the commands on their way are what keeps the muscles as active as they are.

        Args:
            key: of the episode.
            activation: (M,) of the muscles.
        """
        waiting, units = None, None
        if self._lag:
            waiting = jnp.tile(activation[None], (math.ceil(self._lag), 1))
        if self._of.fatigue is not None:
            tired = jnp.full_like(activation, self._of.fatigue)
            active = jnp.minimum(activation, 1.0 - tired)
            units = jnp.stack([active, 1.0 - tired - active, tired])
        return Disturbed(waiting, units, jax.random.fold_in(key, NOISE_STREAM) if self._of.noise else None)

    def __call__(self, state: Disturbed, command: jax.Array) -> tuple[Disturbed, jax.Array]:
        """What a command (M,) becomes in this control step, and what is remembered of it."""
        excitation, waiting, units, key = command, state.waiting, state.units, state.key
        if waiting is not None:
            line = jnp.concatenate([waiting, command[None]])
            late = math.ceil(self._lag) - self._lag  # share of the control step for which the second oldest is there
            excitation, waiting = (1.0 - late) * line[0] + late * line[1], line[1:]
        if key is not None:
            key, drawn = jax.random.split(key)
            spread = self._of.noise * excitation * jax.random.normal(drawn, excitation.shape)
            excitation = jnp.clip(excitation + spread, 0.0, 1.0)
        if units is not None:
            units = tire(units, excitation, self._dt, self._rise, self._fall)
            excitation = units[0]
        return Disturbed(waiting, units, key), jnp.where(self._affected, excitation, command)


def tire(units: jax.Array, wanted: jax.Array, dt: float, rise: jax.Array, fall: jax.Array) -> jax.Array:
    """A step of 3CC-r: motor units go from rest to work as they are wanted, tire while they work, and recover.

    Args:
        units: (3, M) shares that are active, resting, tired; their sum is 1.
        wanted: (M,) share that is to be active.
        dt: s.
        rise: (M,) s, time constant of MuJoCo's activation.
        fall: (M,) s, of its deactivation.
    """
    active, resting, tired = units
    bent = 0.5 + 1.5 * active  # MuJoCo: activation is slower the higher it is, deactivation faster
    up, down = -jnp.expm1(-dt / (rise * bent)), -jnp.expm1(-dt * bent / fall)
    missing = wanted - active
    recruited = jnp.where(missing > 0.0, up * jnp.minimum(missing, resting), down * missing)
    tiring = FATIGUE * active * dt
    recovering = jnp.where(wanted <= REST, AT_REST * RECOVERY, RECOVERY) * tired * dt
    recruited = jnp.clip(recruited, tiring - active, resting + recovering)  # no share below 0
    return jnp.stack([active + recruited - tiring, resting + recovering - recruited, tired + tiring - recovering])
