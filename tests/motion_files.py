"""Motion files of every format that are written here, with known geometry, for the tests of their readers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ezc3d
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from arnold.motion import Motion


@pytest.fixture
def write(tmp_path: Path) -> Any:
    """Writes a file of text into an empty folder."""

    def writing(name: str, text: str) -> Path:
        path = tmp_path / name
        path.write_text(text)
        return path

    return writing


def turned(motion: Motion, name: str, frame: int, vector: tuple[float, float, float]) -> np.ndarray:
    """A vector of the neutral stance, as the segment carries it at a frame."""
    return Rotation.from_quat(motion.orientations[name][frame], scalar_first=True).apply(vector)


def assert_at(motion: Motion, frame: int, **points: tuple[float, ...]) -> None:
    for name, place in points.items():
        np.testing.assert_allclose(motion.keypoints[name][frame], place, atol=1e-6, err_msg=name)


# ---- BVH

# A person 100 cm at the hips, in the axes of BVH (x left, y up, z forward); a T-pose.
PERSON = {
    "Hips": (None, (0, 0, 0)),
    "Spine": ("Hips", (0, 12, 0)),
    "Head": ("Spine", (0, 45, 0)),
    "LeftShoulder": ("Spine", (4, 35, 0)),  # the collar bone
    "LeftArm": ("LeftShoulder", (14, 0, 0)),
    "LeftForeArm": ("LeftArm", (28, 0, 0)),
    "LeftHand": ("LeftForeArm", (25, 0, 0)),
    "RightShoulder": ("Spine", (-4, 35, 0)),
    "RightArm": ("RightShoulder", (-14, 0, 0)),
    "RightForeArm": ("RightArm", (-28, 0, 0)),
    "RightHand": ("RightForeArm", (-25, 0, 0)),
    "LeftUpLeg": ("Hips", (9, -8, 0)),
    "LeftLeg": ("LeftUpLeg", (0, -43, 0)),
    "LeftFoot": ("LeftLeg", (0, -42, 0)),
    "LeftToeBase": ("LeftFoot", (0, -6, 13)),
    "RightUpLeg": ("Hips", (-9, -8, 0)),
    "RightLeg": ("RightUpLeg", (0, -43, 0)),
    "RightFoot": ("RightLeg", (0, -42, 0)),
    "RightToeBase": ("RightFoot", (0, -6, 13)),
}
# The same at rest in the world (x forward, y left, z up), in metres, the pelvis at 1 m.
REST = {
    "pelvis": (0, 0, 1.0),
    "left_hip": (0, 0.09, 0.92),
    "left_knee": (0, 0.09, 0.49),
    "left_ankle": (0, 0.09, 0.07),
    "left_toe": (0.13, 0.09, 0.01),
    "right_hip": (0, -0.09, 0.92),
    "right_knee": (0, -0.09, 0.49),
    "right_ankle": (0, -0.09, 0.07),
    "spine": (0, 0, 1.12),
    "head": (0, 0, 1.57),
    "left_shoulder": (0, 0.18, 1.47),
    "left_elbow": (0, 0.46, 1.47),
    "left_wrist": (0, 0.71, 1.47),
    "right_wrist": (0, -0.71, 1.47),
}


def bvh_text(
    frames: list[dict[str, tuple[float, ...]]],
    step: str = "0.01",
    person: dict[str, tuple[str | None, tuple[float, ...]]] | None = None,
    scale: float = 1.0,
) -> str:
    """A BVH file: rotations (z, y, x) of joints per frame in degrees; `Hips at` is the place of the root."""
    person = PERSON if person is None else person
    lines: list[str] = ["HIERARCHY"]

    def joint(name: str) -> None:
        parent, offset = person[name]
        lines.append(f"{'JOINT' if parent else 'ROOT'} {name}")
        lines.append("{ OFFSET " + " ".join(str(scale * value) for value in offset))
        lines.append(f"CHANNELS {3 if parent else '6 Xposition Yposition Zposition'} Zrotation Yrotation Xrotation")
        children = [child for child, (above, _) in person.items() if above == name]
        for child in children:
            joint(child)
        if not children:
            lines.append("End Site { OFFSET 0 0 1 }")
        lines.append("}")
        order.append(name)

    def written(name: str) -> list[str]:
        return [name, *(below for child, (above, _) in person.items() if above == name for below in written(child))]

    order: list[str] = []
    root = next(name for name, (parent, _) in person.items() if parent is None)
    joint(root)
    lines += ["MOTION", f"Frames: {len(frames)}", f"Frame Time: {step}"]
    for turns in frames:
        at = turns.get("at", (0.0, 100.0, 0.0))
        values = [*(scale * value for value in at), *(v for name in written(root) for v in turns.get(name, (0, 0, 0)))]
        lines.append(" ".join(str(value) for value in values))
    return "\n".join(lines) + "\n"


# ---- ASF and AMC

ASF = """\
:version 1.10
:units
  mass 1.0
  length 0.45
  angle deg
:root
   order TX TY TZ RX RY RZ
   axis XYZ
   position 0 0 0
   orientation 0 0 0
:bonedata
{bones}
:hierarchy
  begin
    root lhipjoint rhipjoint
    lhipjoint lfemur
    lfemur ltibia
    ltibia lfoot
    lfoot ltoes
    rhipjoint rfemur
    rfemur rtibia
    rtibia rfoot
    rfoot rtoes
  end
"""
THIGH = np.array([np.sin(np.radians(20)), -np.cos(np.radians(20)), 0])


def asf_text() -> str:
    """Two legs, splayed by 20 degrees at rest as CMU's are, about axes that are tilted likewise."""
    bones = []
    for side, sign in (("l", 1), ("r", -1)):
        for name, direction, length, tilt, freedom in (
            ("hipjoint", (sign * 0.6, -0.8, 0), 2.5, 0, ""),
            ("femur", THIGH * (sign, 1, 1), 7.6, sign * 20, "rx ry rz"),
            ("tibia", THIGH * (sign, 1, 1), 7.2, sign * 20, "rx"),
            ("foot", (0, 0, 1), 2.2, 0, "rx rz"),
            ("toes", (0, 0, 1), 1.0, 0, ""),
        ):
            bones.append(
                f"begin\n id 1\n name {side}{name}\n direction {' '.join(map(str, direction))}\n length {length}\n"
                f" axis 0 0 {tilt} XYZ\n{f' dof {freedom}' + chr(10) if freedom else ''}end"
            )
    return ASF.format(bones="\n".join(bones))


AMC = """\
#!OML:ASF
:FULLY-SPECIFIED
:DEGREES
1
root 0 18 0 0 0 0
lfemur 0 0 0
ltibia 0
rfemur 0 0 0
rtibia 0
2
root 1 18 2 0 0 0
lfemur 0 0 -20
ltibia 90
rfemur -30 0 20
rtibia 0
"""


# ---- markers

# x forward, y left, z up, in metres: a level pelvis of width 0.24 and depth 0.18, straight legs, arms held out.
MARKERS = {
    "LASI": (0, 0.12, 1.0),
    "RASI": (0, -0.12, 1.0),
    "LPSI": (-0.18, 0.04, 1.0),
    "RPSI": (-0.18, -0.04, 1.0),
    **{f"{s}{name}": (x, sign * y, z) for s, sign in (("L", 1), ("R", -1)) for name, x, y, z in (
        ("LFC", -0.05, 0.14, 0.5), ("MFC", -0.05, 0.04, 0.5), ("LMAL", -0.05, 0.13, 0.09), ("MMAL", -0.05, 0.05, 0.09),
        ("MT1", 0.1, 0.06, 0.03), ("MT5", 0.08, 0.14, 0.03), ("ACR", -0.09, 0.2, 1.5), ("LEL", -0.09, 0.5, 1.46),
        ("MEL", -0.09, 0.5, 1.38), ("FAradius", -0.09, 0.76, 1.44), ("FAulna", -0.09, 0.76, 1.40),
    )},
}  # fmt: skip


def trc_text(markers: dict[str, tuple[float, ...]], frames: int = 3, blank: tuple[int, str] | None = None) -> str:
    """A TRC table in mm with y up of a person who goes forward by 10 mm a frame; one marker may be blank at a frame."""
    head = "\t\t\t".join(markers)
    axes = "\t".join(f"{axis}{i + 1}" for i in range(len(markers)) for axis in "XYZ")
    lines = [
        "PathFileType\t4\t(X/Y/Z)\ttest.trc",
        "DataRate\tCameraRate\tNumFrames\tNumMarkers\tUnits\tOrigDataRate\tOrigDataStartFrame\tOrigNumFrames",
        f"150.00\t150.00\t{frames}\t{len(markers)}\tmm\t150.00\t1\t{frames}",
        f"Frame#\tTime\t{head}",
        f"\t\t{axes}",
        "",
    ]
    for frame in range(frames):
        cells = []
        for name, (x, y, z) in markers.items():
            seen = (frame, name) != blank
            cells += [f"{1000 * x + 10 * frame:.7f}", f"{1000 * z:.7f}", f"{-1000 * y:.7f}"] if seen else ["", "", ""]
        lines.append("\t".join([str(frame + 1), f"{frame / 150:.6f}", *cells]))
    return "\n".join(lines) + "\n"


def c3d_file(
    path: Path, markers: dict[str, tuple[float, ...]], frames: int = 3, rate: float = 200.0, unit: str = "mm"
) -> Path:
    """A C3D file with z up; the person goes forward by 10 mm a frame."""
    content = ezc3d.c3d()
    content["parameters"]["POINT"]["RATE"]["value"] = [rate]
    content["parameters"]["POINT"]["UNITS"]["value"] = [unit]
    content["parameters"]["POINT"]["LABELS"]["value"] = [f"Anna:{name}" for name in markers]
    points = np.ones((4, len(markers), frames))
    points[:3] = np.array(list(markers.values())).T[:, :, None]
    points[0] += 0.01 * np.arange(frames)
    points[:3] *= {"mm": 1000, "m": 1}[unit]
    content["data"]["points"] = points
    content.write(str(path))
    return path


# ---- OpenSim


def mot_text(columns: dict[str, np.ndarray], degrees: str | None = "yes", rows: int | None = None) -> str:
    lines = ["Coordinates", "version=1", f"nRows={rows or len(columns['time'])}", f"nColumns={len(columns)}"]
    lines += [f"inDegrees={degrees}"] if degrees else []
    lines += ["endheader", "\t".join(columns)]
    return (
        "\n".join(lines + ["\t".join(f"{v:.10f}" for v in row) for row in zip(*columns.values(), strict=True)]) + "\n"
    )


TIMES = np.arange(21) / 100
TABLE = {
    "time": TIMES,
    "pelvis_tilt": np.full(21, 10.0),
    "pelvis_list": np.zeros(21),
    "pelvis_rotation": np.full(21, 90.0),
    "pelvis_tx": TIMES,
    "pelvis_ty": np.full(21, 0.95),
    "pelvis_tz": np.full(21, 0.2),
    "hip_flexion_r": np.linspace(-20, 30, 21),
    "knee_angle_r": -np.linspace(0, 60, 21),
    "knee_angle_r_beta": -np.linspace(0, 60, 21),
    "R.ASIS_tx": np.zeros(21),
}


# ---- SMPL

# The 22 joints that SMPL-H and SMPL-X share, in SMPL's axes (x left, y up, z forward).
BODY = np.array([
    (0, 0, 0), (0.09, -0.08, 0), (-0.09, -0.08, 0), (0, 0.12, 0), (0.09, -0.51, 0), (-0.09, -0.51, 0),
    (0, 0.25, 0), (0.09, -0.93, 0), (-0.09, -0.93, 0), (0, 0.3, 0), (0.09, -0.99, 0.13), (-0.09, -0.99, 0.13),
    (0, 0.5, 0), (0.07, 0.45, 0), (-0.07, 0.45, 0), (0, 0.57, 0), (0.18, 0.47, 0), (-0.18, 0.47, 0),
    (0.46, 0.47, 0), (-0.46, 0.47, 0), (0.71, 0.47, 0), (-0.71, 0.47, 0),
]) + np.array([0.0, -0.2, 0.03])  # fmt: skip


# ---- numpy files


def poselib_file(path: Path, **changes: Any) -> Path:
    """Two frames of two legs: the left knee bends by 90 degrees in the second."""
    names = ["pelvis", "right_thigh", "right_shin", "right_foot", "left_thigh", "left_shin", "left_foot"]
    local = [(0, 0, 1), (0, -0.09, 0), (0, 0, -0.42), (0, 0, -0.41), (0, 0.09, 0), (0, 0, -0.42), (0, 0, -0.41)]
    rotation = np.zeros((2, 7, 4), np.float32)
    rotation[..., 3] = 1
    rotation[1, 5] = Rotation.from_euler("y", 90, degrees=True).as_quat()

    def boxed(array: Any) -> dict[str, Any]:
        return {"arr": np.asarray(array), "context": {"dtype": "float32"}}

    content = {
        "rotation": boxed(rotation),
        "root_translation": boxed([(0, 0, 0.9), (0.1, 0, 0.9)]),
        "skeleton_tree": {
            "node_names": names,
            "parent_indices": boxed([-1, 0, 1, 2, 0, 4, 5]),
            "local_translation": boxed(local),
        },
        "is_local": True,
        "fps": np.array(60, np.int32),
        "__name__": "SkeletonMotion",
    } | changes
    np.save(path, np.array(content, object), allow_pickle=True)
    return path


def cache_file(path: Path, **changes: Any) -> Path:
    """A MuscleMimic cache of two clips, of 30 and 20 frames; in the second the body faces along y."""
    joints = ["root", "hip_flexion_l", "knee_angle_l", "knee_angle_l_translation1", "knee_angle_l_rotation3"]
    qpos = np.zeros((50, 11))
    qpos[:, 2], qpos[:, 3] = 0.95, 1.0
    qpos[30:, 3:7] = Rotation.from_euler("z", 180, degrees=True).as_quat(scalar_first=True)
    qpos[:, 7:] = (0.3, 0.6, 0.01, -0.2)
    qpos[30:, 1] = np.arange(20) / 100
    content = {"qpos": qpos, "joint_names": np.array(joints), "frequency": 100.0, "split_points": np.array([0, 30, 50])}
    np.savez(path, **(content | changes))
    return path
