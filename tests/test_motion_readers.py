"""Motion files of every format: small ones written here, with known geometry."""

from __future__ import annotations

import os
import pickle
import shutil
from pathlib import Path
from typing import Any

import ezc3d
import numpy as np
import pytest
import scipy.io
from scipy.spatial.transform import Rotation

from arnold.errors import UserError
from arnold.motion import KEYPOINTS, Motion
from arnold.motion.readers import read_motion, smpl
from arnold.motion.readers.frames import UNITS
from arnold.motion.readers.pickled import load_dictionary

pytestmark = pytest.mark.unit

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


def test_a_bvh_at_rest_is_the_person_in_metres_with_z_up(write: Any) -> None:
    motion = read_motion(write("rest.bvh", bvh_text([{}, {}])))
    assert (motion.name, motion.rate, motion.frames) == ("rest", 100.0, 2)
    assert list(motion.keypoints) == list(KEYPOINTS)
    assert_at(motion, 0, **REST)


def test_a_bvh_bends_joints_as_its_channels_say(write: Any) -> None:
    # The left thigh is raised forward by 90 degrees and its knee bent by 90: the shank hangs again.
    pose = {"LeftUpLeg": (0, 0, -90), "LeftLeg": (0, 0, 90), "LeftArm": (-90, 0, 0), "at": (20, 110, 50)}
    motion = read_motion(write("step.bvh", bvh_text([{}, pose])))
    assert_at(motion, 1, pelvis=(0.5, 0.2, 1.1), left_knee=(0.93, 0.29, 1.02), left_ankle=(0.93, 0.29, 0.6))
    assert_at(motion, 1, left_elbow=(0.5, 0.38, 1.29), left_wrist=(0.5, 0.38, 1.04), left_toe=(1.06, 0.29, 0.54))


def test_orientations_are_turns_away_from_standing_with_the_arms_down(write: Any) -> None:
    raised = {"LeftUpLeg": (0, 0, -90), "LeftLeg": (0, 0, 90), "LeftArm": (-90, 0, 0), "Hips": (0, 90, 0)}
    motion = read_motion(write("turns.bvh", bvh_text([{}, raised])))
    # At rest legs are neutral; the arms, held out, are turned out by 90 degrees.
    for name in ("pelvis", "spine", "head", "left_hip", "left_knee", "left_ankle"):
        np.testing.assert_allclose(np.abs(motion.orientations[name][0]), (1, 0, 0, 0), atol=1e-9)
    np.testing.assert_allclose(turned(motion, "left_shoulder", 0, (0, 0, -1)), (0, 1, 0), atol=1e-9)
    np.testing.assert_allclose(turned(motion, "left_shoulder", 0, (1, 0, 0)), (1, 0, 0), atol=1e-9)
    # Then the body has turned to its left, and everything with it.
    np.testing.assert_allclose(turned(motion, "pelvis", 1, (1, 0, 0)), (0, 1, 0), atol=1e-9)
    np.testing.assert_allclose(turned(motion, "left_hip", 1, (0, 0, -1)), (0, 1, 0), atol=1e-9)
    np.testing.assert_allclose(turned(motion, "left_knee", 1, (0, 0, -1)), (0, 0, -1), atol=1e-9)
    np.testing.assert_allclose(turned(motion, "left_elbow", 1, (0, 0, -1)), (0, 0, -1), atol=1e-9)
    np.testing.assert_allclose(turned(motion, "left_elbow", 1, (1, 0, 0)), (0, 1, 0), atol=1e-9)


@pytest.mark.parametrize(("unit", "metres"), UNITS.items())
def test_the_unit_of_a_bvh_is_found_from_its_legs(write: Any, unit: str, metres: float) -> None:
    motion = read_motion(write("units.bvh", bvh_text([{}, {}], scale=0.01 / metres)))
    assert_at(motion, 0, **REST)


def test_the_vertical_axis_of_a_bvh_is_found_from_the_pose(write: Any) -> None:
    upright = {name: (parent, (x, -z, y)) for name, (parent, (x, y, z)) in PERSON.items()}
    motion = read_motion(write("z_up.bvh", bvh_text([{"at": (0, 0, 100)}] * 2, person=upright)))
    assert_at(motion, 0, **REST)


def test_a_motion_faces_x_at_its_start_unless_told_otherwise(write: Any) -> None:
    path = write("away.bvh", bvh_text([{"Hips": (0, 90, 0)}, {"Hips": (0, 90, 0), "at": (100, 100, 0)}]))
    assert_at(read_motion(path), 0, **REST)
    np.testing.assert_allclose(read_motion(path).keypoints["pelvis"][1], (1, 0, 1), atol=1e-6)
    np.testing.assert_allclose(read_motion(path, align=False).keypoints["pelvis"][1], (0, 1, 1), atol=1e-6)


def test_names_of_other_exporters_are_known(write: Any) -> None:
    mixamo = {
        f"mixamorig:{name}": (f"mixamorig:{parent}" if parent else None, at) for name, (parent, at) in PERSON.items()
    }
    assert_at(read_motion(write("mixamo.bvh", bvh_text([{}, {}], person=mixamo))), 0, **REST)
    legs = {"LeftUpLeg": "lThigh", "LeftLeg": "lShin", "LeftFoot": "lFoot", "LeftToeBase": "lToe", "Hips": "hip"}
    poser = legs | {"LeftArm": "lShldr", "LeftForeArm": "lForeArm", "LeftHand": "lHand"}
    renamed = {poser.get(n, n): (poser.get(p, p) if p else None, at) for n, (p, at) in PERSON.items()}
    assert_at(read_motion(write("poser.bvh", bvh_text([{}, {}], person=renamed))), 0, **REST)


def test_a_skeleton_whose_rest_is_no_stance_gets_orientations_from_how_it_bends(write: Any) -> None:
    # All bones of the leg point up at rest, and the pose turns them down, as character tools export it.
    person = PERSON | {
        "LeftUpLeg": ("Hips", (9, -8, 0)),
        "LeftLeg": ("LeftUpLeg", (0, 43, 0)),
        "LeftFoot": ("LeftLeg", (0, 42, 0)),
    }
    person["LeftToeBase"] = ("LeftFoot", (0, 6, 13))
    down, flexed = {"LeftUpLeg": (180, 0, 0)}, {"LeftUpLeg": (180, 0, 0), "LeftLeg": (0, 0, -60)}
    motion = read_motion(write("odd.bvh", bvh_text([down, flexed, down], person=person)))
    assert motion.keypoints["left_knee"][0][2] == pytest.approx(0.49)
    assert motion.keypoints["left_ankle"][1][0] < -0.3  # bent backwards
    for vector in ((0, 0, -1), (1, 0, 0)):
        np.testing.assert_allclose(turned(motion, "left_hip", 1, vector), vector, atol=1e-6)
    np.testing.assert_allclose(turned(motion, "left_knee", 1, (1, 0, 0)), (0.5, 0, -np.sqrt(0.75)), atol=1e-6)


def test_frame_times_are_read_as_the_rates_they_round(write: Any) -> None:
    for step, rate in (("0.016667", 60), (".0083333", 120), ("0.0333667", 29.97), ("0.033333", 30), ("0.04", 25)):
        assert read_motion(write("rate.bvh", bvh_text([{}, {}], step=step))).rate == pytest.approx(rate, rel=2e-5)


def test_start_and_stop_cut_a_motion(write: Any) -> None:
    path = write("long.bvh", bvh_text([{"at": (0, 100, i)} for i in range(50)]))
    motion = read_motion(path, start=0.1, stop=0.3, name="part", subject="me")
    assert (motion.frames, motion.name, motion.subject) == (21, "part", "me")
    assert motion.keypoints["pelvis"][0][0] == pytest.approx(0.10)


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


def test_an_amc_turns_bones_about_their_tilted_axes(write: Any) -> None:
    write("07.asf", asf_text())
    motion = read_motion(write("07_01.amc", AMC))
    unit = UNITS["CMU"]
    assert (motion.rate, motion.subject) == (120.0, "CMU 007")
    np.testing.assert_allclose(motion.keypoints["pelvis"], np.array([[0, 0, 18], [2, 1, 18]]) * unit, atol=1e-9)
    hip = np.array([2, 1 + 1.5, 18 - 2.0])
    # -20 degrees about the thigh's own z let it hang; then the knee bends by 90 degrees about its own x.
    knee = hip + np.array([0, 0, -7.6])
    np.testing.assert_allclose(motion.keypoints["left_hip"][1], hip * unit, atol=1e-9)
    np.testing.assert_allclose(motion.keypoints["left_knee"][1], knee * unit, atol=1e-9)
    np.testing.assert_allclose(motion.keypoints["left_ankle"][1], (knee - np.array([7.2, 0, 0])) * unit, atol=1e-9)
    # The right thigh hangs and is then raised forward by 30 degrees, x before z.
    thigh = (motion.keypoints["right_knee"] - motion.keypoints["right_hip"])[1] / unit
    np.testing.assert_allclose(thigh, 7.6 * np.array([0.5, 0, -np.sqrt(0.75)]), atol=1e-9)
    # Turns are away from straight legs, whatever the rest pose.
    np.testing.assert_allclose(turned(motion, "left_hip", 1, (0, 0, -1)), (0, 0, -1), atol=1e-9)


def test_the_skeleton_of_an_amc_is_found_beside_it_or_named(write: Any, tmp_path: Path) -> None:
    path = write("07_01.amc", AMC)
    with pytest.raises(UserError, match="no ASF file of its name beside it"):
        read_motion(path)
    write("0.asf", "damaged")
    write("07.asf", asf_text())
    assert read_motion(path, rate=60).rate == 60.0
    elsewhere = tmp_path / "skeletons"
    elsewhere.mkdir()
    (tmp_path / "07.asf").rename(elsewhere / "own.asf")
    assert read_motion(path, skeleton=elsewhere / "own.asf").frames == 2
    with pytest.raises(UserError, match="no skeleton at"):
        read_motion(path, skeleton=tmp_path / "none.asf")


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
# By the regression of Harrington et al. 2007 from width 240 mm and depth 180 mm.
HIP = (-0.24 * 0.18 - 0.0099, 0.33 * 0.24 + 0.0073, 1.0 - 0.30 * 0.24 - 0.0109)
CENTRES = {
    "left_hip": HIP,
    "right_hip": (HIP[0], -HIP[1], HIP[2]),
    "pelvis": (-0.09, 0, 1.0),
    "left_knee": (-0.05, 0.09, 0.5),
    "right_ankle": (-0.05, -0.09, 0.09),
    "left_toe": (0.09, 0.1, 0.03),
    "left_shoulder": (-0.09, 0.2, 1.5 - 0.17 * 0.4),
    "right_elbow": (-0.09, -0.5, 1.42),
    "left_wrist": (-0.09, 0.76, 1.42),
}


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


def test_markers_of_a_trc_become_joint_centres(write: Any) -> None:
    motion = read_motion(write("walk.trc", trc_text(MARKERS)))
    assert (motion.rate, motion.frames) == (150.0, 3)
    assert_at(motion, 0, **CENTRES)
    assert_at(motion, 2, left_knee=(-0.03, 0.09, 0.5))
    np.testing.assert_allclose(motion.orientations["pelvis"], [[1, 0, 0, 0]] * 3, atol=1e-9)


@pytest.mark.parametrize("unit", ["mm", "m"])
def test_markers_of_a_c3d_become_the_same_joint_centres(tmp_path: Path, unit: str) -> None:
    motion = read_motion(c3d_file(tmp_path / "walk.c3d", MARKERS, unit=unit))
    assert (motion.rate, motion.frames) == (200.0, 3)
    assert_at(motion, 0, **CENTRES)


def test_a_marker_out_of_sight_leaves_a_gap_in_its_joint_only(write: Any) -> None:
    motion = read_motion(write("gap.trc", trc_text(MARKERS, blank=(1, "LMFC"))))
    # By the lateral marker alone, without a jump.
    np.testing.assert_allclose(motion.keypoints["left_knee"][:, 1], 0.09, atol=1e-3)
    motion = read_motion(write("gap.trc", trc_text(MARKERS, blank=(1, "LMT1"))))
    assert np.isnan(motion.keypoints["left_toe"][:, 0]).tolist() == [False, True, False]


def test_joint_centres_of_the_file_itself_are_preferred(write: Any) -> None:
    motion = read_motion(write("own.trc", trc_text(MARKERS | {"LHJC": (-0.04, 0.085, 0.93)})), align=False)
    assert_at(motion, 0, left_hip=(-0.04, 0.085, 0.93), right_hip=(HIP[0], -HIP[1], HIP[2]))


def test_a_plug_in_gait_knee_lies_inwards_of_its_one_marker(write: Any) -> None:
    names = {"LLFC": "LKNE", "RLFC": "RKNE", "LLMAL": "LANK", "RLMAL": "RANK", "LACR": "LSHO", "RACR": "RSHO"}
    medial = ("MFC", "MMAL", "MEL", "MT1", "MT5")
    markers = {names.get(name, name): at for name, at in MARKERS.items() if name[1:] not in medial}
    motion = read_motion(write("pig.trc", trc_text(markers)))
    knee = motion.keypoints["left_knee"][0]
    assert np.linalg.norm(knee - MARKERS["LLFC"]) == pytest.approx(0.06, abs=1e-6)
    assert (knee - CENTRES["left_knee"])[1] == pytest.approx(-0.01, abs=2e-3)
    assert "left_toe" not in motion.keypoints


def test_exchanged_labels_of_left_and_right_are_put_right_and_said(write: Any) -> None:
    swapped = {{"L": "R", "R": "L"}[name[0]] + name[1:]: at for name, at in MARKERS.items()}
    motion = read_motion(write("swapped.trc", trc_text(swapped)))
    assert_at(motion, 0, **CENTRES)
    assert "exchanged" in motion.source


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


@pytest.mark.parametrize("suffix", [".mot", ".sto"])
def test_angles_of_an_opensim_table_are_radians_with_flexed_knees_positive(write: Any, suffix: str) -> None:
    motion = read_motion(write("ik" + suffix, mot_text(TABLE)))
    assert motion.rate == 100.0
    assert "knee_angle_r_beta" not in motion.angles
    assert "R.ASIS_tx" not in motion.angles
    np.testing.assert_allclose(motion.angles["knee_angle_r"], np.radians(np.linspace(0, 60, 21)), atol=1e-9)
    np.testing.assert_allclose(motion.angles["hip_flexion_r"], np.radians(np.linspace(-20, 30, 21)), atol=1e-9)
    np.testing.assert_allclose(motion.angles["pelvis_ty"], 0.95)


def test_the_pelvis_of_an_opensim_table_is_also_given_in_the_world(write: Any) -> None:
    motion = read_motion(write("ik.mot", mot_text(TABLE)))
    # OpenSim's z is to the right, and its rotation about the vertical turns forward to the left.
    assert_at(motion, 20, pelvis=(0.2, -0.2, 0.95))
    np.testing.assert_allclose(turned(motion, "pelvis", 0, (1, 0, 0)), (0, 1, 0), atol=1e-9)
    # Tilt is about the z of the ground, first of the three turns: 10 degrees that lift what is ahead.
    tilted = read_motion(write("tilt.mot", mot_text(TABLE | {"pelvis_rotation": np.zeros(21)})))
    ahead = (np.cos(np.radians(10)), 0, np.sin(np.radians(10)))
    np.testing.assert_allclose(turned(tilted, "pelvis", 0, (1, 0, 0)), ahead, atol=1e-9)


def test_radians_are_honoured_and_guessed_only_where_nothing_is_said(write: Any) -> None:
    radians = {
        name: values if "_t" in name[-4:] or name == "time" else np.radians(values) for name, values in TABLE.items()
    }
    for said in ("no", None):
        motion = read_motion(write("rad.sto", mot_text(radians, degrees=said)))
        np.testing.assert_allclose(motion.angles["knee_angle_r"], np.radians(np.linspace(0, 60, 21)), atol=1e-8)
    motion = read_motion(write("deg.mot", mot_text(TABLE, degrees=None)))
    np.testing.assert_allclose(motion.angles["knee_angle_r"][-1], np.radians(60))


def test_a_state_table_names_coordinates_by_path(write: Any) -> None:
    table = {"time": TIMES, "/jointset/hip_r/hip_flexion_r/value": TIMES, "/jointset/hip_r/hip_flexion_r/speed": TIMES}
    motion = read_motion(write("states.sto", mot_text(table, degrees="no")))
    np.testing.assert_allclose(motion.angles["hip_flexion_r"], TIMES)


def test_uneven_times_are_interpolated_and_rounded_ones_are_not(write: Any) -> None:
    uneven = np.concatenate([np.arange(10) / 100, [0.105, 0.12, 0.13]])
    motion = read_motion(write("uneven.mot", mot_text({"time": uneven, "hip_flexion_r": 100 * uneven**2})))
    assert motion.rate == pytest.approx(100)
    np.testing.assert_allclose(motion.angles["hip_flexion_r"], np.radians(100 * (np.arange(14) / 100) ** 2), atol=1e-9)
    rounded = np.round(np.arange(61) / 60, 3)
    assert read_motion(write("rounded.mot", mot_text({"time": rounded, "hip_flexion_r": rounded}))).rate == 60.0


def test_a_matlab_table_is_read_as_an_opensim_table_in_degrees(tmp_path: Path) -> None:
    names = [name for name in TABLE if "." not in name]
    table = {"data": np.stack([TABLE[name] for name in names], axis=1), "colheaders": np.array(names, object)}
    scipy.io.savemat(tmp_path / "IK.mat", {"Qsall": table})
    motion = read_motion(tmp_path / "IK.mat")
    np.testing.assert_allclose(motion.angles["knee_angle_r"][-1], np.radians(60))
    assert_at(motion, 20, pelvis=(0.2, -0.2, 0.95))


# ---- SMPL-H and SMPL-X

# The 22 joints that SMPL-H and SMPL-X share, in SMPL's axes (x left, y up, z forward).
BODY = np.array([
    (0, 0, 0), (0.09, -0.08, 0), (-0.09, -0.08, 0), (0, 0.12, 0), (0.09, -0.51, 0), (-0.09, -0.51, 0),
    (0, 0.25, 0), (0.09, -0.93, 0), (-0.09, -0.93, 0), (0, 0.3, 0), (0.09, -0.99, 0.13), (-0.09, -0.99, 0.13),
    (0, 0.5, 0), (0.07, 0.45, 0), (-0.07, 0.45, 0), (0, 0.57, 0), (0.18, 0.47, 0), (-0.18, 0.47, 0),
    (0.46, 0.47, 0), (-0.46, 0.47, 0), (0.71, 0.47, 0), (-0.71, 0.47, 0),
]) + np.array([0.0, -0.2, 0.03])  # fmt: skip
BODY_PARENTS = [-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19]


def body_model(folder: Path, kind: str) -> None:
    """A body model whose vertices are its joints; its first shape number makes it a tenth larger."""
    count = {"smplh": 52, "smplx": 55}[kind]
    joints = np.concatenate([BODY, np.tile(BODY[20], (count - 22, 1))])
    parents = np.array([*BODY_PARENTS, *[20] * (count - 22)])
    shapes = np.zeros((count, 3, 16))
    shapes[:, :, 0] = 0.1 * joints
    (folder / kind).mkdir(parents=True)
    np.savez(
        folder / kind / f"{kind.upper()}_NEUTRAL.npz",
        v_template=joints,
        shapedirs=shapes,
        J_regressor=np.eye(count),
        kintree_table=np.stack([np.where(parents < 0, 2**32 - 1, parents), np.arange(count)]).astype(np.uint32),
        dynamic=np.array({"a": 1}, object),  # official files hold such things beside what is needed
    )


@pytest.mark.parametrize(
    ("kind", "columns", "key"), [("smplh", 156, "mocap_framerate"), ("smplx", 165, "mocap_frame_rate")]
)
def test_amass_poses_move_the_body_of_the_subjects_shape(tmp_path: Path, kind: str, columns: int, key: str) -> None:
    pytest.importorskip("smplx")
    body_model(tmp_path, kind)
    poses, trans, betas = np.zeros((3, columns)), np.zeros((3, 3)), np.zeros(16)
    # SMPL stands with y up; AMASS turns its root so that z is up. Here it also walks along x and raises its left thigh.
    poses[:, :3] = Rotation.from_matrix([[0, 0, 1], [1, 0, 0], [0, 1, 0]]).as_rotvec()
    poses[1, 3 : 3 + 3] = (-np.pi / 2, 0, 0)
    trans[:, 0], trans[:, 2] = (0, 0.1, 0.2), 1.2
    betas[0] = 1.0
    np.savez(tmp_path / "walk_poses.npz", poses=poses, trans=trans, betas=betas, gender="neutral", **{key: 100.0})
    motion = read_motion(tmp_path / "walk_poses.npz", models=tmp_path, align=False)
    assert (motion.rate, motion.frames, motion.subject) == (100.0, 3, tmp_path.name)
    assert list(motion.keypoints) == list(KEYPOINTS)
    # By the formula of linear blend skinning the root turns about the pelvis of the shaped body, not about the origin.
    pelvis = 1.1 * BODY[0] + np.array([0, 0, 1.2])
    np.testing.assert_allclose(motion.keypoints["pelvis"][0], pelvis, atol=1e-6)
    np.testing.assert_allclose(motion.keypoints["left_knee"][0], pelvis + 1.1 * np.array([0, 0.09, -0.51]), atol=1e-6)
    np.testing.assert_allclose(
        motion.keypoints["left_knee"][1], pelvis + np.array([0.1 + 1.1 * 0.43, 1.1 * 0.09, -1.1 * 0.08]), atol=1e-6
    )
    np.testing.assert_allclose(turned(motion, "left_hip", 1, (0, 0, -1)), (1, 0, 0), atol=1e-6)
    np.testing.assert_allclose(turned(motion, "pelvis", 0, (1, 0, 0)), (1, 0, 0), atol=1e-6)


def test_smplx_agrees_on_where_joints_are(tmp_path: Path) -> None:
    lbs = pytest.importorskip("smplx.lbs")
    import torch

    body_model(tmp_path, "smplh")
    rng = np.random.default_rng(0)
    poses, trans = rng.normal(0, 0.4, (4, 156)), rng.normal(0, 1, (4, 3))
    np.savez(
        tmp_path / "random.npz", poses=poses, trans=trans, betas=np.zeros(10), gender="neutral", mocap_framerate=60
    )
    motion = read_motion(tmp_path / "random.npz", models=tmp_path, align=False)
    turns = torch.tensor(Rotation.from_rotvec(poses[:, :66].reshape(-1, 3)).as_matrix().reshape(4, 22, 3, 3))
    joints = torch.tensor(BODY)[None].expand(4, 22, 3)
    expected = (
        lbs.batch_rigid_transform(turns, joints, torch.tensor(BODY_PARENTS), dtype=torch.float64)[0].numpy()
        + trans[:, None]
    )
    for name, index in smpl.JOINTS.items():
        np.testing.assert_allclose(motion.keypoints[name], expected[:, index], atol=1e-9)


def test_a_missing_body_model_is_said_with_where_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("smplx")
    monkeypatch.delenv(smpl.VARIABLE, raising=False)
    np.savez(tmp_path / "a.npz", poses=np.zeros((3, 156)), trans=np.zeros((3, 3)), gender="female", mocap_framerate=100)
    with pytest.raises(UserError, match=r"no folder was named for; get the models from https://mano\.is\.tue\.mpg\.de"):
        read_motion(tmp_path / "a.npz")
    monkeypatch.setenv(smpl.VARIABLE, str(tmp_path))
    with pytest.raises(UserError, match=r"has no smplh/SMPLH_FEMALE\.npz or \.pkl; get the models from"):
        read_motion(tmp_path / "a.npz")


def test_a_missing_smplx_is_said_with_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "smplx.lbs", None)
    np.savez(tmp_path / "a.npz", poses=np.zeros((3, 156)), trans=np.zeros((3, 3)), gender="female", mocap_framerate=100)
    with pytest.raises(UserError, match=r"pip install 'arnold\[smpl\]'"):
        read_motion(tmp_path / "a.npz")


# ---- pickled numpy files


def joints_of_person(frames: int) -> np.ndarray:
    """(T, 22, 3) SMPL joints with y up, standing at the floor."""
    return np.tile(BODY + np.array([0, 1.2, -0.03]), (frames, 1, 1))


def test_one_of_several_generated_motions_is_read(tmp_path: Path) -> None:
    motions = np.zeros((2, 22, 3, 40), np.float32)
    motions[1] = joints_of_person(40).transpose(1, 2, 0)
    content = {"motion": motions, "text": ["lies", "a person stands"], "lengths": np.array([40, 30]), "num_samples": 2}
    np.save(tmp_path / "results.npy", np.array(content, object), allow_pickle=True)
    motion = read_motion(tmp_path / "results.npy", clip=1)
    assert (motion.name, motion.rate, motion.frames) == ("results_1", 20.0, 30)
    assert "a person stands" in motion.source
    assert_at(motion, 3, **REST)
    with pytest.raises(UserError, match="clip=2 is not among 0 to 1"):
        read_motion(tmp_path / "results.npy", clip=2)


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


def test_a_poselib_motion_is_posed(tmp_path: Path) -> None:
    motion = read_motion(poselib_file(tmp_path / "walk.npy"))
    assert motion.rate == 60.0
    assert_at(motion, 0, left_hip=(0, 0.09, 0.9), left_knee=(0, 0.09, 0.48), left_ankle=(0, 0.09, 0.07))
    assert_at(
        motion, 1, left_knee=(0.1, 0.09, 0.48), left_ankle=(0.1 - 0.41, 0.09, 0.48), right_ankle=(0.1, -0.09, 0.07)
    )
    np.testing.assert_allclose(turned(motion, "left_knee", 1, (0, 0, -1)), (-1, 0, 0), atol=1e-6)


class Hostile:
    """Runs a command when it is unpickled."""

    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.proof),)


def test_code_in_a_pickle_is_refused_and_not_run(tmp_path: Path) -> None:
    proof = tmp_path / "proof"
    np.save(tmp_path / "bad.npy", np.array({"motion": Hostile(proof)}, object), allow_pickle=True)
    with pytest.raises(UserError, match="holds more than arrays"):
        read_motion(tmp_path / "bad.npy")
    np.savez(tmp_path / "bad.npz", poses=np.array(Hostile(proof), object), trans=np.zeros((2, 3)))
    with pytest.raises(UserError, match="holds code, which is never run"):
        read_motion(tmp_path / "bad.npz")
    assert not proof.exists()


# ---- joint positions


def loco_file(path: Path, full: bool, rate: float = 500.0) -> Path:
    way = 1.3 * np.arange(500) / rate
    q = {"pelvis_tx": way, "pelvis_tz": 0.1 + 0 * way, "pelvis_ty": -0.03 + 0 * way, "pelvis_tilt": 0 * way}
    q |= {
        "pelvis_list": 0 * way,
        "pelvis_rotation": 0 * way,
        "hip_adduction_l": 0.1 + way,
        "hip_adduction_r": 0.2 + way,
    }
    q["knee_angle_l"] = q["knee_angle_r"] = (1 if full else -1) * 0.5 * (1 + np.sin(way))
    if full:
        q |= {"knee_angle_l_translation1": 0 * way, "hip_adduction_l": -q["hip_adduction_l"]}
    speeds = {f"dq_{name}": np.full(500, 1.3) if name == "pelvis_tx" else 0 * way for name in q}
    np.savez(path, **{f"q_{name}": values for name, values in q.items()}, **speeds)
    return path


@pytest.mark.parametrize("full", [True, False])
def test_both_humanoids_of_loco_mujoco_give_opensims_signs(tmp_path: Path, full: bool) -> None:
    motion = read_motion(loco_file(tmp_path / "walk.npz", full))
    assert motion.rate == pytest.approx(500)
    assert "knee_angle_l_translation1" not in motion.angles
    np.testing.assert_allclose(motion.angles["knee_angle_l"], 0.5 * (1 + np.sin(motion.angles["pelvis_tx"])))
    np.testing.assert_allclose(motion.angles["hip_adduction_l"], 0.1 + motion.angles["pelvis_tx"])
    np.testing.assert_allclose(motion.angles["hip_adduction_r"], 0.2 + motion.angles["pelvis_tx"])
    assert_at(motion, 0, pelvis=(0, -0.1, 0.945))


def test_the_rate_of_joint_angles_follows_from_their_speeds(tmp_path: Path) -> None:
    assert read_motion(loco_file(tmp_path / "walk.npz", True, rate=250)).rate == pytest.approx(250)


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


def test_the_root_of_a_musclemimic_cache_is_told_in_opensims_coordinates_too(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    qpos = np.zeros((50, 11))
    qpos[:, :3] = rng.normal(size=(50, 3))
    steps = Rotation.from_rotvec(np.cumsum(rng.normal(0, 0.05, (50, 3)), axis=0))
    qpos[:, 3:7] = steps.as_quat(scalar_first=True)
    motion = read_motion(cache_file(tmp_path / "cache.npz", qpos=qpos))
    # An OpenSim table of those coordinates is the same pelvis in the world.
    table = {"time": np.arange(30) / 100} | {n: v for n, v in motion.angles.items() if n.startswith("pelvis_")}
    (tmp_path / "ik.sto").write_text(mot_text(table, degrees="no"))
    again = read_motion(tmp_path / "ik.sto")
    np.testing.assert_allclose(again.keypoints["pelvis"], motion.keypoints["pelvis"], atol=1e-8)
    np.testing.assert_allclose(again.orientations["pelvis"], motion.orientations["pelvis"], atol=1e-8)


def test_a_musclemimic_cache_gives_angles_without_the_coupled_knee(tmp_path: Path) -> None:
    motion = read_motion(cache_file(tmp_path / "cache.npz"), clip=1)
    assert (motion.name, motion.rate, motion.frames) == ("cache_1", 100.0, 20)
    angles = {name: values[0] for name, values in motion.angles.items() if not name.startswith("pelvis_")}
    assert angles == {"hip_flexion_l": 0.3, "knee_angle_l": 0.6}
    # It faces y and goes along y: aligned, it faces and goes along x.
    np.testing.assert_allclose(np.abs(motion.orientations["pelvis"]), [[1, 0, 0, 0]] * 20, atol=1e-9)
    assert_at(motion, 19, pelvis=(0.19, 0, 0.95))
    as_it_is = read_motion(tmp_path / "cache.npz", clip=1, align=False)
    np.testing.assert_allclose(turned(as_it_is, "pelvis", 0, (1, 0, 0)), (0, 1, 0), atol=1e-9)


# ---- bad input

GOOD_BVH = bvh_text([{}, {}, {}])
BAD_TEXT = {
    "empty.bvh": ("", "is empty"),
    "blank.trc": ("  \n", "is empty"),
    "none.bvh": ("HIERARCHY\nROOT Hips\n{", "no line MOTION"),
    "braces.bvh": (GOOD_BVH.replace("}", "", 1), "braces do not close"),
    "infinite.bvh": (GOOD_BVH.replace("OFFSET 9.0", "OFFSET inf", 1), "has joint 'LeftUpLeg' at"),
    "away.bvh": (bvh_text([{}, {"at": (0, 3e6, 0)}]), "has pelvis more than 10000 m away at frame 1"),
    "offset.bvh": (GOOD_BVH.replace("OFFSET 0", "OFFSET zero", 1), "HIERARCHY that cannot be read"),
    "channels.bvh": (GOOD_BVH.replace("Zrotation Yrotation", "Zrotation Zrotation", 1), "at joint 'Hips'; each of"),
    "short.bvh": (GOOD_BVH.rsplit("\n", 2)[0], "says 3 frames and holds 2: it is cut short after frame 1"),
    "cut.bvh": (GOOD_BVH[: len(GOOD_BVH) - 20], "channels at frame 2; 60 are expected"),
    "nan.bvh": (GOOD_BVH.replace("0.0 100.0", "0.0 nan", 1), "not finite at frame 0"),
    "words.bvh": (GOOD_BVH.replace("0.0 100.0", "0.0 high", 1), "holds no number at frame 0"),
    "zero.bvh": (GOOD_BVH.replace("0.01", "0"), "frame time of 0.0 s"),
    "negative.bvh": (GOOD_BVH.replace("0.01", "-0.01"), "frame time of -0.01 s"),
    "rateless.bvh": (GOOD_BVH.replace("Frame Time", "Frames per"), "does not say 'Frames: N'"),
    "one.bvh": (bvh_text([{}]), "has 1 frames"),
    "hours.bvh": (GOOD_BVH.replace("Frames: 3", "Frames: 3600001"), "lasts 36000 s .* start=SECONDS, stop=SECONDS"),
    "spider.bvh": (
        GOOD_BVH.replace("Left", "Fore").replace("Right", "Hind"),
        "found pelvis, head; missing left_shoulder",
    ),
    "giant.bvh": (bvh_text([{}, {}], scale=77.0), "in none of m, cm, mm, inch, CMU; give scale"),
    "walk.asf": (asf_text(), "give the .amc file"),
    "notes.txt": ("hello", "is of no format that is read"),
    "wrong.bvh": ("time\tknee\n0\t1\n", "is named .bvh and is not a BVH motion"),
    "renamed.mot": (GOOD_BVH, "holds a BVH motion and is not named so"),
    "headless.mot": ("time hip_flexion_r\n0 1\n", "no line 'endheader'"),
    "rows.mot": (mot_text(TABLE, rows=40), "says 40 rows and holds 21"),
    "still.mot": (mot_text(TABLE | {"time": np.minimum(TIMES, 0.1)}), "does not go on at frame 11"),
    "nan.mot": (mot_text(TABLE | {"hip_flexion_r": np.where(TIMES == 0.05, np.nan, 0)}), "hip_flexion_r .* at frame 5"),
    "forces.mot": (mot_text({"time": TIMES, "ground_force_vx": TIMES}), "is no table of joint angles"),
    "activations.sto": (
        mot_text({"time": TIMES, "hip_flexion_r": TIMES, "soleus_r": TIMES, "soleus_l": TIMES}),
        "the others are soleus_r, soleus_l",
    ),
    "hours.mot": (mot_text(TABLE | {"time": TIMES * 1e6}), "lasts 200000 s"),
    "timeless.mot": (mot_text({"time": TIMES, "hip_flexion_r": TIMES}).replace("time", "seconds"), "no column 'time'"),
    "zero.trc": (trc_text(MARKERS).replace("150.00", "0"), "frame rate of '0'"),
    "cut.trc": (trc_text(MARKERS)[:-60], "cells at frame 2"),
    "far.trc": (trc_text(MARKERS | {"LASI": (1e30, 0, 0)}), "more than 10000 m away at frame 0"),
    "units.trc": (trc_text(MARKERS).replace("\tmm\t", "\tfurlong\t"), "units of 'furlong'"),
    "names.trc": (trc_text({"A": (0, 0, 0.1), "B": (0, 0, 1)}), "found no keypoint; .* its names are A, B"),
    "header.trc": ("PathFileType\t4\n", "5 of header"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_TEXT)
def test_a_bad_file_is_told_in_one_line_with_its_name(write: Any, name: str) -> None:
    text, match = BAD_TEXT[name]
    with pytest.raises(UserError, match=match) as caught:
        read_motion(write(name, text))
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        (AMC.replace("ltibia 90", "ltibia nan"), "ltibia that is not finite at frame 1"),
        (AMC.replace("ltibia 90\n", ""), "lacks ltibia at frame 1"),
        (AMC[: AMC.index("rfemur -30")], "lacks rfemur, rtibia at frame 1"),
        (AMC.replace("rfemur -30 0 20", "rfemur -30 0"), "2 numbers of rfemur at frame 1; 3 are expected"),
        (AMC.replace("ltibia", "tail"), "moves a bone 'tail' at frame 0"),
        ("# nothing\n", "holds no frame"),
    ],
)
def test_a_bad_amc_is_told_by_frame(write: Any, text: str, match: str) -> None:
    write("07.asf", asf_text())
    with pytest.raises(UserError, match=match):
        read_motion(write("07_01.amc", text))


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        (":bonedata", ":bones", "no section :bonedata"),
        ("order TX TY TZ", "order TX TY", "has root move by tx ty rx ry rz"),
        ("dof rx ry rz", "dof rx rx rz", "has lfemur move by rx rx rz"),
        ("length 7.6", "length long", "a root or bone that cannot be read"),
        ("lhipjoint lfemur", "lhipjoint lhorn", "has lhorn in its hierarchy and no such bone"),
        ("lfemur ltibia", "lfemur lhipjoint", "has a bone twice in its hierarchy"),
    ],
)
def test_a_bad_skeleton_is_told(write: Any, old: str, new: str, match: str) -> None:
    assert old in asf_text()
    write("07.asf", asf_text().replace(old, new, 1))
    with pytest.raises(UserError, match=match) as caught:
        read_motion(write("07_01.amc", AMC))
    assert "07.asf" in str(caught.value)


def test_bad_binary_files_are_told(tmp_path: Path) -> None:
    whole = cache_file(tmp_path / "cache.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "cut.npy").write_bytes(poselib_file(tmp_path / "walk.npy").read_bytes()[:700])
    (tmp_path / "cut.c3d").write_bytes(c3d_file(tmp_path / "walk.c3d", MARKERS).read_bytes()[:300])
    (tmp_path / "frames.c3d").write_bytes(c3d_file(tmp_path / "long.c3d", MARKERS, frames=300).read_bytes()[:-3000])
    (tmp_path / "text.c3d").write_text("no markers here" * 100)
    (tmp_path / "cut.mat").write_bytes(b"MATLAB 5.0 MAT-file" + b" " * 10)
    (tmp_path / "binary.bvh").write_bytes(b"HIERARCHY\0\1\2")
    for name in ("cut.npz", "cut.npy", "cut.c3d", "frames.c3d", "text.c3d", "cut.mat", "binary.bvh"):
        with pytest.raises(UserError, match=r"cut short|damaged|whole") as caught:
            read_motion(tmp_path / name)
        assert name in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_crash_of_the_c3d_library_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = c3d_file(tmp_path / "walk.c3d", MARKERS)
    # As a segmentation fault in the process that reads it: it ends without a word.
    monkeypatch.setattr("arnold.motion.readers.c3d.sys.executable", shutil.which("false"))
    with pytest.raises(UserError, match=r"walk\.c3d' cannot be read as C3D \(the reader ended with 1\)"):
        read_motion(path)


def test_bad_arrays_are_told(tmp_path: Path) -> None:
    def refused(match: str, path: Path, **options: Any) -> None:
        with pytest.raises(UserError, match=match):
            read_motion(path, **options)

    qpos = np.zeros((50, 11))
    qpos[37, 8] = np.nan
    qpos[:, 3] = 1
    refused("qpos that is not finite at frame 37", cache_file(tmp_path / "a.npz", qpos=qpos), clip=1)
    refused("frame rate of 0.0", cache_file(tmp_path / "a.npz", frequency=0.0))
    refused("has 2 clips; clip=5", cache_file(tmp_path / "a.npz"), clip=5)
    refused(
        r"qpos of shape \(50, 11\) for 2 joints", cache_file(tmp_path / "a.npz", joint_names=np.array(["root", "a"]))
    )
    long = {
        "qpos": np.zeros((3_600_000, 1), np.int8),
        "joint_names": np.array(["a"]),
        "split_points": np.array([0, 3_600_000]),
    }
    np.savez_compressed(tmp_path / "long.npz", frequency=100.0, **long)
    refused("lasts 36000 s", tmp_path / "long.npz")
    assert read_motion(tmp_path / "long.npz", start=100, stop=110).frames == 1001
    refused("keep 0; at least 2 frames", tmp_path / "long.npz", start=1e6)
    np.savez(tmp_path / "b.npz", poses=np.zeros((3, 100)), trans=np.zeros((3, 3)))
    refused(r"poses of shape \(3, 100\)", tmp_path / "b.npz")
    np.savez(tmp_path / "b.npz", poses=np.zeros((3, 156)), trans=np.zeros((3, 3)))
    refused("does not say its frame rate", tmp_path / "b.npz")
    np.savez(tmp_path / "b.npz", weights=np.zeros(3))
    refused("holds weights; SMPL poses", tmp_path / "b.npz")
    np.save(tmp_path / "c.npy", np.zeros((4, 3)))
    refused("no dictionary", tmp_path / "c.npy")
    refused("frame rate of 0", poselib_file(tmp_path / "c.npy", fps=np.array(0)))
    odd = {"parent_indices": {"arr": [-1, 5, 1, 2, 0, 4, 5]}}
    content = load_dictionary(poselib_file(tmp_path / "c.npy"))["skeleton_tree"] | odd
    refused("each body comes after its parent", poselib_file(tmp_path / "c.npy", skeleton_tree=content))
    refused("no whole poselib motion", poselib_file(tmp_path / "c.npy", rotation=None))
    broken = {"arr": np.full((2, 7, 4), np.nan), "context": {}}
    refused("rotation that is not finite at frame 0", poselib_file(tmp_path / "c.npy", rotation=broken))
    np.save(tmp_path / "c.npy", np.array({"motion": np.zeros((1, 30, 3, 5))}, object), allow_pickle=True)
    refused("motion of shape", tmp_path / "c.npy")


def test_missing_files_and_options_are_met_with_near_ones(write: Any, tmp_path: Path) -> None:
    path = write("walk.bvh", GOOD_BVH)
    with pytest.raises(UserError, match=r"no motion file at .* did you mean 'walk.bvh'"):
        read_motion(tmp_path / "wlak.bvh")
    with pytest.raises(UserError, match="it is a folder"):
        read_motion(tmp_path)
    with pytest.raises(UserError, match="no option 'framerate'"):
        read_motion(path, framerate=30)
    with pytest.raises(UserError, match="says 100 frames per second and rate=30 was given"):
        read_motion(path, rate=30)
    with pytest.raises(UserError, match="is no axis"):
        read_motion(path, up="w")
    with pytest.raises(UserError, match="is no scale"):
        read_motion(path, scale=-1.0)


def test_a_pickle_of_another_kind_is_no_way_around_the_format(tmp_path: Path) -> None:
    (tmp_path / "plain.npy").write_bytes(pickle.dumps({"motion": 1}))
    with pytest.raises(UserError, match=r"is named \.npy and is not a numpy array"):
        read_motion(tmp_path / "plain.npy")
