"""Rollouts in the file format that mm-evalkit reads: MuscleMimic's kit that compares policies with recorded people.

It knows two bodies, both at 100 Hz: the whole body without finger muscles (for gait), and two arms with them. Joints
and muscles are written by name, so a whole body with fingers does as well (they are left out), and two arms without
(the kit wants a column for each finger muscle and reads none of them: they are written as silent, and named in
``absent_muscles``).
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import mujoco
import numpy as np

from arnold.checkpoints.durable import reported_writes, write_bytes, write_text
from arnold.embodiments import Body
from arnold.embodiments.musclemimic import BIMANUAL, BIMANUAL_NOFINGERS, FULLBODY_NOFINGERS
from arnold.errors import UserError
from arnold.tracking import Followed, held_frames

CONTROL_DT = 0.01  # s, the only one that the kit reads
FEET = {"r_foot": "r_foot_touch", "r_toes": "r_toes_touch", "l_foot": "l_foot_touch", "l_toes": "l_toes_touch"}
"""The kit's force sensors, in its order, and the touch sites that they are."""


def check_body(body: Body) -> Body:
    """The body as which the kit reads rollouts of ``body``.

    Raises:
        UserError: where it can read none of them.
    """
    name = body.embodiment.name
    if not np.isclose(body.control_dt, CONTROL_DT):
        raise UserError(
            f"body {name!r} is controlled every {1000 * body.control_dt:.3g} ms and mm-evalkit reads rollouts of 10 ms "
            f"only; export a policy of {FULLBODY_NOFINGERS.name!r} or {BIMANUAL.name!r}"
        )
    for known, least in ((FULLBODY_NOFINGERS, FULLBODY_NOFINGERS), (BIMANUAL, BIMANUAL_NOFINGERS)):
        needed = least.compile()
        if set(needed.joints) <= set(body.joints) and set(needed.muscles) <= set(body.muscles):
            return known.compile()
    raise UserError(
        f"mm-evalkit does not know body {name!r} ({len(body.joints)} joints, {len(body.muscles)} muscles); export a "
        f"policy of {FULLBODY_NOFINGERS.name!r} (354 muscles) or {BIMANUAL.name!r} (126)"
    )


def write_rollouts(folder: Path, followed: Iterable[Followed], policy: str, motion_group: str = "") -> tuple[Path, ...]:
    """Write episodes.npz, and policies.yaml that names it to ``mm-evalkit evaluate``.

    An episode's rows are the frames before MuscleMimic's rule of failure is broken; the reference is whole. Activations
    are those of the same moment as the joints ("pre_step"). Feet and actuators' moments come from the model at that
    moment; the kit counts trajectories by their place among the task's clips.

    Args:
        folder: where to; made if missing.
        followed: the clips.
        policy: its name, for tables.
        motion_group: the kit's name of the ordered list of clips, where they are one.

    Returns:
        the two paths.

    Raises:
        UserError: for a body that the kit does not read.
    """
    ordered = sorted(followed, key=lambda each: each.place)
    body = ordered[0].body
    read = check_body(body)
    sampler = _Sampler(body, read)
    arrays: dict[str, Any] = {
        "n_episodes": len(ordered),
        "dt": CONTROL_DT,
        "joint_names": np.array(sampler.joints),
        "muscle_names": np.array(read.muscles),
        "activation_sample_phase": "pre_step",
        **({"motion_group": motion_group} if motion_group else {}),
        **sampler.about,
    }
    for number, each in enumerate(ordered):
        episode = {"traj_id": each.place, "traj_length": each.frames, "motion": each.name, **sampler(each)}
        arrays |= {f"episode_{number}_{name}": values for name, values in episode.items()}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    with reported_writes(folder):
        folder.mkdir(parents=True, exist_ok=True)
        rollouts = write_bytes(folder / "episodes.npz", buffer.getvalue())
        listed = write_text(folder / "policies.yaml", _listed(policy, rollouts))
    return rollouts, listed


class _Sampler:
    """Reads off the columns of one body's episodes that the kit has names for."""

    def __init__(self, body: Body, read: Body):
        gait = read.embodiment == FULLBODY_NOFINGERS
        self.model = body.embodiment.compile(touches=tuple(FEET.values()) if gait else ()).model
        own = {self.model.joint(j).name for j in range(self.model.njnt)}
        self.joints = [name for j in range(read.model.njnt) if (name := read.model.joint(j).name) in own]
        self._qpos = _columns(self.model, self.joints)
        self._muscles = [body.muscles.index(name) for name in read.muscles if name in body.muscles]
        self._present = np.isin(read.muscles, body.muscles)
        hinges = [name for name in self.joints if self.model.joint(name).type[0] == mujoco.mjtJoint.mjJNT_HINGE]
        self._feet, self._hinges = gait, [int(self.model.joint(name).dofadr[0]) for name in hinges]
        self._data = mujoco.MjData(self.model)
        self._acts = body.muscle_act
        self.about: dict[str, Any] = {"absent_muscles": np.array(read.muscles)[~self._present]}
        if gait:
            self.about |= {
                "kinetics_sample_phase": "post_step",  # of the state that a step has led to
                "generalized_actuator_force_joint_names": np.array(hinges),
                "generalized_actuator_force_units": np.array(["Nm"] * len(hinges)),
                "force_sensor_names": np.array(list(FEET)),
                "force_sensor_units": np.array(["N"] * len(FEET)),
                "model_mass_kg": float(self.model.body_mass.sum()),
            }

    def __call__(self, followed: Followed) -> dict[str, np.ndarray]:
        """The arrays of an episode."""
        frames = 1 + held_frames(followed)["relative"]
        done = followed.done
        activation = np.zeros((frames, len(self._present)), np.float32)
        activation[:, self._present] = done.activation[:frames, self._muscles]
        made = {
            "joint_positions": np.asarray(done.qpos[:frames, self._qpos]),
            "traj_qpos": np.asarray(followed.clip.qpos[:, self._qpos]),
            "muscle_activations": activation,
        }
        if self._feet:
            touch, forces = self._forces(followed, frames)
            made["touch_observations"] = made["force_sensor_values"] = touch
            made["generalized_actuator_forces"] = forces
            made["kinetics_reference_steps"] = np.arange(frames)
        return made

    def _forces(self, followed: Followed, frames: int) -> tuple[np.ndarray, np.ndarray]:
        """Touch (T, 4) N and the actuators' moments about hinges (T, hinges) Nm."""
        data, done = self._data, followed.done
        touch, forces = np.zeros((frames, len(FEET))), np.zeros((frames, len(self._hinges)))
        for frame in range(frames):
            data.qpos, data.qvel = done.qpos[frame], done.qvel[frame]
            data.act[self._acts] = done.activation[frame]
            mujoco.mj_forward(self.model, data)
            for k, site in enumerate(FEET.values()):
                touch[frame, k] = data.sensor(f"mjSENS_TOUCH:{site}").data[0]
            forces[frame] = data.qfrc_actuator[self._hinges]
        return touch, forces


def _columns(model: mujoco.MjModel, joints: Sequence[str]) -> list[int]:
    """Where in qpos the numbers of joints are."""
    columns: list[int] = []
    for name in joints:
        joint = model.joint(name)
        first = int(joint.qposadr[0])
        columns += range(first, first + len(joint.qpos0))
    return columns


def _listed(policy: str, rollouts: Path) -> str:
    """The kit's list of policies: JSON strings are YAML."""
    key = re.sub(r"[^a-z0-9]+", "-", policy.casefold()).strip("-") or "policy"
    entry = {"id": key, "label": policy, "trajectory_data_path": str(rollouts.absolute())}
    lines = [f"{'- ' if name == 'id' else '  '}{name}: {json.dumps(value)}" for name, value in entry.items()]
    return "policies:\n" + "\n".join(f"  {line}" for line in lines) + "\n"
