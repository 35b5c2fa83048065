"""Retargeting: a person's motion made into a clip of one body.

From keypoints: the person's limbs are scaled to the body's (`arnold.motion.scaling`), then each frame is solved by
inverse kinematics (mink on `arnold.motion.skeleton`), begun where the last one ended. From joint angles: the angles are
the body's own (`arnold.motion.angles`). Then the feet are put on the ground (`arnold.motion.ground`), which takes a
second solution near the first; and the motion is smoothed (a Butterworth low-pass filter of second order, run forwards
and backwards, so that nothing is delayed), put exactly onto the body's couplings and limits, and eased where muscles
could not follow (`arnold.motion.easing`).
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Collection

import mink
import mujoco
import numpy as np
from scipy.interpolate import CubicSpline
from scipy.signal import butter, sosfiltfilt
from scipy.spatial.transform import Rotation, Slerp
from threadpoolctl import threadpool_limits

from arnold.embodiments import Embodiment, embodiment
from arnold.errors import UserError
from arnold.motion.activations import static_activations
from arnold.motion.apart import legs_apart
from arnold.motion.clip import Clip, velocities
from arnold.motion.easing import eased
from arnold.motion.ground import belt_velocity, ground_contact, lifted_clear, with_feet_on_the_ground, with_toes_flat
from arnold.motion.motion import Motion
from arnold.motion.quality import measure
from arnold.motion.resampling import resampled
from arnold.motion.scaling import Targets, needed_keypoints, targets
from arnold.motion.skeleton import Skeleton, skeleton_of

HIGHEST_RATE = 100.0  # frames per second that are solved where no rate is asked for
LONGEST = 200_000  # frames; half an hour at 100 Hz. A session of hours is no clip
LONGEST_GAP_S = 0.25  # of a keypoint that is not seen
FASTEST = 10.0  # m/s: half of a person's keypoints are never faster
REPEATED = 1e-5  # m: a frame in which no keypoint moves by more is the one before again
# Of the low-pass filter. Walking has nearly all its power below 6 Hz (Winter et al. 1974, J Biomech 7, 157).
CUTOFF_HZ = 8.0
PLACE_COST = {"spine": 0.5, "head": 0.3, "shoulder": 0.5, "wrist": 1.5, "toe": 0.6}  # others 1
TURN_COST = {"pelvis": 0.3, "spine": 0.3, "wrist": 0.05}  # m per rad
POSTURE_COST = 0.02  # m per rad, of joints with a range of 2 rad, towards the rest pose: decides what keypoints do not
DAMPING = 1e-4
SETTLING = 20  # frames at the start that are solved three times
FIRST_STEPS, STEPS, SMALL_STEP = 60, 6, 2e-3  # Newton steps of the first frame and of others; rad at which they end


def retarget(
    motion: Motion,
    body: Embodiment | str,
    rate: float = 0.0,
    *,
    scale_limbs: bool = True,
    cutoff: float = CUTOFF_HZ,
) -> Clip:
    """A motion as a clip of ``body``.

    Args:
        motion: of a person; its angles are used where the body has joints for them, its keypoints otherwise.
        body: an embodiment or its name.
        rate: frames per second of the clip; by default the motion's, divided by the whole number that brings it to
            100 or less.
        scale_limbs: scale each limb by itself rather than the person as a whole.
        cutoff: Hz, of the low-pass filter; 0 leaves the motion as it is solved.

    Returns:
        the clip, with its quality report in `Clip.quality`.

    Raises:
        UserError: where the motion has a rate of 0, a number that is not finite, too many frames, or not the keypoints
            or angles that the body needs.

    Example:
        >>> clip = retarget(read_motion("walk.bvh"), "kinesis_legs", rate=30)
        >>> clip.quality["site_error_m"]["median"], clip.save("clips/walk.npz")
    """
    body = embodiment(body) if isinstance(body, str) else body
    skeleton = skeleton_of(body)
    motion = _at_rate(checked(_without_repeats(_without_rest_pose(motion)), skeleton), rate)
    if _by_angles(motion, skeleton):
        from arnold.motion.angles import follow_angles

        first, goal = follow_angles(motion, skeleton)
    else:
        goal = targets(motion, skeleton, scale_limbs)
        first = solve(skeleton, goal)
    belt = belt_velocity(skeleton, first, motion.rate)
    first, goal = _moved_on(skeleton, first, goal, -belt / motion.rate)
    first, goal, spread = legs_apart(skeleton, first, goal, motion.rate)
    # Toes first: how deep a foot goes depends on them.
    grounded, moved = with_feet_on_the_ground(skeleton, goal, with_toes_flat(skeleton, first), motion.rate)
    qpos = with_toes_flat(skeleton, solve(skeleton, grounded, near=_raised(skeleton, first, moved)))
    qpos = eased(skeleton, skeleton.obey(_smoothed(skeleton, qpos, motion.rate, cutoff)), motion.rate)
    qpos, lift = lifted_clear(skeleton, qpos, motion.rate)
    places = np.full((motion.frames, len(skeleton.keypoints), 3), np.nan)
    for k, name in enumerate(skeleton.keypoints):
        if name in grounded.places:
            places[:, k] = grounded.places[name]
            places[:, k, 2] += lift
    qpos = qpos.astype(np.float32).astype(float)
    clip = Clip(
        name=motion.name,
        body=body.name,
        rate=motion.rate,
        joints=tuple(skeleton.full.joint(j).name for j in range(skeleton.full.njnt)),
        qpos=qpos.astype(np.float32),
        qvel=velocities(skeleton.full, qpos, motion.rate),
        sites=skeleton.keypoints,
        targets=places.astype(np.float32),
        contacts=skeleton.map.touches,
        contact=ground_contact(skeleton, qpos, motion.rate)[0],
        source=motion.source,
        subject=motion.subject,
    )
    quality = {**measure(clip, body), "treadmill_m_s": float(np.linalg.norm(belt)), "spread_rad": spread}
    return _with_activations(skeleton, dataclasses.replace(clip, quality=quality))


def _with_activations(skeleton: Skeleton, clip: Clip) -> Clip:
    """The clip with the activations that would move the body so, where muscles alone move it."""
    model = skeleton.full
    if (model.actuator_dyntype != int(mujoco.mjtDyn.mjDYN_MUSCLE)).any():
        return clip
    feet = dict.fromkeys(model.body(model.site(site).bodyid[0]).name for site in skeleton.map.touches)
    activation, missing = static_activations(model, clip, tuple(feet))
    force = {"median": float(np.median(missing)), "max": float(missing.max())}
    return dataclasses.replace(clip, activation=activation, quality={**clip.quality, "force_missing_n": force})


def checked(motion: Motion, skeleton: Skeleton) -> Motion:
    """The motion with short gaps of its keypoints filled.

    Raises:
        UserError: what is wrong with it, with the frame.
    """
    what = f"motion {motion.name!r}"
    if not (np.isfinite(motion.rate) and motion.rate > 0):
        raise UserError(f"{what} has a rate of {motion.rate!r} frames per second; a number above 0 is accepted")
    if not motion.keypoints and not motion.angles:
        raise UserError(f"{what} has neither keypoints nor joint angles; at least one of them is needed")
    if motion.frames < 4:
        raise UserError(f"{what} has {motion.frames} frames; at least 4 are accepted")
    for kind in ("angles", "orientations"):
        for name, values in getattr(motion, kind).items():
            bad = np.flatnonzero(~np.isfinite(np.asarray(values, float)).reshape(motion.frames, -1).all(axis=1))
            if len(bad):
                raise UserError(
                    f"{what} has {kind[:-1]} {name!r} that is not finite at frame {bad[0]} (of {motion.frames})"
                )
    filled = {}
    for name, points in motion.keypoints.items():
        points = np.asarray(points, float)
        known = np.isfinite(points).all(axis=-1)
        gap = _longest_gap(known)
        if known.sum() >= 4 and (gap[1] <= LONGEST_GAP_S * motion.rate or name not in needed_keypoints(skeleton)):
            filled[name] = _filled(points, known, int(LONGEST_GAP_S * motion.rate))
        elif name in needed_keypoints(skeleton) and not _by_angles(motion, skeleton):
            raise UserError(
                f"{what} does not know its {name} from frame {gap[0]} on for {gap[1]} frames (of {motion.frames}); "
                f"gaps of {LONGEST_GAP_S} s are filled: cut it with --start and --stop, or fill the gap in the file"
            )
    return dataclasses.replace(motion, keypoints=filled)


@threadpool_limits.wrap(limits=1, user_api="blas")  # threads cost more than they give on matrices of this size
def solve(
    skeleton: Skeleton, goal: Targets, *, near: np.ndarray | None = None, free: Collection[int] | None = None
) -> np.ndarray:
    """Inverse kinematics, frame after frame: qpos (T, nq) on the body's couplings and within its limits.

    Args:
        skeleton: the body's.
        goal: where its keypoints should be.
        near: (T, nq): poses to begin at and to stay near in what the keypoints do not decide; by default each frame
            begins at the one before and stays near the rest pose.
        free: the degrees of freedom of the skeleton's model that are solved for, all others being as in ``near``; all
            by default.
    """
    model = skeleton.model
    configuration = mink.Configuration(model)
    tasks = {name: _frame_task(skeleton, goal, name) for name in goal.places if name in skeleton.keypoints}
    posture = mink.PostureTask(model, cost=_posture_costs(skeleton))
    posture.set_target(skeleton.to_bones(skeleton.obey(skeleton.full.qpos0)))
    exact: list[mink.Task] = [mink.EqualityConstraintTask(model, cost=1.0)] if model.neq else []
    if free is not None:
        exact.append(mink.DofFreezingTask(model, _held(model, free)))
    limits = [mink.ConfigurationLimit(model)]
    qpos = np.empty((len(goal.heading), skeleton.full.nq))
    pose = _first_guess(skeleton, goal) if near is None else near[0]
    begun = False
    # Forwards and back first: an arm that hangs straight down at the start does not tell which way it will rise.
    again = range(min(len(qpos), SETTLING)) if near is None or free is not None else ()
    for frame in (*again, *reversed(again), *range(len(qpos))):
        known = [_aim(tasks[n], goal, n, frame) for n in tasks if np.isfinite(goal.places[n][frame]).all()]
        if near is not None:
            pose = skeleton.obey(near[frame] if free is None else _guided(skeleton, pose, near[frame], free))
            if free is None:
                posture.set_target(skeleton.to_bones(pose))
        for _ in range(STEPS if begun else FIRST_STEPS):
            bones = skeleton.to_bones(pose)
            configuration.update(bones)
            step = mink.solve_ik(
                configuration, [*known, posture], 1.0, "daqp", DAMPING, False, limits=limits, constraints=exact
            )
            mujoco.mj_integratePos(model, bones, step, 1.0)
            pose = skeleton.obey(skeleton.from_bones(bones, pose))
            if np.abs(step).max() < SMALL_STEP:
                break
        qpos[frame], begun = pose, True
    return qpos


def _without_rest_pose(motion: Motion) -> Motion:
    """The motion without a first frame from which all leaps: many files begin with their skeleton's rest pose."""
    points = [np.asarray(p, float) for p in motion.keypoints.values()]
    if motion.frames < 6 or not points or not (np.isfinite(motion.rate) and motion.rate > 0):
        return motion
    leap, later = (np.nanmedian([np.linalg.norm(p[k + 1] - p[k]) for p in points]) for k in (0, 1))
    if not (leap * motion.rate > FASTEST and leap > 5.0 * later):
        return motion
    return dataclasses.replace(
        motion,
        keypoints={n: v[1:] for n, v in motion.keypoints.items()},
        orientations={n: v[1:] for n, v in motion.orientations.items()},
        angles={n: v[1:] for n, v in motion.angles.items()},
    )


def _without_repeats(motion: Motion) -> Motion:
    """The motion with frames that only repeat the one before drawn from their neighbours.

    A file made of a slower recording often repeats its frames to reach the rate that it states.
    """
    if motion.frames < 8 or not motion.keypoints:
        return motion
    points = np.stack([np.asarray(p, float) for p in motion.keypoints.values()], axis=1)
    steps = np.linalg.norm(np.diff(points, axis=0), axis=-1)
    repeats = np.concatenate([[False], np.nan_to_num(steps, nan=1.0).max(axis=1) < REPEATED])
    repeats[-1] = False
    lone = repeats[1:-1] & ~repeats[:-2] & ~repeats[2:]  # a person who stands still repeats many in a row
    if lone.mean() < 0.25:
        return motion
    kept = np.flatnonzero(~repeats)
    every = np.arange(motion.frames)

    def drawn(values: np.ndarray) -> np.ndarray:
        return np.asarray(CubicSpline(kept, np.asarray(values, float)[kept], axis=0)(every))

    return dataclasses.replace(
        motion,
        keypoints={n: p if np.isnan(p).any() else drawn(p) for n, p in motion.keypoints.items()},
        angles={n: drawn(a) for n, a in motion.angles.items()},
        orientations={
            n: Slerp(kept, Rotation.from_quat(np.asarray(q, float)[kept], scalar_first=True))(every).as_quat(
                scalar_first=True
            )
            for n, q in motion.orientations.items()
        },
    )


def _by_angles(motion: Motion, skeleton: Skeleton) -> bool:
    """Whether the motion is told in angles for which the body has joints."""
    return bool(motion.angles) and not set(needed_keypoints(skeleton)) <= set(motion.keypoints)


def _longest_gap(known: np.ndarray) -> tuple[int, int]:
    """First frame and length of the longest run of frames that are not known."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], ~known, [False]]).astype(int))).reshape(-1, 2)
    return max(((int(a), int(b - a)) for a, b in edges), key=lambda run: run[1], default=(0, 0))


def _filled(points: np.ndarray, known: np.ndarray, longest: int) -> np.ndarray:
    """Gaps of up to ``longest`` frames drawn straight; longer ones stay unknown."""
    at = np.arange(len(points))
    filled = np.stack([np.interp(at, at[known], points[known, i]) for i in range(3)], axis=-1)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], ~known, [False]]).astype(int))).reshape(-1, 2)
    for a, b in edges:
        if b - a > max(longest, 1):
            filled[a:b] = np.nan
    return filled


def _at_rate(motion: Motion, rate: float) -> Motion:
    """The motion at another rate: cubic splines, spherical-linear for turns."""
    if rate < 0 or not np.isfinite(rate):
        raise UserError(f"a clip's rate was given as {rate!r} frames per second; a number above 0 is accepted")
    wanted = rate or motion.rate / np.ceil(motion.rate / HIGHEST_RATE - 1e-9)
    frames = int(np.floor(motion.duration * wanted + 1e-6)) + 1
    if frames > LONGEST:
        raise UserError(
            f"motion {motion.name!r} would be a clip of {frames:,} frames ({motion.duration / 60:.0f} minutes); up to "
            f"{LONGEST:,} are accepted: cut it with --start and --stop, in seconds"
        )
    if abs(wanted - motion.rate) < 1e-9:
        return motion
    if frames < 4:
        raise UserError(
            f"motion {motion.name!r} lasts {motion.duration:.3f} s, {frames} frames at {wanted:g} Hz; 4 are needed"
        )
    return resampled(motion, wanted)


def _joint_of(point: str) -> str:
    return point.rpartition("_")[2]


def _frame_task(skeleton: Skeleton, goal: Targets, name: str) -> mink.FrameTask:
    kind = _joint_of(name)
    place = PLACE_COST.get(kind, 1.0)
    turn = TURN_COST.get(kind, 0.0) if name in goal.turns else 0.0
    return mink.FrameTask(skeleton.map.keypoints[name], "body", place, turn, lm_damping=1e-3)


def _aim(task: mink.FrameTask, goal: Targets, name: str, frame: int) -> mink.FrameTask:
    turn = goal.turns[name][frame] if name in goal.turns else np.eye(3)
    task.set_target(mink.SE3.from_rotation_and_translation(mink.SO3.from_matrix(turn), goal.places[name][frame]))
    return task


def _moved_on(skeleton: Skeleton, qpos: np.ndarray, goal: Targets, step: np.ndarray) -> tuple[np.ndarray, Targets]:
    """A motion and its targets moved on by ``step`` (2,) m per frame: off the treadmill."""
    if not step.any():
        return qpos, goal
    way = np.arange(len(qpos))[:, None] * step
    moved = qpos.copy()
    moved[:, skeleton.root : skeleton.root + 2] += way
    across = np.concatenate([way, np.zeros((len(way), 1))], axis=-1)
    return moved, dataclasses.replace(goal, places={name: points + across for name, points in goal.places.items()})


def _raised(skeleton: Skeleton, qpos: np.ndarray, lift: np.ndarray) -> np.ndarray:
    """A motion lifted by (T,) m."""
    raised = qpos.copy()
    if skeleton.root >= 0:
        raised[:, skeleton.root + 2] += lift
    return raised


def _held(model: mujoco.MjModel, free: Collection[int]) -> list[int]:
    """Degrees of freedom to hold still: all but those that are free, and followers, which go where they are led."""
    followers = {int(model.jnt_dofadr[model.eq_obj1id[e]]) for e in range(model.neq)}
    return [d for d in range(model.nv) if d not in free and d not in followers]


def _guided(skeleton: Skeleton, start: np.ndarray, guide: np.ndarray, free: Collection[int]) -> np.ndarray:
    """The guide's pose, with what is free as it was in the frame before."""
    bones, before, model = skeleton.to_bones(guide).copy(), skeleton.to_bones(start), skeleton.model
    for j in range(model.njnt):
        if int(model.jnt_dofadr[j]) in free:
            bones[model.jnt_qposadr[j]] = before[model.jnt_qposadr[j]]
    return skeleton.from_bones(bones, guide)


def _posture_costs(skeleton: Skeleton) -> np.ndarray:
    """(nv,) of the bones' model: more for joints of narrow range, nothing for followers."""
    model = skeleton.model
    costs = np.full(model.nv, POSTURE_COST)
    followers = {int(model.eq_obj1id[e]) for e in range(model.neq)}
    for j in range(model.njnt):
        if j in followers:
            costs[model.jnt_dofadr[j]] = 0.0
        elif model.jnt_limited[j]:
            costs[model.jnt_dofadr[j]] *= np.clip(2.0 / np.ptp(model.jnt_range[j]), 1.0, 5.0)
    return costs


def _first_guess(skeleton: Skeleton, goal: Targets) -> np.ndarray:
    """The rest pose put where the pelvis should be, facing where the person faces."""
    rest = skeleton.full.qpos0
    with np.errstate(
        invalid="ignore"
    ):  # straight knees and hanging arms are at their limits, where a step leads nowhere
        inside = np.clip(rest, *((1 - w) * skeleton.lower + w * skeleton.upper for w in (0.1, 0.9)))
    start = np.where(np.isfinite(inside), inside, rest)
    if skeleton.root >= 0:
        turn = Rotation.from_quat(rest[skeleton.root + 3 : skeleton.root + 7], scalar_first=True)
        turn = Rotation.from_euler("z", goal.heading[0]) * skeleton.rest_heading.inv() * turn
        start[skeleton.root + 3 : skeleton.root + 7] = turn.as_quat(scalar_first=True)
        start[skeleton.root : skeleton.root + 3] = next(iter(goal.places.values()))[0]
    return skeleton.obey(start)


def _smoothed(skeleton: Skeleton, qpos: np.ndarray, rate: float, cutoff: float) -> np.ndarray:
    """A zero-phase Butterworth low-pass filter of second order over every number of qpos."""
    if not cutoff or cutoff >= 0.45 * rate:
        return qpos
    values = qpos.copy()
    if skeleton.root >= 0:  # a quaternion and its negative are one turn: keep to one side
        turn = values[:, skeleton.root + 3 : skeleton.root + 7]
        flips = np.sign(np.sum(turn[1:] * turn[:-1], axis=1))
        turn[1:] *= np.cumprod(np.where(flips < 0, -1.0, 1.0))[:, None]
    sections = butter(2, cutoff, fs=rate, output="sos")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.asarray(sosfiltfilt(sections, values, axis=0, padlen=min(len(values) - 1, int(rate / cutoff * 3))))
