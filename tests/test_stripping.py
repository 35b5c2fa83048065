"""The stripped model that the native back end steps: the same motion to the last bit, and nothing lost that matters."""

from __future__ import annotations

from pathlib import Path

import mujoco
import numpy as np
import pytest

from arnold.embodiments import Embodiment, embodiment, list_embodiments
from arnold.embodiments.stripping import stripped

SITES = {"elbow": ("wrist",), "finger": ("IFtip",), "hand": ("IFtip_r",)}
LIGHTER = 1_500_000  # bytes of any stripped model but the elbow's, which wraps around meshes

# Geoms that collide by an explicit pair alone, a site that only an equality holds, a side site, a mass that
# comes from geoms; and a marker, a camera, a light and a decorative geom that nothing needs.
MJCF = """
<mujoco>
  <option timestep="0.002"/>
  <worldbody>
    <light pos="0 0 1"/> <camera name="eye" pos="0 -1 0"/>
    <site name="anchor" pos="0.1 0 0.3"/> <site name="marker" pos="1 1 1"/>
    <geom name="floor" type="plane" size="1 1 1" contype="0" conaffinity="0" pos="0 0 0.16"/>
    <body name="upper" pos="0 0 0.2">
      <joint name="shoulder" type="hinge" axis="0 1 0" damping="0.1"/>
      <geom type="capsule" fromto="0 0 0 0.3 0 0" size="0.02" contype="0" conaffinity="0"/>
      <geom name="knob" type="sphere" size="0.03" pos="0.15 0 0" contype="0" conaffinity="0" mass="0"/>
      <site name="side" pos="0.15 0 0.05"/> <site name="origin" pos="0.02 0 0.03"/>
      <body name="lower" pos="0.3 0 0">
        <joint name="elbow" type="hinge" axis="0 1 0" damping="0.1"/>
        <geom name="hand" type="sphere" size="0.05" pos="0.25 0 0" contype="0" conaffinity="0" mass="0.5"/>
        <site name="insertion" pos="0.05 0 0.02"/> <site name="held" pos="0.2 0 0"/>
      </body>
    </body>
  </worldbody>
  <contact><pair geom1="floor" geom2="hand"/></contact>
  <equality><connect site1="anchor" site2="held" solref="0.5 1"/></equality>
  <tendon>
    <spatial name="tendon"><site site="origin"/><geom geom="knob" sidesite="side"/><site site="insertion"/></spatial>
  </tendon>
  <actuator><muscle name="flexor" tendon="tendon" lengthrange="0.2 0.5" force="50"/></actuator>
  <sensor><framepos name="at" objtype="site" objname="insertion"/></sensor>
</mujoco>
"""


def swing(model: mujoco.MjModel, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Positions and sensors (steps, ...) under random controls."""
    data, rng = mujoco.MjData(model), np.random.default_rng(0)
    positions, sensors = [], []
    for step in range(steps):
        if step % 10 == 0:
            data.ctrl[:] = rng.uniform(size=model.nu)
        mujoco.mj_step(model, data)
        positions.append(data.qpos.copy())
        sensors.append(data.sensordata.copy())
    return np.array(positions), np.array(sensors)


@pytest.mark.native
@pytest.mark.parametrize("name", [body.name for body in list_embodiments()])
def test_the_bodies_that_ship_move_the_same_to_the_last_bit_with_fewer_geoms_and_sites(name: str) -> None:
    body = embodiment(name).compile(SITES.get(name, ()))
    whole, smaller = body.model, body.stripped_model
    assert smaller.ngeom + smaller.nsite < whole.ngeom + whole.nsite
    assert smaller.nbuffer < LIGHTER or name == "elbow"
    for one, other in zip(swing(smaller, 300), swing(whole, 300), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.native
def test_what_pairs_equalities_and_tendons_hold_on_to_stays_and_the_rest_goes() -> None:
    spec = mujoco.MjSpec.from_string(MJCF)
    whole = spec.compile()
    smaller, _ = stripped(spec, whole)
    sites = {smaller.site(i).name for i in range(smaller.nsite)}
    assert sites == {"anchor", "side", "origin", "insertion", "held"}
    assert {smaller.geom(i).name for i in range(smaller.ngeom)} == {"floor", "knob", "hand"}
    assert (smaller.ncam, smaller.nlight) == (0, 0)
    for one, other in zip(swing(smaller, 500), swing(whole, 500), strict=True):
        np.testing.assert_array_equal(one, other)
    data = mujoco.MjData(whole)
    touched = 0
    for _ in range(500):
        mujoco.mj_step(whole, data)
        touched += data.ncon
    assert touched > 0, "the pair never touches, so this test would not see it go"


@pytest.mark.native
@pytest.mark.parametrize(
    ("written", "instead"),
    [
        ('timestep="0.002"', 'timestep="0.002" density="1000"'),
        ('<option timestep="0.002"/>', '<option timestep="0.002"><flag sleep="enable"/></option>'),
        ("<sensor>", '<sensor><rangefinder name="range" site="marker"/>'),
        ("<sensor>", '<sensor><distance name="gap" body1="upper" body2="lower" cutoff="1"/>'),
    ],
)
def test_a_model_in_which_any_geom_may_matter_is_left_as_it_is(written: str, instead: str) -> None:
    spec = mujoco.MjSpec.from_string(MJCF.replace(written, instead))
    whole = spec.compile()
    assert stripped(spec, whole)[0] is whole


@pytest.mark.native
def test_the_stepped_model_is_the_one_that_was_compiled_even_if_the_file_has_changed_since(tmp_path: Path) -> None:
    path = tmp_path / "swing.xml"
    path.write_text(MJCF)
    body = Embodiment.from_mjcf(path).compile()
    path.write_text(MJCF.replace('force="50"', 'force="90"'))
    np.testing.assert_array_equal(body.stripped_model.actuator_gainprm, body.model.actuator_gainprm)
    assert body.stripped_model.ngeom < body.model.ngeom
