"""Bodies: tables by name, sensors against MuJoCo's own fields, action maps, and MJCF files good and bad."""

from __future__ import annotations

import os
from pathlib import Path

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from arnold.embodiments import (
    ACTION_MAPS,
    SIGMOID,
    Embodiment,
    action_map,
    embodiment,
    list_embodiments,
    register_embodiment,
)
from arnold.embodiments.embodiment import _compile
from arnold.embodiments.physics import make_physics
from arnold.embodiments.physics.state import PhysicsState
from arnold.errors import UserError
from arnold.vocab import quantities

SITES = {"elbow": ("wrist",), "finger": ("IFtip",), "hand": ("THtip_r", "IFtip_r")}

MUSCLE = ' force="300" lengthrange="0.2 0.45"'
FOREARM = """
<mujoco model="forearm">
  <compiler angle="radian"/>
  <default><joint damping="0.05" armature="0.01"/></default>
  <worldbody>
    <site name="origin" pos="0.02 0 0.25"/>
    <body name="upper" pos="0 0 0.3">
      <geom type="capsule" fromto="0 0 0 0 0 -0.3" size="0.02"/>
      <body name="lower" pos="0 0 -0.3">
        <joint name="flexion" type="hinge" axis="0 1 0" range="-2 0.5" limited="true"/>
        <geom type="capsule" fromto="0 0 0 0 0 -0.25" size="0.02"/>
        <site name="insertion" pos="0.02 0 -0.06"/>
        <site name="back" pos="-0.02 0 -0.02"/>
        <site name="wrist" pos="0 0 -0.25"/>
      </body>
    </body>
  </worldbody>
  <tendon>
    <spatial name="flexor_t"><site site="origin"/><site site="insertion"/></spatial>
    <spatial name="extensor_t"><site site="origin"/><site site="back"/></spatial>
  </tendon>
  <actuator>
    <motor name="assist" joint="flexion" ctrlrange="-1 1" ctrllimited="true"/>
    <muscle name="biceps" tendon="flexor_t" force="300" lengthrange="0.2 0.45"/>
    <muscle name="triceps" tendon="extensor_t" force="300" lengthrange="0.2 0.45"/>
  </actuator>
  <sensor><jointpos name="mine" joint="flexion"/></sensor>
</mujoco>
"""


@pytest.fixture
def forearm(tmp_path: Path) -> Path:
    path = tmp_path / "forearm.xml"
    path.write_text(FOREARM)
    return path


@pytest.mark.native
@pytest.mark.parametrize("name", ["elbow", "finger", "hand"])
def test_muscle_and_joint_tables_are_mujocos(name: str) -> None:
    body = embodiment(name).compile()
    model = body.model
    joints, muscles = {"elbow": (1, 6), "finger": (4, 5), "hand": (23, 39)}[name]
    assert len(body.joints) == joints
    assert len(body.muscles) == muscles
    for i, muscle in enumerate(body.muscles):
        actuator = model.actuator(muscle)
        assert actuator.id == body.muscle_controls[i]
        assert int(actuator.dyntype[0]) == int(mujoco.mjtDyn.mjDYN_MUSCLE)
        assert model.actuator_actadr[actuator.id] == body.muscle_act[i]
    for i, joint in enumerate(body.joints):
        assert body.joint_index(joint) == i
        assert model.joint(joint).qposadr[0] == body.joint_qpos[i]
        assert model.joint(joint).dofadr[0] == body.joint_qvel[i]
        np.testing.assert_allclose(body.joint_range[i], model.joint(joint).range, rtol=1e-6)
    assert body.control_dt == pytest.approx(0.02)
    assert len(set(body.action_table.signatures)) == muscles


@pytest.mark.native
@pytest.mark.parametrize("name", ["elbow", "finger", "hand"])
def test_signals_are_mujocos_fields_at_the_same_state(name: str) -> None:
    body = embodiment(name).compile(SITES[name])
    rng = np.random.default_rng(1)
    low, high = body.joint_range.T
    data = mujoco.MjData(body.model)
    physics = make_physics(body, threads=1)
    read = jax.jit(lambda p: body.signals(physics.forward(p, jnp.asarray(True))))
    for _ in range(5):
        state = PhysicsState(
            time=np.float32(0.0),
            qpos=rng.uniform(low, high).astype(np.float32),
            qvel=rng.normal(size=body.model.nv).astype(np.float32),
            act=rng.uniform(size=body.model.na).astype(np.float32),
            sensordata=np.zeros(body.model.nsensordata, np.float32),
            excitation=np.zeros(len(body.muscles), np.float32),
            changes=np.zeros(0, np.float32),
        )
        data.qpos[:], data.qvel[:], data.act[:] = state.qpos, state.qvel, state.act
        mujoco.mj_forward(body.model, data)
        signals = read(state)
        at = body.muscle_controls
        np.testing.assert_allclose(signals.muscle_length, data.actuator_length[at], rtol=1e-6)
        np.testing.assert_allclose(signals.muscle_velocity, data.actuator_velocity[at], rtol=1e-6, atol=1e-8)
        np.testing.assert_allclose(signals.muscle_force, data.actuator_force[at], rtol=1e-6, atol=1e-5)
        assert (signals.muscle_force <= 0).all(), "muscles only pull"
        np.testing.assert_array_equal(signals.activation, state.act)
        np.testing.assert_array_equal(signals.joint_position, state.qpos)
        np.testing.assert_array_equal(signals.joint_velocity, state.qvel)
        for site in SITES[name]:
            np.testing.assert_allclose(signals.site(site), data.site(site).xpos, rtol=1e-6, atol=1e-8)


@pytest.mark.unit
def test_the_sigmoid_gives_the_published_excitations_and_its_inverse_undoes_it() -> None:
    given = jnp.array([-1.0, 0.0, 0.5, 1.0])
    np.testing.assert_allclose(SIGMOID(given), [0.00055278, 0.07585818, 0.5, 0.92414182], rtol=1e-5)
    np.testing.assert_allclose(SIGMOID(jnp.array([-7.0, 7.0])), SIGMOID(jnp.array([-1.0, 1.0])))


@pytest.mark.unit
@pytest.mark.parametrize("name", sorted(ACTION_MAPS))
def test_every_action_map_stays_in_zero_to_one_and_is_undone_by_its_inverse(name: str) -> None:
    chosen = action_map(name)
    actions = jnp.linspace(-1.3, 1.3, 53)
    excitation = chosen(actions)
    assert (excitation >= 0).all()
    assert (excitation <= 1).all()
    assert (jnp.diff(excitation) >= 0).all()
    back = chosen.inverse(excitation)
    np.testing.assert_allclose(chosen(back), excitation, atol=1e-5)
    everything = chosen.inverse(jnp.linspace(0.0, 1.0, 21))
    assert jnp.isfinite(everything).all()
    assert (jnp.abs(everything) <= 1 + 1e-5).all()


@pytest.mark.unit
def test_unknown_names_are_answered_with_the_nearest() -> None:
    with pytest.raises(UserError, match=r"unknown body 'hnd'; did you mean 'hand'"):
        embodiment("hnd")
    with pytest.raises(UserError, match=r"unknown action map 'sigmoyd'; did you mean 'sigmoid'"):
        action_map("sigmoyd")
    with pytest.raises(UserError, match="taken by a body that ships"):
        register_embodiment(Embodiment("hand", embodiment("elbow").build))


@pytest.mark.native
def test_an_unknown_site_or_joint_is_answered_with_the_nearest() -> None:
    with pytest.raises(UserError, match=r"body 'hand' has no site 'IFtip'; did you mean 'IFtip_r'"):
        embodiment("hand").compile(sites=("IFtip",))
    body = embodiment("hand").compile()
    with pytest.raises(UserError, match=r"no joint 'mcp2_flexion'; did you mean 'mcp2_flexion_r'"):
        body.joint_index("mcp2_flexion")


@pytest.mark.native
def test_a_users_mjcf_becomes_a_body_with_tokens_and_no_further_code(forearm: Path) -> None:
    body = Embodiment.from_mjcf(forearm, side="right").compile(sites=("wrist",))
    assert body.embodiment.name == "forearm"
    assert body.muscles == ("biceps", "triceps")
    assert body.joints == ("flexion",)
    assert list(body.muscle_controls) == [1, 2], "the motor is no muscle, and is not driven"
    assert "biceps" in body.action_table.tokens[0].words
    assert "right" in body.action_table.tokens[0].words
    assert "flexion" in body.joint_tokens(quantities.JOINT_POSITION)[0].words
    physics = make_physics(body, threads=1)
    start = physics.initial(jnp.zeros(1), jnp.zeros(1), jnp.zeros(2))
    step = jax.jit(physics.step)
    state = start
    for _ in range(20):
        state = step(state, jnp.array([1.0, 0.0]))
    assert state.act[0] > 0.9
    assert state.act[1] < 0.01
    assert state.qpos[0] < -0.05, "the biceps flexes"
    assert jnp.isfinite(state.sensordata).all()


@pytest.mark.native
def test_a_registered_body_is_found_by_name(forearm: Path) -> None:
    mine = register_embodiment(Embodiment.from_mjcf(forearm, name="a_registered_forearm"))
    assert embodiment("a_registered_forearm") is mine
    assert mine in list_embodiments()


@pytest.mark.native
def test_a_relative_path_and_meshes_beside_the_file_survive_a_change_of_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corners = np.array([[0, 0, 0], [0.05, 0, 0], [0, 0.05, 0], [0, 0, 0.05]])
    faces = [(0, 2, 1), (0, 1, 3), (0, 3, 2), (1, 2, 3)]
    (tmp_path / "shapes").mkdir()
    lines = [f"v {x} {y} {z}" for x, y, z in corners] + [f"f {a + 1} {b + 1} {c + 1}" for a, b, c in faces]
    (tmp_path / "shapes" / "bone.obj").write_text("\n".join(lines))
    meshed = FOREARM.replace('<compiler angle="radian"/>', '<compiler angle="radian" meshdir="shapes"/>')
    meshed = meshed.replace("<worldbody>", '<asset><mesh name="bone" file="bone.obj"/></asset><worldbody>')
    meshed = meshed.replace('<site name="wrist"', '<geom type="mesh" mesh="bone" contype="0"/><site name="wrist"')
    (tmp_path / "meshed.xml").write_text(meshed)
    monkeypatch.chdir(tmp_path)
    made = Embodiment.from_mjcf("meshed.xml")
    monkeypatch.chdir(os.sep)
    assert made.compile(sites=("wrist",)).model.nmesh == 1


@pytest.mark.native
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "cannot read"),
        (FOREARM.encode()[:700], "cannot read"),
        (b"\x00\xff\xfe\x89PNG" * 50, "cannot read"),
        (b"{'not': 'xml'}", "cannot read"),
        (b"<mujoco><include file='bad.xml'/></mujoco>", "cannot read"),
        (b"<mujoco><worldbody><bdy/></worldbody></mujoco>", "bdy"),
        (FOREARM.replace('tendon="flexor_t"', 'tendon="nowhere"').encode(), "nowhere"),
        (FOREARM.replace('size="0.02"', 'size="-1"').encode(), "size"),
        (FOREARM.replace("muscle ", "motor ").replace(MUSCLE, "").encode(), "no muscles .*it has 3 other actuators"),
        (b"<mujoco><worldbody/></mujoco>", "has no muscles .*it has 0 other actuators"),
        (FOREARM.replace('name="triceps" ', "").encode(), "muscle 2 of 2 has no name"),
        (FOREARM.replace('<joint name="flexion" type', "<joint type").encode(), "joint 1 of 1 has no name"),
    ],
    ids=[
        "empty",
        "truncated",
        "binary",
        "json",
        "includes-itself",
        "unknown-element",
        "unknown-tendon",
        "bad-size",
        "motors",
        "bare",
        "unnamed-muscle",
        "unnamed-joint",
    ],
)
def test_a_bad_model_file_is_one_line_with_its_name(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "bad.xml"
    path.write_bytes(content)
    with pytest.raises(UserError, match=said) as caught:
        Embodiment.from_mjcf(path)
    assert "bad.xml" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.native
def test_a_missing_file_and_a_missing_mesh_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no model file at .*nowhere\.xml"):
        Embodiment.from_mjcf(tmp_path / "nowhere.xml")
    with pytest.raises(UserError, match="no model file at"):
        Embodiment.from_mjcf(tmp_path)
    path = tmp_path / "meshless.xml"
    path.write_text(FOREARM.replace("<worldbody>", '<asset><mesh name="b" file="gone.stl"/></asset><worldbody>'))
    with pytest.raises(UserError, match=r"meshless\.xml.*gone\.stl"):
        Embodiment.from_mjcf(path)


@pytest.mark.native
def test_a_fingerprint_is_of_the_mechanics_and_not_of_the_folder_or_the_sensors(tmp_path: Path) -> None:
    def fingerprint(folder: str, text: str, sites: tuple[str, ...] = (), **given) -> str:
        (tmp_path / folder).mkdir(exist_ok=True)
        path = tmp_path / folder / "forearm.xml"
        path.write_text(text)
        return Embodiment.from_mjcf(path, **given).compile(sites).fingerprint

    first = fingerprint("a", FOREARM)
    assert fingerprint("b", FOREARM) == first
    assert fingerprint("b", FOREARM, sites=("wrist",)) == first
    assert fingerprint("b", FOREARM, frame_skip=5) != first
    assert fingerprint("b", FOREARM, action_map=action_map("linear")) != first
    assert fingerprint("b", FOREARM.replace('force="300"', 'force="301"')) != first
    assert fingerprint("b", FOREARM.replace("triceps", "anconeus")) != first


@pytest.mark.native
def test_compiling_twice_gives_one_body() -> None:
    assert embodiment("finger").compile() is embodiment("finger").compile()
    assert (
        _compile.__wrapped__(embodiment("finger"), (), (), (), ()).fingerprint
        == embodiment("finger").compile().fingerprint
    )
