"""How good a retargeted clip is: figures, thresholds and a picture.

The thresholds on ground and tendons are those of MuscleMimic's validation (arXiv 2603.25544, msk_metrics), those on
sites, limits and couplings are ours. `measure` needs nothing but the clip and its body, so it also judges clips made
elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from arnold.checkpoints.durable import reported_writes
from arnold.embodiments import Embodiment
from arnold.motion.clip import Clip
from arnold.motion.ground import ground_contact
from arnold.motion.skeleton import Skeleton, skeleton_of

THRESHOLDS: dict[str, float] = {
    "median site error (m)": 0.03,
    "joint limit violation (rad)": 1e-3,
    "coupling violation (rad)": 1e-3,
    "frames below the ground by 5 mm (share)": 0.01,
    "floating height (m)": 0.025,
    "tendon jump (relative)": 0.05,
}
"""Each figure's largest value that passes."""

DEEP = 0.005  # m
AT_LIMIT = 0.005  # rad or m: nearer than this a joint is at its limit
OFTEN_AT_LIMIT = 0.10  # share of frames from which a joint at its limit is named
TENDON_RATE = 100.0  # Hz, at which the reference's tendon jumps are defined; steps of other rates are scaled
TENDON_SMOOTHING, TENDON_FACTOR, TENDON_LEAST = 0.01, 10.0, 1e-3

PERSON, BODY, RIGHT, GREY = "#D55E00", "#0072B2", "#009E73", "#666666"  # Okabe and Ito's
_BONES = (
    ("pelvis", "spine"),
    ("spine", "head"),
    *(
        (f"{s}_{a}", f"{s}_{b}")
        for s in ("left", "right")
        for a, b in (("shoulder", "elbow"), ("elbow", "wrist"), ("hip", "knee"), ("knee", "ankle"), ("ankle", "toe"))
    ),
    *((f"{s}_hip", "pelvis") for s in ("left", "right")),
    *((f"{s}_shoulder", "spine") for s in ("left", "right")),
)
STICK_FRAMES, DPI, TEXT = 7, 110, 8.0
SHOWN_JOINTS = (
    "hip_flexion",
    "hip_adduction",
    "hip_rotation",
    "knee_angle",
    "ankle_angle",
    "shoulder_elv",
    "elv_angle",
    "elbow_flex",
)


def measure(clip: Clip, body: Embodiment) -> dict[str, Any]:
    """The quality report of a clip, ready for JSON.

    Args:
        clip: of ``body``.
        body: the embodiment.

    Returns:
        figures in metres, radians, seconds and shares of the frames; ``checks`` says of each of `THRESHOLDS` the value
        and whether it passes.

    Raises:
        UserError: where the clip is of another skeleton.
    """
    skeleton = skeleton_of(body)
    clip.fits(skeleton.full, f"body {body.name!r}")
    qpos = clip.qpos.astype(float)
    poses = skeleton.poses(qpos)
    error = _site_errors(clip, skeleton, poses[0])
    limit, at_limit = _limits(clip, skeleton, qpos)
    coupling = _couplings(skeleton, qpos)
    ground = _ground(skeleton, poses)
    jump = tendon_jumps(skeleton.full, qpos, clip.rate)
    every = error[np.isfinite(error)]
    report: dict[str, Any] = {
        "frames": clip.frames,
        "rate_hz": clip.rate,
        "site_error_m": {
            **(_spread(every) if every.size else {}),
            "by_site": {n: _spread(e) for n, e in zip(clip.sites, error.T, strict=True) if np.isfinite(e).any()},
        },
        "joint_limit_violation": {
            "max_rad": float(limit.max(initial=0.0)),
            "share": float((limit.max(axis=1, initial=0.0) > 1e-3).mean()),
        },
        "joints_at_limit": at_limit,
        "coupling_violation": {"max_rad": float(coupling.max(initial=0.0))},
        "ground": ground,
        "foot_sliding_m_s": _sliding(clip, skeleton, qpos),
        "tendon_jump": jump,
        "in_itself_m": _in_itself(skeleton.full, qpos),
        "speed_m_s": _speed(clip, skeleton),
        "largest_joint_speed_rad_s": float(np.abs(clip.qvel[:, 6 if skeleton.root >= 0 else 0 :]).max(initial=0.0)),
    }
    values = {
        "median site error (m)": report["site_error_m"].get("median", 0.0),
        "joint limit violation (rad)": report["joint_limit_violation"]["max_rad"],
        "coupling violation (rad)": report["coupling_violation"]["max_rad"],
        "frames below the ground by 5 mm (share)": ground.get("share_below_5_mm", 0.0),
        "floating height (m)": ground.get("floating_m", 0.0),
        "tendon jump (relative)": jump["max"],
    }
    report["checks"] = {
        name: {"value": float(value), "limit": THRESHOLDS[name], "passes": bool(value <= THRESHOLDS[name])}
        for name, value in values.items()
    }
    return report


def failures(report: Mapping[str, Any]) -> list[str]:
    """One phrase per check that a report fails; the joints at their limits where the body could not follow."""
    found = []
    for name, check in report["checks"].items():
        if not check["passes"]:
            which = f" of {report['tendon_jump']['tendon']}" if name.startswith("tendon") else ""
            found.append(f"{name}{which} {check['value']:.3g} > {check['limit']:g}")
    if found and report["joints_at_limit"]:
        most = sorted(report["joints_at_limit"].items(), key=lambda item: -item[1])[:4]
        found.append("at their limits: " + ", ".join(f"{joint} ({100 * share:.0f} %)" for joint, share in most))
    return found


def draw(clip: Clip, body: Embodiment, path: str | Path) -> Path:
    """A picture of a clip: stick figures over its targets from the side and the front, angles and errors over time.

    Args:
        clip: of ``body``.
        body: the embodiment.
        path: the PNG file.
    """
    skeleton = skeleton_of(body)
    places = skeleton.places(clip.qpos.astype(float))
    figure = Figure(figsize=(11.0, 8.2), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(3, 2, height_ratios=[1.0, 1.1, 0.9])
    shown = np.unique(np.linspace(0, clip.frames - 1, STICK_FRAMES).round().astype(int))
    forward = _forward(skeleton, clip.qpos)
    for column, view in enumerate(("side", "front")):
        axis = figure.add_subplot(grid[0, column])
        _sticks(axis, clip, skeleton, places, shown, forward, view)
    _angles(figure.add_subplot(grid[1, :]), clip, skeleton)
    _errors(figure.add_subplot(grid[2, :]), clip, places)
    handles = [
        Line2D([], [], color=PERSON, marker="o", linestyle=""),
        *(Line2D([], [], color=c) for c in (BODY, RIGHT)),
    ]
    figure.legend(
        handles,
        ["targets", "body, left and middle", "body, right"],
        loc="outside lower center",
        ncols=3,
        fontsize=TEXT,
        frameon=False,
    )
    figure.suptitle(
        f"{clip.name} on {clip.body}: {clip.frames} frames at {clip.rate:g} Hz", fontsize=10, x=0.01, ha="left"
    )
    path = Path(path)
    with reported_writes(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=DPI)
    return path


def _spread(values: np.ndarray) -> dict[str, float]:
    return {"median": float(np.nanmedian(values)), "mean": float(np.nanmean(values)), "max": float(np.nanmax(values))}


def _site_errors(clip: Clip, skeleton: Skeleton, places: np.ndarray) -> np.ndarray:
    """(T, S) m; NaN where there is no target."""
    if not clip.sites or not clip.targets.size:
        return np.zeros((clip.frames, 0))
    ids = [skeleton.full.body(skeleton.map.keypoints[site]).id for site in clip.sites]
    return np.linalg.norm(places[:, ids] - clip.targets, axis=-1)


def _limits(clip: Clip, skeleton: Skeleton, qpos: np.ndarray) -> tuple[np.ndarray, dict[str, float]]:
    """By how much joints are beyond their limits (T, J), and the share of frames that leaders are at theirs."""
    model = skeleton.full
    limited = [j for j in range(model.njnt) if model.jnt_limited[j] and int(model.jnt_type[j]) in (2, 3)]
    at = qpos[:, model.jnt_qposadr[limited]]
    low, high = model.jnt_range[limited].T
    beyond = np.maximum(np.maximum(low - at, at - high), 0.0)
    shares = {}
    for j in limited:
        a = int(model.jnt_qposadr[j])
        lower, upper = skeleton.lower[a], skeleton.upper[a]
        near = ((qpos[:, a] < lower + AT_LIMIT) | (qpos[:, a] > upper - AT_LIMIT)).mean()
        moves = np.ptp(qpos[:, a]) > AT_LIMIT or abs(qpos[0, a] - model.qpos0[a]) > AT_LIMIT
        if np.isfinite(lower) and moves and near >= OFTEN_AT_LIMIT:  # a joint that rests at its limit is at rest
            shares[model.joint(j).name] = float(near)
    return beyond, shares


def _couplings(skeleton: Skeleton, qpos: np.ndarray) -> np.ndarray:
    """(T, C) rad or m: how far followers are from where their leaders put them."""
    rest, off = skeleton.full.qpos0, []
    for c in skeleton.couplings:
        along = qpos[:, c.leader] - rest[c.leader] if c.leader >= 0 else 0.0
        led = rest[c.follower] + np.polynomial.polynomial.polyval(along, c.coefficients)
        off.append(np.abs(qpos[:, c.follower] - led))
    return np.stack(off, axis=-1) if off else np.zeros((len(qpos), 0))


def _ground(skeleton: Skeleton, poses: tuple[np.ndarray, np.ndarray]) -> dict[str, float]:
    """Penetration and floating; nothing for a body whose base is fixed."""
    if skeleton.root < 0 or not len(skeleton.lowest.body):
        return {}
    lowest = skeleton.heights(poses).min(axis=1)
    return {
        "share_below_5_mm": float((lowest < -DEEP).mean()),
        "deepest_m": float(max(0.0, -lowest.min())),
        "floating_m": float(max(0.0, lowest.min())),
        "median_height_m": float(np.median(lowest)),
    }


def _sliding(clip: Clip, skeleton: Skeleton, qpos: np.ndarray) -> dict[str, float]:
    """Horizontal speed of the lowest parts of the feet while they are on the ground, m/s."""
    if not clip.contacts or not clip.contact.any():
        return {}
    columns = [skeleton.map.touches.index(site) for site in clip.contacts]
    every = ground_contact(skeleton, qpos, clip.rate)[1][:, columns][clip.contact]
    return {"mean": float(every.mean()), "median": float(np.median(every))}


def touching_itself(model: mujoco.MjModel, data: mujoco.MjData) -> list[int]:
    """The contacts of a pose in which a part of the body is in another, which neither the floor nor the room is.

    Args:
        model: of the body.
        data: with ``qpos`` set; kinematics and contacts are computed in it.
    """
    mujoco.mj_kinematics(model, data)
    mujoco.mj_comPos(model, data)
    mujoco.mj_collision(model, data)
    if not data.ncon:
        return []
    of_the_body = model.geom_bodyid[data.contact.geom].all(axis=1)  # 0 is the world
    return [int(contact) for contact in np.flatnonzero(of_the_body & (data.contact.dist < 0.0))]


def _in_itself(model: mujoco.MjModel, qpos: np.ndarray) -> dict[str, Any]:
    """How deep parts that collide are in each other: the deepest, and the MJCF bodies that are so."""
    data, deepest, parts = mujoco.MjData(model), 0.0, ""
    for pose in qpos:
        data.qpos = pose
        for contact in touching_itself(model, data):
            if -data.contact.dist[contact] > deepest:
                deepest = -float(data.contact.dist[contact])
                bodies = model.geom_bodyid[data.contact.geom[contact]]
                parts = " and ".join(model.body(body).name for body in bodies)
    return {"max": deepest, "parts": parts}


def tendon_jumps(model: mujoco.MjModel, qpos: np.ndarray, rate: float) -> dict[str, Any]:
    """The largest relative step of a tendon's length that sticks out of its usual steps, with the tendon's name.

    Ligaments are short and count too; ``muscles`` is the largest among tendons that a muscle pulls.
    """
    if not model.ntendon or len(qpos) < 3:
        return {"max": 0.0, "tendon": "", "muscles": 0.0}
    data = mujoco.MjData(model)
    lengths = np.empty((len(qpos), model.ntendon))
    for frame, q in enumerate(qpos):
        data.qpos[:] = q
        mujoco.mj_kinematics(model, data)
        mujoco.mj_comPos(model, data)
        mujoco.mj_tendon(model, data)
        lengths[frame] = data.ten_length
    steps = np.abs(np.diff(lengths, axis=0)) / np.maximum(np.abs(lengths[:-1]), 1e-6) * rate / TENDON_RATE
    usual, largest = steps[0].copy(), np.zeros(model.ntendon)
    for step in steps[1:]:
        jumps = step > np.maximum(TENDON_FACTOR * usual, TENDON_LEAST)
        largest = np.maximum(largest, np.where(jumps, step, 0.0))
        usual += TENDON_SMOOTHING * (step - usual)
    pulled = model.actuator_trnid[model.actuator_trntype == mujoco.mjtTrn.mjTRN_TENDON, 0]
    name = model.tendon(int(largest.argmax())).name if largest.any() else ""
    return {"max": float(largest.max()), "tendon": name, "muscles": float(largest[pulled].max(initial=0.0))}


def _speed(clip: Clip, skeleton: Skeleton) -> float:
    """Mean horizontal speed of the root, m/s."""
    if skeleton.root < 0:
        return 0.0
    path = clip.qpos[:, skeleton.root : skeleton.root + 2].astype(float)
    return float(np.linalg.norm(np.diff(path, axis=0), axis=-1).sum() / clip.duration)


def _forward(skeleton: Skeleton, qpos: np.ndarray) -> np.ndarray:
    """The direction of view for the pictures: horizontal, where the clip travels, or faces where it stays."""
    facing = skeleton.rest_heading.apply([1.0, 0.0, 0.0])[:2]
    if skeleton.root >= 0:
        way = (qpos[-1] - qpos[0])[skeleton.root : skeleton.root + 2].astype(float)
        if np.linalg.norm(way) > 0.3:
            return np.asarray(way / np.linalg.norm(way))
        facing = np.array([1.0, 0.0])
    return np.asarray(facing)


def _sticks(
    axis: Axes, clip: Clip, skeleton: Skeleton, places: np.ndarray, shown: np.ndarray, forward: np.ndarray, view: str
) -> None:
    """Several frames side by side; from the side they stand where they are, where the clip travels far enough."""
    sideways = np.array([-forward[1], forward[0]])
    across = forward if view == "side" else -sideways  # from the front, the body's right is on our left
    names = skeleton.keypoints
    travels = np.ptp(places[shown, 0, :2] @ forward) if view == "side" else 0.0
    gap = 0.0 if travels > 0.6 * (len(shown) - 1) else 0.8
    for k, frame in enumerate(shown):
        here = places[frame, :, :2] @ across
        middle = here.mean() if gap else 0.0
        x, z = here - middle + gap * k, places[frame, :, 2]
        for a, b in _BONES:
            if a in names and b in names:
                i, j = names.index(a), names.index(b)
                axis.plot(x[[i, j]], z[[i, j]], color=RIGHT if "right" in a else BODY, linewidth=1.6)
        wanted = clip.targets[frame]
        axis.plot(wanted[:, :2] @ across - middle + gap * k, wanted[:, 2], "o", color=PERSON, markersize=2.6)
    if skeleton.root >= 0:
        axis.axhline(skeleton.ground, color=GREY, linewidth=0.8)
    axis.set_aspect("equal", adjustable="datalim")
    seconds = ", ".join(f"{frame / clip.rate:.2f}" for frame in shown)
    told = f"{view} view, at {seconds} s"
    _plain(axis, told)


def _angles(axis: Axes, clip: Clip, skeleton: Skeleton) -> None:
    colours = ("#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#D55E00", "#666666")
    seconds = np.arange(clip.frames) / clip.rate
    for colour, stem in zip(colours, SHOWN_JOINTS, strict=True):
        for side, style in (("r", "-"), ("l", "--")):
            joint = f"{stem}_{side}"
            if joint in clip.joints:
                address = int(skeleton.full.jnt_qposadr[clip.joints.index(joint)])
                label = stem if side == "r" else None
                axis.plot(seconds, np.degrees(clip.qpos[:, address]), style, color=colour, linewidth=1.1, label=label)
    axis.set_ylabel("degrees", fontsize=TEXT)
    axis.legend(fontsize=TEXT - 1, ncols=8, frameon=False, loc="upper right")
    _plain(axis, "joint angles: right solid, left dashed")


def _errors(axis: Axes, clip: Clip, places: np.ndarray) -> None:
    seconds = np.arange(clip.frames) / clip.rate
    error = 100.0 * np.linalg.norm(places - clip.targets, axis=-1)
    for name, values in zip(clip.sites, error.T, strict=True):
        if np.isfinite(values).any():
            axis.plot(seconds, values, color=GREY, alpha=0.35, linewidth=0.7)
            if np.nanmax(values) > 3.0:
                worst = int(np.nanargmax(values))
                axis.annotate(name, (seconds[worst], values[worst]), fontsize=TEXT - 1, color=GREY)
    known = np.isfinite(error).any(axis=1)
    if known.any():
        axis.plot(seconds[known], np.nanmedian(error[known], axis=1), color=PERSON, linewidth=1.8)
    axis.axhline(100 * THRESHOLDS["median site error (m)"], color=GREY, linestyle=":", linewidth=0.9)
    for c, site in enumerate(clip.contacts):
        on = np.flatnonzero(clip.contact[:, c])
        axis.plot(
            seconds[on],
            np.full(len(on), -0.35 - 0.35 * c),
            "s",
            markersize=1.8,
            color=RIGHT if site.endswith("r") or site.startswith("r_") else BODY,
        )
    axis.set_ylabel("cm", fontsize=TEXT)
    axis.set_xlabel("time (s)", fontsize=TEXT)
    _plain(axis, "distance to the targets: median (thick) and each; below, ground contact of feet and toes")


def _plain(axis: Axes, title: str) -> None:
    axis.spines[["top", "right"]].set_visible(False)
    axis.tick_params(labelsize=TEXT)
    axis.set_title(title, loc="left", fontsize=TEXT)
