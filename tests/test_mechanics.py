"""The stripped model that the native back end steps: the same motion to the last bit, and nothing lost that matters."""

from __future__ import annotations

import mujoco
import numpy as np
import pytest

from arnold.embodiments import embodiment
from arnold.embodiments.mechanics import mechanics_of

SITES = {"elbow": ("wrist",), "finger": ("IFtip",), "hand": ("IFtip_r",)}

# An unnamed geom that collides by an explicit pair alone, a site that only an equality holds, a side site, a mass that
# comes from geoms; and a marker, a camera, a light and a decorative geom that nothing needs.
MJCF = """
<mujoco>
  <option timestep="0.002"/>
  <worldbody>
    <light pos="0 0 1"/> <camera name="eye" pos="0 -1 0"/>
    <site name="anchor" pos="0.1 0 0.3"/> <site name="marker" pos="1 1 1"/>
    <geom name="floor" type="plane" size="1 1 1" contype="0" conaffinity="0" pos="0 0 -0.35"/>
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
@pytest.mark.parametrize("name", list(SITES))
def test_the_bodies_that_ship_move_the_same_to_the_last_bit_with_fewer_geoms_and_sites(name: str) -> None:
    body = embodiment(name).compile(SITES[name])
    whole, stripped = body.model, body.mechanics
    assert stripped.ngeom + stripped.nsite < whole.ngeom + whole.nsite
    for one, other in zip(swing(stripped, 300), swing(whole, 300), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.native
def test_what_pairs_equalities_and_tendons_hold_on_to_stays_and_the_rest_goes() -> None:
    spec = mujoco.MjSpec.from_string(MJCF)
    whole = spec.compile()
    stripped = mechanics_of(spec, whole)
    sites = {stripped.site(i).name for i in range(stripped.nsite)}
    assert sites == {"anchor", "side", "origin", "insertion", "held"}
    assert {stripped.geom(i).name for i in range(stripped.ngeom)} == {"floor", "knob", "hand"}
    assert (stripped.ncam, stripped.nlight) == (0, 0)
    positions, _ = swing(whole, 500)
    contacts = mujoco.MjData(whole)
    contacts.qpos[:] = positions[-1]
    for one, other in zip(swing(stripped, 500), swing(whole, 500), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.native
def test_a_body_in_a_fluid_keeps_every_geom() -> None:
    spec = mujoco.MjSpec.from_string(MJCF.replace('timestep="0.002"', 'timestep="0.002" density="1000"'))
    whole = spec.compile()
    assert mechanics_of(spec, whole) is whole
