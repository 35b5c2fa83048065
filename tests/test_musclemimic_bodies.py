"""The MuscleMimic bodies: the counts of the published models, their mimic sites, their words, and that they move."""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from arnold.embodiments import Body, embodiment, musclemimic
from arnold.embodiments.physics import make_physics
from arnold.vocab import lexicon, quantities

pytestmark = pytest.mark.native

COUNTED = (
    "nq",
    "nv",
    "nu",
    "na",
    "njnt",
    "nbody",
    "ngeom",
    "nsite",
    "ntendon",
    "nwrap",
    "neq",
    "npair",
    "nexclude",
    "nmesh",
    "nM",
)
COUNTS = {  # musclemimic_models 1.0.6 with MuscleMimic's mimic sites
    "bimanual": (76, 76, 126, 126, 76, 77, 310, 1023, 134, 928, 22, 33, 10, 65, 1162),
    "bimanual_nofingers": (36, 36, 64, 64, 36, 77, 310, 1023, 72, 384, 22, 33, 10, 65, 342),
    "fullbody": (129, 128, 416, 416, 123, 102, 416, 2038, 424, 1872, 51, 75, 10, 103, 3352),
    "fullbody_nofingers": (89, 88, 354, 354, 83, 102, 416, 2038, 362, 1328, 51, 75, 10, 103, 1692),
}
WRAPS = {  # sites, cylinders, spheres
    "bimanual": (726, 124, 78),
    "bimanual_nofingers": (288, 34, 62),
    "fullbody": (1602, 180, 90),
    "fullbody_nofingers": (1164, 90, 74),
}
MASS = {"bimanual": 16.53, "fullbody": 84.27}  # kg
NAMES = tuple(COUNTS)


def sites_of(name: str) -> dict[str, str]:
    return musclemimic.FULLBODY_SITES if name.startswith("full") else musclemimic.BIMANUAL_SITES


@functools.cache
def body_of(name: str) -> Body:
    return embodiment(f"musclemimic_{name}").compile(tuple(sites_of(name)))


@pytest.mark.parametrize("name", NAMES)
def test_the_counts_are_those_of_the_published_model(name: str) -> None:
    model = body_of(name).model
    assert tuple(getattr(model, count) for count in COUNTED) == COUNTS[name]
    kinds = (mujoco.mjtWrap.mjWRAP_SITE, mujoco.mjtWrap.mjWRAP_CYLINDER, mujoco.mjtWrap.mjWRAP_SPHERE)
    assert tuple(int((model.wrap_type == int(kind)).sum()) for kind in kinds) == WRAPS[name]
    assert model.body_mass.sum() == pytest.approx(MASS[name.removesuffix("_nofingers")], abs=0.005)
    assert len(body_of(name).muscles) == model.nu, "every actuator is a muscle"
    joint = mujoco.mjtJoint
    free, slides = (int((model.jnt_type == int(kind)).sum()) for kind in (joint.mjJNT_FREE, joint.mjJNT_SLIDE))
    assert (free, slides) == ((1, 10) if name.startswith("full") else (0, 0))


@pytest.mark.parametrize("name", NAMES)
def test_time_solver_and_excitation_are_as_documented(name: str) -> None:
    body = body_of(name)
    option = body.model.opt
    assert (body.timestep, body.control_dt) == (0.002, pytest.approx(0.01))
    assert (option.solver, option.iterations, option.ls_iterations) == (mujoco.mjtSolver.mjSOL_NEWTON, 100, 50)
    assert (option.integrator, option.disableflags) == (mujoco.mjtIntegrator.mjINT_EULER, 0)
    np.testing.assert_array_equal(body.model.actuator_ctrlrange, np.tile([0.0, 1.0], (body.model.nu, 1)))
    times = {tuple(row) for row in body.model.actuator_dynprm[:, :2].tolist()}
    assert times == ({(0.01, 0.04), (0.015, 0.05)} if name.startswith("full") else {(0.01, 0.04)})


@pytest.mark.parametrize("name", NAMES)
def test_mimic_sites_are_boxes_at_the_origins_of_their_bones(name: str) -> None:
    model, data, sites = body_of(name).model, mujoco.MjData(body_of(name).model), sites_of(name)
    assert len(sites) == (17 if name.startswith("full") else 7)
    assert next(iter(sites)) == ("pelvis_mimic" if name.startswith("full") else "upper_body_mimic")
    mujoco.mj_forward(model, data)
    for site, bone in sites.items():
        assert model.site(site).type[0] == int(mujoco.mjtGeom.mjGEOM_BOX)
        np.testing.assert_allclose(data.site(site).xpos, data.body(bone).xpos, atol=1e-12)
        np.testing.assert_allclose(data.site(site).xmat, data.body(bone).xmat, atol=1e-12)
    left, right = (data.site(f"{side}_hand").xpos for side in ("left", "right"))
    np.testing.assert_allclose(left[2], right[2], atol=1e-3)
    assert np.abs(left - right).max() > 0.3, "hands are at the two sides"


@pytest.mark.parametrize("name", NAMES)
def test_no_two_muscles_joints_or_sites_have_the_same_words(name: str) -> None:
    body = body_of(name)
    assert len(set(body.action_table.signatures)) == len(body.muscles)
    joints = {token.words for token in body.joint_tokens(quantities.JOINT_POSITION)}
    assert len(joints) == len(body.joints)
    sites = {lexicon.site_words(site, side=None) for site in sites_of(name)}
    assert len(sites) == len(sites_of(name))
    for token in body.action_table.tokens:
        assert len({"left", "right"} & set(token.words)) == 1, "each muscle is on one side, and says which"


def test_muscles_of_the_arm_have_the_words_that_they_have_on_myoarm() -> None:
    arm = set(embodiment("arm").compile().action_table.signatures)
    assert len(arm) == 63
    for name in ("bimanual", "fullbody"):
        assert len(arm & set(body_of(name).action_table.signatures)) >= 60
    legs = set(embodiment("kinesis_legs").compile().action_table.signatures)
    assert len(legs & set(body_of("fullbody").action_table.signatures)) == 80


@pytest.mark.parametrize("name", ["bimanual", "fullbody"])
def test_without_fingers_all_else_is_as_it_was(name: str) -> None:
    whole, less = body_of(name), body_of(f"{name}_nofingers")
    gone = [muscle for muscle in whole.muscles if muscle not in less.muscles]
    assert len(gone) == 62
    assert not {"BIClong", "FCR", "PQ", "ECRL_left"} & set(gone)
    assert less.muscles == tuple(muscle for muscle in whole.muscles if muscle not in gone)
    assert len([joint for joint in whole.joints if joint not in less.joints]) == 40
    wholes, lesses = mujoco.MjData(whole.model), mujoco.MjData(less.model)
    for body, data in ((whole, wholes), (less, lesses)):
        mujoco.mj_forward(body.model, data)
    np.testing.assert_allclose(wholes.xpos, lesses.xpos, atol=1e-12)
    for muscle in less.muscles:
        assert wholes.actuator(muscle).length == pytest.approx(lesses.actuator(muscle).length, rel=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_a_hundred_steps_of_random_excitation_stay_finite(name: str) -> None:
    body = body_of(name)
    physics = make_physics(body)
    model, rows = body.model, 2

    @jax.jit
    def play(key: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        start = physics.initial(jnp.asarray(body.rest_position), jnp.zeros(model.nv), jnp.zeros(model.na))
        states = jax.tree.map(lambda x: jnp.broadcast_to(x, (rows, *x.shape)), start)

        def advance(states, key):
            reached = jax.vmap(physics.step)(states, jax.random.uniform(key, (rows, model.nu)))
            return reached, (reached.qpos, reached.sensordata, reached.act)

        return jax.lax.scan(advance, states, jax.random.split(key, 100))[1]

    qpos, sensors, act = (np.asarray(numbers) for numbers in play(jax.random.key(0)))
    for numbers in (qpos, sensors, act):
        assert np.isfinite(numbers).all()
    assert (act >= 0).all()
    assert (act <= 1).all()
    joints = qpos[..., body.joint_qpos]
    assert (joints > body.joint_range[:, 0] - 0.3).all(), "no joint is far beyond its limits"
    assert (joints < body.joint_range[:, 1] + 0.3).all()
    assert np.abs(qpos[-1] - qpos[0]).max() > 0.1
    if name.startswith("full"):
        assert (qpos[..., 2] > -0.2).all(), "it lies on the floor"


def test_release_1_0_5_turns_the_left_tibia_the_wrong_way() -> None:
    def elements(model: mujoco.MjModel) -> dict[str, np.ndarray]:
        return {
            **{f"equality {model.equality(e).name}": model.eq_data[e] for e in range(model.neq)},
            **{f"range {model.joint(j).name}": model.jnt_range[j] for j in range(model.njnt)},
            **{f"place {model.geom(g).name or g}": model.geom_pos[g] for g in range(model.ngeom)},
            **{f"size {model.geom(g).name or g}": model.geom_size[g] for g in range(model.ngeom)},
        }

    new = musclemimic.fullbody_spec().compile()
    old = musclemimic.as_released_in_1_0_5(musclemimic.fullbody_spec()).compile()
    before, after = elements(old), elements(new)
    differ = [name for name in after if not np.array_equal(before[name], after[name])]
    assert len(differ) == 11, "as many as differ between the two releases"
    for model, turned in ((old, -0.25), (new, 0.25)):
        polynomial = model.equality("knee_angle_rotation3_constraint_l").data[:5]
        assert np.polyval(polynomial[::-1], 1.0) == pytest.approx(np.sign(turned) * 0.2252, abs=5e-4)
    assert old.nu == 416
    arms = musclemimic.as_released_in_1_0_5(musclemimic.bimanual_spec()).compile()
    assert arms.geom("EDCL_torus_wrap_left").pos[0] == pytest.approx(-0.0128)


def test_a_body_can_be_driven_by_musclemimics_own_map() -> None:
    from arnold.embodiments import action_map

    direct = dataclasses.replace(embodiment("musclemimic_bimanual"), action_map=action_map("direct")).compile()
    assert direct.fingerprint != body_of("bimanual").fingerprint
