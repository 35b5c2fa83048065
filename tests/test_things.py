"""Tasks with things: fields of the model that change per episode, how scenes begin, what observations say of them."""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from arnold.embodiments import Change, Embodiment, embodiment
from arnold.embodiments.changes import apply_changes
from arnold.embodiments.physics import make_physics
from arnold.errors import UserError
from arnold.tasks import Environment, EnvState, check_task, relocate, task
from arnold.tasks import rotations as turn
from arnold.tasks.baoding import Baoding
from arnold.tasks.relocate import CANDIDATES, _clearance

pytestmark = pytest.mark.native

WITH_THINGS = ("pen_reorient", "die_reorient", "baoding_cw", "baoding_hard", "object_relocate", "walk_to_point")


@functools.cache
def environment(name: str) -> Environment:
    return Environment(task(name), threads=2)


@functools.cache
def starts(name: str, count: int = 64):
    env = environment(name)
    keys = jax.random.split(jax.random.key(0), count)
    return jax.tree.map(np.asarray, jax.jit(jax.vmap(lambda k: env.task.start(env.body, k)))(keys))


def test_an_episode_is_that_of_a_model_compiled_with_its_values() -> None:
    heavy, large, rough = 0.2, 0.019, (1.15, 0.0055, 1.1e-4)
    changes = (Change("body_mass", "ball1"), Change("geom_size", "ball1"), Change("geom_friction", "ball1"))
    body = embodiment("hand_baoding").compile(frames=("ball1",), changes=changes)
    values = jnp.array([heavy, large, large, large, *rough], jnp.float32)
    physics = make_physics(body, threads=1)
    model = body.model
    state = physics.initial(jnp.asarray(body.rest_position), jnp.zeros(model.nv), jnp.zeros(model.na), values)
    step = jax.jit(physics.step)
    spec = embodiment("hand_baoding").build()
    geom = spec.geom("ball1")
    geom.size, geom.friction, geom.mass = (large, large, large), rough, heavy
    compiled = spec.compile()
    data = mujoco.MjData(compiled)
    changed = body.stripped_model.__copy__()
    apply_changes(changed, body.stripped_spec, changes, np.asarray(values))
    for field in ("body_mass", "body_inertia", "body_subtreemass", "body_invweight0", "dof_invweight0", "body_ipos"):
        np.testing.assert_allclose(getattr(changed, field), getattr(compiled, field), rtol=2e-6, err_msg=field)
    for _ in range(20):
        state = step(state, jnp.full(39, 0.3))
        data.ctrl[:] = 0.3
        mujoco.mj_step(compiled, data, body.embodiment.frame_skip)
        np.testing.assert_allclose(state.qpos, data.qpos, rtol=0, atol=2e-4)
    ball = body.signals(state).frame("ball1")
    np.testing.assert_allclose(ball.position, state.qpos[23:26], atol=1e-6)
    assert np.linalg.norm(state.qpos[23:26] - body.rest_position[23:26]) > 0.01, "the ball never moved"


def test_rows_of_a_batch_have_models_of_their_own_and_their_order_does_not_matter() -> None:
    changes = (Change("body_mass", "ball1"),)
    body = embodiment("hand_baoding").compile(changes=changes)
    physics = make_physics(body, threads=2)
    rows = 150  # more than are kept
    masses = jnp.linspace(0.03, 0.9, rows)[:, None]
    still = (jnp.asarray(body.rest_position), jnp.zeros(body.model.nv), jnp.zeros(body.model.na))
    state = jax.vmap(lambda mass: physics.initial(*still, mass))(masses)
    step = jax.jit(
        lambda s: jax.lax.fori_loop(0, 6, lambda _, s: jax.vmap(physics.step)(s, jnp.full((rows, 39), 0.5)), s)
    )
    forwards = np.asarray(step(state).qpos)
    backwards = np.asarray(step(jax.tree.map(lambda x: x[::-1], state)).qpos)[::-1]
    np.testing.assert_array_equal(forwards, backwards)
    hand = forwards[:, :23]
    assert np.abs(hand[0] - hand[-1]).max() > 1e-3, "a heavy ball presses the hand as a light one does"
    alone = jax.tree.map(lambda x: x[-1:], state)
    again = jax.jit(
        lambda s: jax.lax.fori_loop(0, 6, lambda _, s: jax.vmap(physics.step)(s, jnp.full((1, 39), 0.5)), s)
    )
    np.testing.assert_array_equal(again(alone).qpos[0], forwards[-1])


def test_unknown_fields_bodies_geoms_frames_and_joints_are_named() -> None:
    with pytest.raises(UserError, match="unknown field 'body_masss'"):
        Change("body_masss", "ball1")
    baoding = embodiment("hand_baoding")
    with pytest.raises(UserError, match=r"has no MJCF body 'bal1'.*ball1"):
        baoding.compile(changes=(Change("body_mass", "bal1"),))
    with pytest.raises(UserError, match=r"has no geom 'bal2'.*ball2"):
        baoding.compile(changes=(Change("geom_size", "bal2"),))
    with pytest.raises(UserError, match="has no MJCF body 'ball3'"):
        baoding.compile(frames=("ball3",))
    with pytest.raises(UserError, match="has no site 'foot_touch'"):
        embodiment("legs").compile(touches=("foot_touch",))
    body = baoding.compile(frames=("ball1",))
    with pytest.raises(UserError, match="has no joint 'OBJTx'"):
        body.qpos_with(jnp.zeros(23), {"OBJTx": jnp.zeros(1)})
    physics = make_physics(body, threads=1)
    state = physics.initial(jnp.asarray(body.rest_position), jnp.zeros(body.model.nv), jnp.zeros(body.model.na))
    with pytest.raises(UserError, match="frame 'ball2' is not among the task's observed frames"):
        body.signals(state).frame("ball2")


def test_what_an_episode_cannot_change_and_starts_without_their_values_are_refused_before_any_step() -> None:
    with pytest.raises(UserError, match=r"cannot change body_mass of 'r_ulna_radius_hand'.*primitive"):
        embodiment("elbow").compile(changes=(Change("body_mass", "r_ulna_radius_hand"),))

    class Forgetful(Baoding):
        def start(self, body, key):
            return dataclasses.replace(super().start(body, key), changes=())

    forgetful = Forgetful(**{f.name: getattr(task("baoding_hard"), f.name) for f in dataclasses.fields(Baoding)})
    with pytest.raises(UserError, match=r"changes has sizes \[\].*body_mass of ball1.*sizes \[1, 1, 3, 3, 3, 3\]"):
        jax.eval_shape(Environment(forgetful, threads=1).reset, jax.random.key(0))
    (problem,) = check_task(forgetful).problems
    assert "changes has sizes []" in problem
    body = embodiment("hand_baoding").compile(changes=(Change("body_mass", "ball1"),))
    still = (jnp.asarray(body.rest_position), jnp.zeros(body.model.nv), jnp.zeros(body.model.na))
    np.testing.assert_allclose(make_physics(body, threads=1).initial(*still).changes, [0.043])


def test_things_joints_are_not_the_bodys() -> None:
    for name, count in (("hand_pen", 23), ("hand_die", 23), ("hand_baoding", 23), ("arm_object", 38), ("legs", 28)):
        joints = embodiment(name).compile().joints
        assert len(joints) == count
        assert not any(joint.startswith("OBJ") for joint in joints)


def test_relocation_starts_without_a_contact() -> None:
    env = environment("object_relocate")
    body, begun = env.body, starts("object_relocate")
    model = body.stripped_model.__copy__()
    data = mujoco.MjData(model)
    for row in range(len(begun.joint_position)):
        values = np.concatenate([np.ravel(value[row]) for value in begun.changes])
        apply_changes(model, body.stripped_spec, body.changes, values)
        placed = {joint: jnp.asarray(value[row]) for joint, value in begun.placed.items()}
        data.qpos[:] = body.qpos_with(jnp.asarray(begun.joint_position[row]), placed)
        mujoco.mj_forward(model, data)
        assert data.ncon == 0


def test_a_draw_in_which_object_and_bin_may_touch_is_left_for_the_next() -> None:
    env = environment("object_relocate")
    body = env.body
    draw = jax.jit(lambda k: env.task._scene(body, k))
    offset = jnp.array([-0.2, 0.0, -0.02])
    rows = [dict(zip(body.changes, draw(key), strict=True)) for key in jax.random.split(jax.random.key(3), 40)]
    far = [float(_clearance(scene, offset)) for scene in rows]
    assert min(far) > 0.0 or sum(value <= 0.0 for value in far) < 8
    touching = {**rows[0], Change("body_pos", "target"): rows[0][Change("body_pos", "Object")] + offset}
    assert float(_clearance(touching, offset)) < 0.0


def test_relocation_begins_with_the_first_draw_that_is_clear(monkeypatch) -> None:
    env = environment("object_relocate")
    body, mass = env.body, Change("body_mass", "Object")
    # Draws touch but for those with a heavy object, so that most first ones do.
    monkeypatch.setattr(relocate, "_clearance", lambda scene, offset: scene[mass][0] - 0.15)
    place = body.changes.index(mass)
    later = 0
    for key in jax.random.split(jax.random.key(5), 12):
        draws = jax.vmap(lambda k: env.task._scene(body, k))(jax.random.split(jax.random.split(key)[1], CANDIDATES))
        heavy = np.flatnonzero(np.asarray(draws[place])[:, 0] > 0.15)
        chosen = env.task.start(body, key).changes
        first = int(heavy[0]) if len(heavy) else 0
        later += first > 0
        np.testing.assert_array_equal(chosen[0], draws[0][first])
    assert later > 4


def test_noise_of_the_first_posture_is_drawn_anew() -> None:
    begun = starts("object_relocate")
    frame = environment("object_relocate").body
    noise = begun.joint_position - frame.model.key_qpos[1][frame.joint_qpos][None]
    assert np.abs(noise).max() <= 0.01 + 1e-6
    np.testing.assert_allclose(noise.std(axis=0), 0.01 / np.sqrt(3.0), rtol=0.35)


def test_balls_of_an_episode_are_alike_and_the_model_s_own_where_nothing_is_drawn() -> None:
    begun = starts("baoding_hard")
    for first, second in zip(begun.changes[::2], begun.changes[1::2], strict=True):
        np.testing.assert_array_equal(first, second)
        assert first.std(axis=0).max() > 0.0
    assert starts("baoding_cw").changes == ()


def test_the_first_targets_of_baoding_are_seen_at_once_and_stay_for_one_step() -> None:
    env = environment("baoding_cw")
    begun = jax.jit(env.reset)(jax.random.key(0))
    step = jax.jit(env.step)
    after = step(begun, -jnp.ones(39))
    further = step(after, -jnp.ones(39))
    target = [i for i, t in enumerate(env.observation_table.tokens) if t.words[:3] == ("target", "ball", "id_1")][:3]
    in_palm = []
    for state in (begun, after, further):
        palm = env.body.signals(state.physics).frame("trapezium")
        seen = state.observation[target, -1]
        in_palm.append(np.asarray(turn.rotation(palm.quaternion).inv().apply(seen - palm.position)))
    first = [-0.0125 + 0.025 * np.cos(0.75 * np.pi), -0.07 + 0.028 * np.sin(0.75 * np.pi)]
    np.testing.assert_allclose(in_palm[0][:2], first, atol=1e-6)
    np.testing.assert_allclose(in_palm[1], in_palm[0], atol=1e-6)
    moved = np.linalg.norm(in_palm[2] - in_palm[1])
    assert moved == pytest.approx(2 * np.pi * 0.0265 * env.body.control_dt / 5.0, rel=0.1)


@pytest.mark.parametrize("name", WITH_THINGS)
def test_errors_are_target_minus_current_and_turn_the_thing_to_its_goal(name: str) -> None:
    env = environment(name)
    state = jax.jit(env.reset)(jax.random.key(1))
    values = dict(
        zip((t.signature for t in env.observation_table.tokens), np.asarray(state.observation[:, -1]), strict=True)
    )

    def said(*words: str) -> np.ndarray:
        return np.array([values[tuple(sorted((*words, axis)))] for axis in "xyz"])

    if name in ("pen_reorient", "die_reorient"):
        thing = name.split("_")[0]
        place = said("object", thing, "id_1", "position", "linear")
        np.testing.assert_allclose(
            said("target", thing, "id_1", "position", "error", "linear"),
            said("target", thing, "id_1", "position", "linear") - place,
            atol=1e-6,
        )
        error = said("target", thing, "id_1", "position", "error", "angular")
        current = np.asarray(env.body.signals(state.physics).frame("Object").quaternion)
        turned = Rotation.from_rotvec(error) * Rotation.from_quat(np.roll(current, -1))
        wanted = Rotation.from_quat(np.roll(np.asarray(state.goal.orientation), -1))
        if thing == "pen":
            np.testing.assert_allclose(turned.apply([0, 0, 1]), wanted.apply([0, 0, 1]), atol=1e-5)
        else:
            np.testing.assert_allclose((turned * wanted.inv()).magnitude(), 0.0, atol=1e-5)
    elif name == "walk_to_point":
        yaw = env.task.yaw
        away = np.asarray(state.goal.point) - np.array(env.task.place)
        ahead = np.array([[np.cos(yaw), np.sin(yaw), 0], [-np.sin(yaw), np.cos(yaw), 0], [0, 0, 1]])
        np.testing.assert_allclose(said("root", "position", "error", "linear"), ahead @ away, atol=1e-5)
    else:
        entity = ("ball", "id_1") if name.startswith("baoding") else ("object", "id_1")
        seen = ("object", "ball", "id_1") if name.startswith("baoding") else ("object", "id_1")
        np.testing.assert_allclose(
            said("target", *entity, "position", "error", "linear"),
            said("target", *entity, "position", "linear") - said(*seen, "position", "linear"),
            atol=1e-6,
        )


def test_a_body_that_turns_around_with_its_goal_sees_the_same() -> None:
    """Heading is not seen, and need not be: velocity, tilt and error are told in the frame of the heading."""
    env = environment("walk_to_point")
    quantities = ("root",)
    rows = [i for i, t in enumerate(env.observation_table.tokens) if t.entity == quantities]
    state = jax.jit(env.reset)(jax.random.key(1))
    physics = state.physics

    def read(yaw: float) -> np.ndarray:
        spin = turn._about(2, jnp.float32(yaw))
        root = physics.qpos[:7]
        place = spin.apply(root[:3])
        orientation = turn.quaternion(spin * turn.from_euler(jnp.array([0.1, 0.2, 0.0])) * turn.rotation(root[3:7]))
        qpos = physics.qpos.at[:7].set(jnp.concatenate([place, orientation]))
        qvel = physics.qvel.at[:3].set(spin.apply(jnp.array([0.4, -0.2, 0.1])))
        turned = env.physics.forward(
            jax.tree.map(lambda x: x, type(physics)(**{**vars(physics), "qpos": qpos, "qvel": qvel})), jnp.asarray(True)
        )
        goal = type(state.goal)(spin.apply(state.goal.point), state.goal.now, state.goal.before)
        return np.asarray(env._read(env.body.signals(turned), goal))[rows]

    np.testing.assert_allclose(read(0.0), read(2.0), atol=2e-5)
    assert np.abs(read(0.0)[:7]).min() > 1e-3  # the last is the height, which is right


ROLLING = """
<mujoco>
  <option timestep="0.004"/>
  <worldbody>
    <geom name="ramp" type="plane" size="2 2 1" euler="0 8 0"/>
    <body name="arm" pos="0 0 1">
      <joint name="hinge" type="hinge" axis="0 1 0" damping="0.1"/>
      <geom type="capsule" fromto="0 0 0 0.1 0 0" size="0.01" contype="0" conaffinity="0"/>
    </body>
    <body name="ball" pos="0 0 0.03">
      <freejoint name="free"/> <geom name="ball" type="sphere" size="0.03" mass="0.1" condim="4"/>
    </body>
  </worldbody>
  <actuator><muscle name="puller" joint="hinge" lengthrange="-1 1" force="1"/></actuator>
</mujoco>
"""


@pytest.mark.mjx
@pytest.mark.parametrize(
    ("name", "changed"),
    [("pen_reorient", 0), ("die_reorient", 2), ("baoding_cw", 0), ("object_relocate", 2), ("walk_to_point", 0)],
)
def test_mjx_takes_every_scene_and_names_the_contacts_that_it_changed(name: str, changed: int) -> None:
    physics = make_physics(embodiment(task(name).body).compile(), "mjx")
    assert len(physics.report.changes) == changed
    if changed:
        assert physics.report.changes[0].startswith("1 cylinder geoms collide as capsules: ")
        assert physics.report.changes[1].startswith("contacts of 5 ellipsoid geoms switched off: ")


@pytest.mark.slow
@pytest.mark.mjx
def test_on_mjx_an_episode_has_the_nearest_variant_and_moves_as_natively(tmp_path) -> None:
    path = tmp_path / "rolling.xml"
    path.write_text(ROLLING)
    rolling = Embodiment.from_mjcf(path, frame_skip=5)
    changes = (Change("geom_size", "ball"), Change("body_mass", "ball"), Change("geom_friction", "ball"))
    body = rolling.compile(frames=("ball",), changes=(*changes, Change("geom_type", "ball")))
    radii = np.array([[0.02], [0.03], [0.045]])
    fixed = np.tile([[1.0, 0.005, 1e-4, 2.0]], (3, 1))
    variants = np.concatenate([np.tile(radii, 3), radii * 4.0, fixed], axis=1).astype(np.float32)
    with pytest.raises(UserError, match=r"variants of shape None.*change 8 numbers"):
        make_physics(body, "mjx")
    there, here = make_physics(body, "mjx", variants=variants), make_physics(body, threads=1)
    assert any("nearest of 3 variants" in line for line in there.report.changes)
    assert any("shapes of geoms ball" in line for line in there.report.changes)
    drawn = jnp.asarray(np.concatenate([variants, variants + 0.003]))
    still = (jnp.asarray(body.rest_position), jnp.zeros(body.model.nv), jnp.zeros(body.model.na))
    begun = jax.vmap(lambda values: there.initial(*still, values))(drawn)
    np.testing.assert_allclose(begun.changes, np.concatenate([variants, variants]))
    qpos = begun.qpos.at[:, 3].set(begun.changes[:, 0])  # each ball rests on the ramp

    def rolled(physics):
        state = jax.vmap(lambda values: physics.initial(*still, values))(begun.changes)
        state = dataclasses.replace(state, qpos=qpos)
        return jax.lax.fori_loop(
            0, 10, lambda _, s: jax.vmap(lambda one: physics.step(one, jnp.full(1, 0.2)))(s), state
        )

    ours, theirs = jax.jit(lambda: rolled(here))(), jax.jit(lambda: rolled(there))()
    np.testing.assert_allclose(ours.qpos, theirs.qpos, atol=2e-4)
    np.testing.assert_allclose(ours.sensordata, theirs.sensordata, atol=5e-3)
    spin = np.linalg.norm(np.asarray(ours.qvel)[:3, 4:], axis=1)
    np.testing.assert_allclose(spin * radii[:, 0], (spin * radii[:, 0])[0], rtol=0.05)  # small balls spin faster
    assert spin[0] > 1.0


@pytest.mark.parametrize("name", ["pen_reorient", "die_reorient", "object_relocate", "walk_to_point"])
def test_arnolds_own_terms_are_the_published_formulas(name: str) -> None:
    """Those that MyoSuite has not, from MuJoCo's own fields of the states before and after a step (spec 1.4)."""
    env = environment(name)
    step = jax.jit(env.step)
    state = jax.jit(env.reset)(jax.random.key(4))
    for _ in range(3):
        before, state = state, step(state, jnp.full(len(env.action_table), -0.3))
    terms = {term: float(value) for term, value in state.terms.items()}

    def seen(at: EnvState) -> mujoco.MjData:
        model = env.body.stripped_model.__copy__()
        if env.body.changes:
            apply_changes(model, env.body.stripped_spec, env.body.changes, np.asarray(at.physics.changes))
        data = mujoco.MjData(model)
        data.qpos[:] = at.physics.qpos
        mujoco.mj_forward(model, data)
        return data

    earlier, now = seen(before), seen(state)
    if name == "walk_to_point":
        goal = np.asarray(state.goal.point)[:2]
        distances = [np.linalg.norm(goal - data.body("root").xpos[:2]) for data in (earlier, now)]
        effort = np.asarray(state.physics.excitation)
        tilt = np.arccos(now.body("root").xmat[8])
        expected = {
            "progress": distances[0] - distances[1],
            "energy": np.exp(-0.05 * (effort.sum() + np.linalg.norm(effort))),
            "upright": np.exp(-3.0 * tilt**2),
        }
    elif name == "object_relocate":
        thing, goal = now.body("Object").xpos, now.body("target").xpos
        tips = [np.linalg.norm(now.site(tip).xpos - thing) for tip in relocate.TIPS]
        expected = {
            "goal_near": np.exp(-5.0 * np.linalg.norm(goal - thing)),
            "palm_near": np.exp(-5.0 * np.linalg.norm(now.site(relocate.PALM).xpos - thing)),
            "tip_near": np.exp(-np.sum(tips)),
        }
    else:
        place = np.asarray(state.goal.place)
        p = [np.linalg.norm(place - data.body("Object").xpos) for data in (earlier, now)]
        wanted = Rotation.from_quat(np.roll(np.asarray(state.goal.orientation), -1))
        turned = [Rotation.from_matrix(data.body("Object").xmat.reshape(3, 3)) for data in (earlier, now)]
        if name == "pen_reorient":
            c = [float(t.apply([0, 0, 1]) @ wanted.apply([0, 0, 1])) for t in turned]
            expected = {"pos_align_diff": p[0] - p[1], "rot_align_diff": c[1] - c[0], "alive": 1.0}
        else:
            r = [np.linalg.norm(wanted.as_euler("XYZ") - t.as_euler("XYZ")) for t in turned]
            expected = {"pos_dist_diff": p[0] - p[1], "rot_dist_diff": r[0] - r[1], "alive": 1.0}
    for term, value in expected.items():
        assert terms[term] == pytest.approx(value, abs=3e-5), term
    moved = [abs(value) for term, value in expected.items() if term.endswith(("diff", "progress"))]
    assert all(value > 1e-5 for value in moved)


def test_a_free_joint_without_a_name_is_placed_by_its_body() -> None:
    body = environment("baoding_cw").body
    pose = jnp.array([0.1, 0.2, 0.3, 1.0, 0.0, 0.0, 0.0])
    qpos = body.qpos_with(jnp.zeros(len(body.joints)), {"ball2": pose})
    first = int(body.model.jnt_qposadr[body.model.body("ball2").jntadr[0]])
    np.testing.assert_array_equal(qpos[first : first + 7], pose)
    with pytest.raises(UserError, match=r"no joint 'ball3'.*ball"):
        body.qpos_with(jnp.zeros(len(body.joints)), {"ball3": pose})
