"""Weak, late, noisy and tired muscles: what reaches the muscle, what is remembered, and what an evaluation says."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from probes import ONE_MUSCLE, TWO_MUSCLES, Probe, Ruling

from arnold.checkpoints import save_checkpoint
from arnold.cli import main
from arnold.embodiments import embodiment
from arnold.embodiments.action_maps import LENGTH_PD
from arnold.embodiments.physics import make_physics
from arnold.errors import UserError
from arnold.policy.mlp import MlpActorCritic, MlpConfig
from arnold.saved_policy import describe
from arnold.tasks import Environment, register_task
from arnold.tasks.perturbation import AT_REST, FATIGUE, INTACT, RECOVERY, Disturbance, Perturbation, tire

pytestmark = pytest.mark.native

PAIR = Probe(name="pair", body=TWO_MUSCLES, horizon=8)  # control step 0.1 s; excitation = (action + 1) / 2


def disturbed(perturbation: Perturbation, commands: np.ndarray, envs: int = 1) -> np.ndarray:
    """What the pair of muscles gets (T, E, M) of commands (T, M), from an episode's silent start."""
    disturbance = Disturbance(perturbation, TWO_MUSCLES.compile())
    state = jax.vmap(disturbance.begin)(jax.random.split(jax.random.key(0), envs), jnp.zeros((envs, 2)))
    every = jnp.asarray(np.tile(commands[:, None], (1, envs, 1)), jnp.float32)
    return np.asarray(jax.lax.scan(jax.vmap(disturbance), state, every)[1])


def in_episodes(perturbation: Perturbation, commands: np.ndarray, probe: Probe = PAIR) -> np.ndarray:
    """What muscles get (T, M) of commands (T, M) in an environment, episode after episode."""
    environment = Environment(probe, threads=1, perturbation=perturbation)
    state, step, got = environment.reset(jax.random.key(0)), jax.jit(environment.step), []
    for command in commands:
        state = step(state, jnp.asarray(2.0 * command - 1.0, jnp.float32))
        got.append(np.asarray(state.physics.excitation))  # at an episode's end it is the next one's, which is 0
    return np.array(got)


def ramp(steps: int) -> np.ndarray:
    return np.stack([np.linspace(0.1, 0.8, steps), np.linspace(0.9, 0.2, steps)], axis=1)


# ---- what can be said -----------------------------------------------------------------------------------------------


def test_words_become_a_perturbation_and_it_says_what_it_is() -> None:
    made = Perturbation.of({"weakness": "0.5", "muscles": "tibant_*,soleus_l", "fatigue": "0"})
    assert made == Perturbation(weakness=0.5, fatigue=0.0, muscles=("tibant_*", "soleus_l"))
    assert str(made) == "weakness 0.5, fatigue 0, muscles tibant_*,soleus_l"
    assert str(Perturbation.of({})) == "intact"


@pytest.mark.parametrize(
    ("pairs", "said"),
    [
        ({"weaknes": "0.5"}, "did you mean 'weakness'"),
        ({"weakness": "half"}, "weakness is 'half'; a number is accepted"),
        ({"weakness": "1.2"}, "weakness is 1.2; a share from 0 to 1"),
        ({"fatigue": "nan"}, "fatigue is nan"),
        ({"delay": "-0.1"}, "delay is -0.1"),
        ({"noise": "inf"}, "noise is inf"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(pairs: dict[str, str], said: str) -> None:
    with pytest.raises(UserError, match=said) as raised:
        Perturbation.of(pairs)
    assert "\n" not in str(raised.value)


def test_muscles_that_the_body_has_not_and_lengths_in_place_of_excitations_are_refused() -> None:
    with pytest.raises(UserError, match="has no muscle 'pulle'; did you mean 'puller'"):
        Environment(PAIR, threads=1, perturbation=Perturbation(noise=0.1, muscles=("pulle",)))
    by_length = dataclasses.replace(TWO_MUSCLES, action_map=LENGTH_PD).compile()
    with pytest.raises(UserError, match="driven by wanted muscle lengths"):
        Disturbance(Perturbation(delay=0.1), by_length)
    Disturbance(Perturbation(weakness=0.3), by_length)


def test_an_intact_body_gets_its_commands_and_its_state_is_not_a_number_larger() -> None:
    commands = ramp(7)
    np.testing.assert_allclose(in_episodes(INTACT, commands), commands, atol=1e-6)
    assert jax.tree.leaves(Environment(PAIR, threads=1).reset(jax.random.key(0)).disturbed) == []


# ---- weakness -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["elbow", "hand"])
def test_weak_muscles_lose_their_share_of_active_force_and_nothing_else_changes(name: str) -> None:
    body = embodiment(name).compile()
    weakness = np.linspace(0.0, 1.0, len(body.muscles))
    weak = body.weakened(weakness)
    for field in ("actuator_biasprm", "actuator_lengthrange", "body_mass", "tendon_range", "qpos0", "jnt_range"):
        np.testing.assert_array_equal(getattr(weak.model, field), getattr(body.model, field), err_msg=field)

    def forces(which, activation: float) -> np.ndarray:
        physics = make_physics(which, "native", 1)
        act = jnp.full(which.model.na, activation, jnp.float32)
        state = physics.initial(jnp.asarray(which.rest_position), jnp.zeros(which.model.nv), act)
        return np.asarray(which.signals(physics.forward(state, jnp.asarray(True))).muscle_force)

    passive, full = forces(body, 0.0), forces(body, 1.0)
    np.testing.assert_allclose(forces(weak, 0.0), passive, atol=1e-3)
    np.testing.assert_allclose(forces(weak, 1.0), passive + (1.0 - weakness) * (full - passive), rtol=1e-4, atol=1e-2)
    assert weak.embodiment == body.embodiment  # clips and policies are of the body, weak or not
    np.testing.assert_array_equal(forces(body, 1.0), full)  # the shared body is as it was


def test_only_the_named_muscle_is_weak_and_the_joint_moves_less() -> None:
    weak = Perturbation(weakness=1.0, muscles=("pusher",))
    environment = Environment(PAIR, threads=1, perturbation=weak)
    np.testing.assert_allclose(environment.body.model.actuator_gainprm[:, 2], [0.1, 0.0])

    def reached(perturbation: Perturbation) -> float:
        env = Environment(PAIR, threads=1, perturbation=perturbation)
        state = env.step(env.reset(jax.random.key(0)), jnp.array([-1.0, 1.0]))
        return abs(float(state.physics.qpos[0]))

    assert reached(weak) < 1e-6 < reached(INTACT)


# ---- delay ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("steps", [1, 3])
def test_a_late_command_is_the_one_of_so_many_steps_ago_and_the_start_is_at_rest(steps: int) -> None:
    commands = ramp(7)
    got = disturbed(Perturbation(delay=0.1 * steps), commands)[:, 0]
    np.testing.assert_allclose(got[steps:], commands[:-steps], atol=1e-6)
    np.testing.assert_allclose(got[:steps], 0.0, atol=1e-6)


def test_a_delay_between_whole_steps_is_the_mean_over_the_step_of_what_arrives() -> None:
    """0.025 s of 0.1 s: for a quarter of each control step the command before is still there."""
    commands = ramp(7)
    got = disturbed(Perturbation(delay=0.025), commands)[:, 0]
    np.testing.assert_allclose(got[1:], 0.25 * commands[:-1] + 0.75 * commands[1:], atol=1e-5)


def test_a_start_that_is_active_stays_so_until_the_first_command_arrives() -> None:
    disturbance = Disturbance(Perturbation(delay=0.2), TWO_MUSCLES.compile())
    state = disturbance.begin(jax.random.key(0), jnp.array([0.3, 0.6]))
    for command, expected in zip([0.9, 0.8, 0.7], [[0.3, 0.6], [0.3, 0.6], [0.9, 0.9]], strict=True):
        state, got = disturbance(state, jnp.full(2, command))
        np.testing.assert_allclose(got, expected, atol=1e-6)


def test_a_new_episode_gets_no_command_of_the_one_before() -> None:
    probe = dataclasses.replace(PAIR, name="short", horizon=3)
    got = in_episodes(Perturbation(delay=0.1), np.full((6, 2), 0.5), probe)[:, 0]
    np.testing.assert_allclose(got[[0, 1, 3, 4]], [0.0, 0.5, 0.0, 0.5], atol=1e-6)


# ---- noise ----------------------------------------------------------------------------------------------------------


def test_noise_grows_with_the_excitation_and_differs_between_environments_and_steps() -> None:
    commands = np.tile([0.1, 0.4], (7, 1))
    got = disturbed(Perturbation(noise=0.2), commands, envs=400)
    np.testing.assert_allclose(got.mean(axis=(0, 1)), [0.1, 0.4], rtol=0.02)
    np.testing.assert_allclose(got.std(axis=(0, 1)), [0.02, 0.08], rtol=0.06)
    for a, b in ((got[0], got[1]), (got[:, :200], got[:, 200:])):
        assert abs(np.corrcoef(a[..., 0].ravel(), b[..., 0].ravel())[0, 1]) < 0.15
    np.testing.assert_array_equal(got, disturbed(Perturbation(noise=0.2), commands, envs=400))


def test_noise_shares_no_key_with_what_an_episode_is_drawn_with() -> None:
    probe = dataclasses.replace(PAIR, name="noisy", horizon=1)
    environment = Environment(probe, threads=1, perturbation=Perturbation(noise=0.1))
    first = environment.reset(jax.random.key(0))
    second = environment.step(first, jnp.zeros(2))  # which has begun by itself
    _, episode_key = jax.random.split(first.key)
    for begun, key in ((first, first.key), (second, episode_key)):
        assert begun.disturbed.key is not None
        drawn = np.asarray(jax.random.key_data(jax.random.split(key, 100)))
        assert not (drawn == np.asarray(jax.random.key_data(begun.disturbed.key))).all(axis=1).any()


def test_noise_stays_between_silence_and_all_and_spares_other_muscles() -> None:
    got = disturbed(Perturbation(noise=3.0, muscles=("puller",)), np.full((7, 2), 0.5), envs=50)
    assert (got[..., 0].min(), got[..., 0].max()) == (0.0, 1.0)
    np.testing.assert_allclose(got[..., 1], 0.5)


# ---- fatigue --------------------------------------------------------------------------------------------------------


def test_motor_units_follow_the_equations_of_myosuite() -> None:
    """MyoSuite's own 3CC-r step as the oracle, over all of its cases."""
    oracle = pytest.importorskip("myosuite.physics.fatigue_jax").cumulative_fatigue_step
    rng = np.random.default_rng(0)
    units = rng.dirichlet([1.0, 1.0, 1.0], 300).T.astype(np.float32)
    wanted = rng.uniform(0.0, 1.0, 300).astype(np.float32)
    wanted[:60] = rng.uniform(0.0, 0.02, 60)
    rise, fall = np.full(300, 0.01, np.float32), np.full(300, 0.04, np.float32)
    for dt in (0.002, 1.0 / 30.0):
        ours = tire(jnp.asarray(units), jnp.asarray(wanted), dt, jnp.asarray(rise), jnp.asarray(fall))
        constants = {"F": FATIGUE, "R": RECOVERY, "r": AT_REST, "dt": dt, "tauact": rise, "taudeact": fall}
        np.testing.assert_allclose(ours, oracle(*units, wanted, **constants), atol=1e-6)


def test_a_muscle_that_works_tires_as_fast_as_the_constant_says_and_rests_again() -> None:
    """Held at half, motor units tire at F / 2 per second; nothing is lost on the way."""
    units, rise, fall = jnp.array([[0.5], [0.5], [0.0]]), jnp.array([0.01]), jnp.array([0.04])

    def hold(units: jax.Array, wanted: float, seconds: float) -> jax.Array:
        one = lambda units, _: (tire(units, jnp.array([wanted]), 0.02, rise, fall), None)  # noqa: E731
        return jax.lax.scan(one, units, None, length=round(seconds / 0.02))[0]

    worked = hold(units, 0.5, 30.0)
    assert float(worked[2, 0]) == pytest.approx(30.0 * FATIGUE * 0.5, rel=0.02)
    assert float(worked[0, 0]) == pytest.approx(0.5, abs=0.005)
    np.testing.assert_allclose(worked.sum(axis=0), 1.0, atol=1e-4)
    exhausted = hold(units, 1.0, 120.0)
    assert float(exhausted[0, 0]) < 0.4
    rested = hold(exhausted, 0.0, 60.0)
    gone = float(exhausted[2, 0])
    assert float(rested[2, 0]) == pytest.approx(gone * np.exp(-60.0 * AT_REST * RECOVERY), rel=0.05)


def test_tired_units_cannot_be_called_upon_and_a_new_episode_begins_as_tired_as_the_first() -> None:
    probe = dataclasses.replace(PAIR, name="tired", horizon=4)
    commands = np.tile([0.9, 0.2], (8, 1))
    got = in_episodes(Perturbation(fatigue=0.4), commands, probe)
    np.testing.assert_allclose(got[2], [0.6, 0.2], atol=0.01)
    np.testing.assert_allclose(got[4:7], got[:3], atol=1e-6)
    rested = disturbed(Perturbation(fatigue=0.0), commands)[2, 0]
    np.testing.assert_allclose(rested, [0.9, 0.2], atol=0.01)


# ---- evaluation -----------------------------------------------------------------------------------------------------


def test_evaluate_says_what_the_policy_does_with_and_without(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A step is solved while the muscle is active; the untrained policy sends about half, the tired muscle a fifth."""
    probe = Probe(name="probe_active", body=ONE_MUSCLE, rule=lambda m: Ruling(m.activation, solved=m.activation > 0.3))
    register_task(probe)
    environment = Environment(probe, threads=1)
    network = MlpActorCritic(environment.observation_table, environment.action_table, MlpConfig(hidden=()))
    policy = {"params": network.init(jax.random.key(0)), "statistics": network.init_statistics()}
    folder = save_checkpoint(tmp_path / "policy", policy=policy, config=describe(network, (probe,)))
    out = tmp_path / "out"
    words = ["evaluate", str(folder), "--tasks", probe.name, "--episodes", "4", "--threads", "1", "--out", str(out)]
    assert main([*words, "--perturb", "fatigue=0.8", "delay=0.1"]) == 0
    row = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("probe_active  1"))
    assert "100.0 ± 0.0 %" in row
    assert "0.0 ± 0.0 %" in row.replace("100.0", "")
    assert "fatigue 0.8, delay 0.1" in (out / "effect.md").read_text()
    assert '"perturbation": "fatigue 0.8, delay 0.1"' in (out / "evaluation.json").read_text()
