"""Motion files that are damaged, odd or missing, of every format: one line that names the file and the fault."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path
from typing import Any

import motion_files
import numpy as np
import pytest
from motion_files import (
    AMC,
    MARKERS,
    TABLE,
    TIMES,
    asf_text,
    bvh_text,
    c3d_file,
    cache_file,
    mot_text,
    poselib_file,
    trc_text,
)

from arnold.errors import UserError
from arnold.motion.readers import read_motion
from arnold.motion.readers.pickled import load_dictionary

pytestmark = pytest.mark.unit

write = motion_files.write  # a fixture

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
