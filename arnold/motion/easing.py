"""A motion that muscles can make: of all ways to be where a person's joints are, one that a body can be moved along.

Where an arm hangs, the plane in which it is raised hardly matters for where the elbow is, and noise of a millimetre
turns it at several radians per second. The models of the shoulder damp that turn with moments that no muscle has there,
so that a controller lags behind by half a turn. The trajectory is therefore chosen as a whole, which minimises::

    sum |x(q) - x(q0)|^2 / CLOSE^2  +  sum ((I ddq + d dq) / (SHARE s))^2  +  POSTURE^2 sum |q - q0|^2
      +  sum p(q)^2 / INSIDE^2  +  sum b(q)^2 / BEYOND^2

over the arms' joints q that follow no other: x the keypoints' places, q0 the motion as it was solved, p how deep the
body's parts are in each other where they collide (an arm that hangs is easily in a model's chest, where no muscle can
hold it), b how far joints are beyond their limits (what is left of it is cut off at the end), I and d the inertia and
the damping about a joint and what follows it, s its muscles' isometric strength in that pose, in the direction in which
it is less; before the first frame and after the last the motion goes on with the velocity that it has there. What would
make a tendon jump from one side of a bone to the other is eased less, or not at all.
"""

from __future__ import annotations

import dataclasses

import mujoco
import numpy as np
from scipy import sparse
from scipy.sparse.linalg import spsolve

from arnold.embodiments.moments import independent_dofs, independent_velocities
from arnold.motion.activations import muscles_and_need
from arnold.motion.quality import THRESHOLDS, tendon_jumps, touching_itself
from arnold.motion.skeleton import Skeleton

CLOSE = 0.01  # m
SHARES = (0.1, 0.2, 0.5)  # of the strength: what weighs as much as CLOSE; the next where tendons would jump
POSTURE = 0.3  # per rad
INSIDE = 0.001  # m
LEAST_STRENGTH = 2.0  # N m
EASY = 0.1  # of the strength: where damping never takes more, a motion is left as it is
ROUNDS = 3  # times that strength and inertia are taken anew, where the joints have come to
STEPS, TRIES, SMALL_STEP = 15, 6, 2e-3  # Levenberg-Marquardt steps, of shorter ones for each; rad at which they end
DAMPED = 8.0  # by how much the damping of steps grows and shrinks
BEYOND = 0.01  # rad beyond a limit: what weighs as much as CLOSE
MOVES = 0.01  # rad: a joint that turns less does not move
STILL = 1e-6  # m per rad: a contact that a joint changes by no more is not one of its arm
PIECE, OVERLAP = 1000, 100  # frames that are solved at once, and beyond them
REACH = 2  # frames: what muscles are asked for is made of a pose, the one before and the one after


def eased(skeleton: Skeleton, qpos: np.ndarray, rate: float) -> np.ndarray:
    """The motion with arms where muscles could not follow turned less, and out of other parts of the body.

    Args:
        skeleton: of the body.
        qpos: (T, nq) finite, T > 1, on the body's couplings.
        rate: frames per second.

    Returns:
        (T, nq) within the body's limits and on its couplings; the same array for a body without muscles or arms, where
        damping asks for little and no arm is in another part, and where muscles' tendons would jump whatever the share.
    """
    model = skeleton.full
    if not model.nu or (model.actuator_dyntype != int(mujoco.mjtDyn.mjDYN_MUSCLE)).any():
        return qpos
    arms = _Arms.of(skeleton, qpos)
    if not len(arms.columns):
        return qpos
    inertia, damping = arms.resistance(qpos)
    easy = (np.abs(damping * np.gradient(qpos[:, arms.address], 1.0 / rate, axis=0)) < EASY).all()
    if easy and not len(arms.at(qpos).depths):
        return qpos
    jump = max(THRESHOLDS["tendon jump (relative)"], tendon_jumps(model, qpos, rate)["muscles"])
    for share in SHARES:
        easier, resistance = qpos, (inertia, damping)
        for done in range(ROUNDS):
            easier = _in_pieces(arms, qpos, easier, _asked(*resistance, rate) / share)
            if done < ROUNDS - 1:
                resistance = arms.resistance(easier)
        if tendon_jumps(model, easier, rate)["muscles"] <= jump:
            return easier
    return qpos


def _asked(inertia: np.ndarray, damping: np.ndarray, rate: float) -> np.ndarray:
    """(3, T, n): what the pose before, at and after a frame contributes to the share of strength that it asks."""
    before, after = (inertia * rate**2 + way * damping * rate / 2.0 for way in (-1.0, 1.0))
    return np.stack([before, -2.0 * inertia * rate**2, after])


def _in_pieces(arms: _Arms, qpos: np.ndarray, begun: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """The easiest trajectory near ``qpos`` (T, nq), however long; ``begun`` and ``asked`` as for `_solved`."""
    result = begun
    for first in range(0, len(qpos), PIECE):
        known = min(first, REACH)
        piece = slice(first - known, min(first + PIECE + OVERLAP, len(qpos)))
        solved = _solved(arms, qpos[piece], result[piece], asked[:, piece], known)
        result = np.concatenate([result[: piece.start], solved, result[piece.stop :]])
    return result


@dataclasses.dataclass(frozen=True, eq=False)
class _Poses:
    """What poses (T, nq) are like, and how that changes with the n joints.

    Attributes:
        places: (T, 3 K) m, the keypoints'.
        moving: (T, 3 K, n), the places' derivatives.
        depths: (C,) m, of all frames' contacts with an arm: how deep one part is in another.
        deepening: (C, T n), the depths' derivatives.
    """

    places: np.ndarray
    moving: np.ndarray
    depths: np.ndarray
    deepening: sparse.coo_array


@dataclasses.dataclass(frozen=True, eq=False)
class _Arms:
    """The n joints that may be changed.

    Attributes:
        skeleton: of the body.
        data: to compute with.
        columns: (n,) of independent velocities.
        address: (n,) in qpos.
        bodies: (K,) ids of the keypoints' MJCF bodies.
    """

    skeleton: Skeleton
    data: mujoco.MjData
    columns: np.ndarray
    address: np.ndarray
    bodies: np.ndarray

    @classmethod
    def of(cls, skeleton: Skeleton, qpos: np.ndarray) -> _Arms:
        """Of the arms, those that follow no other, and carry a keypoint or move in qpos (T, nq): fingers do neither."""
        model, found = skeleton.full, []
        carrying = {model.body(part).id for part in skeleton.map.keypoints.values()}
        for _ in range(model.nbody):
            carrying |= {int(model.body_parentid[body]) for body in carrying}
        for column, dof in enumerate(independent_dofs(model)):
            joint = int(model.dof_jntid[dof])
            address = int(model.jnt_qposadr[joint])
            counts = int(model.jnt_bodyid[joint]) in carrying or np.ptp(qpos[:, address]) > MOVES
            if counts and model.joint(joint).name in skeleton.free_joints and skeleton.of_an_arm(joint):
                found.append((column, address))
        columns, addresses = np.array(found, int).reshape(-1, 2).T
        bodies = np.array([model.body(part).id for part in skeleton.map.keypoints.values()])
        return cls(skeleton, mujoco.MjData(model), columns, addresses, bodies)

    def resistance(self, qpos: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What the joints oppose to being moved, by their muscles' strength: inertia (T, n) s^2/rad, damping s/rad."""
        model, data = self.skeleton.full, self.data
        inertia, damping = np.zeros((2, len(qpos), len(self.columns)))
        mass = np.zeros((model.nv, model.nv))
        every = independent_velocities(model, qpos)[..., self.columns]
        for frame, (pose, free) in enumerate(zip(qpos, every, strict=True)):
            data.qpos, data.qvel, data.qacc = pose, 0.0, 0.0
            moments, _ = muscles_and_need(model, data)
            mujoco.mj_fullM(model, data, mass)
            about = moments.T @ free
            strength = np.minimum(np.maximum(about, 0.0).sum(axis=0), np.maximum(-about, 0.0).sum(axis=0))
            strength = np.maximum(strength, LEAST_STRENGTH)
            inertia[frame] = np.einsum("vi,vw,wi->i", free, mass, free) / strength
            damping[frame] = np.square(free).T @ model.dof_damping / strength
        return inertia, damping

    def at(self, qpos: np.ndarray) -> _Poses:
        """What is to be known of poses (T, nq)."""
        model, data, n = self.skeleton.full, self.data, len(self.columns)
        free = independent_velocities(model, qpos)[..., self.columns]
        places = np.zeros((len(qpos), len(self.bodies), 3))
        jacobians = np.zeros((len(qpos), len(self.bodies), 3, model.nv))
        inside: list[tuple[int, float, np.ndarray]] = []
        ends = np.zeros((2, 3, model.nv))
        for frame, pose in enumerate(qpos):
            data.qpos = pose
            touching = touching_itself(model, data)
            places[frame] = data.xpos[self.bodies]
            for body, jacobian in zip(self.bodies, jacobians[frame], strict=True):
                mujoco.mj_jacBody(model, data, jacobian, None, body)
            for contact in touching:
                for end, geom in zip(ends, data.contact.geom[contact], strict=True):
                    mujoco.mj_jac(model, data, end, None, data.contact.pos[contact], int(model.geom_bodyid[geom]))
                deeper = data.contact.frame[contact][:3] @ (ends[0] - ends[1]) @ free[frame]
                if np.abs(deeper).max() > STILL:  # with an arm
                    inside.append((frame, -data.contact.dist[contact], deeper))
        frames, depths, deeper = (np.array(part) for part in zip(*inside, strict=True)) if inside else np.zeros((3, 0))
        rows, columns = np.repeat(np.arange(len(inside)), n), (frames[:, None] * n + np.arange(n)).ravel()
        return _Poses(
            places.reshape(len(qpos), -1),
            jacobians.reshape(len(qpos), -1, model.nv) @ free,
            depths,
            sparse.coo_array((deeper.ravel(), (rows, columns)), shape=(len(inside), len(qpos) * n)),
        )


def _solved(arms: _Arms, qpos: np.ndarray, begun: np.ndarray, asked: np.ndarray, known: int) -> np.ndarray:
    """The easiest trajectory (T, nq) near ``qpos``, by Levenberg and Marquardt.

    Args:
        arms: what may change.
        qpos: (T, nq).
        begun: (T, nq) to begin with.
        asked: (3, T, n), what the pose before, at and after a frame contributes to what it asks of muscles.
        known: so many frames at the beginning stay as they are.
    """
    of_muscles = _of_muscles(asked)
    like_it = POSTURE * sparse.eye_array(of_muscles.shape[1])
    wanted, liked = arms.at(qpos).places, qpos[:, arms.address]
    lower, upper = arms.skeleton.lower[arms.address], arms.skeleton.upper[arms.address]
    changed = slice(known * len(arms.address), None)

    def terms(pose: np.ndarray) -> tuple[np.ndarray, sparse.csc_array]:
        """What is to be small, and how it changes with the joints of the frames that are not known."""
        now = pose[:, arms.address]
        at = arms.at(pose)
        beyond = now - np.clip(now, lower, upper)
        values = (
            of_muscles @ now.ravel(),
            POSTURE * (now - liked).ravel(),
            (at.places - wanted).ravel() / CLOSE,
            beyond.ravel() / BEYOND,
            at.depths / INSIDE,
        )
        frames = np.arange(len(pose) + 1)
        slopes = (
            of_muscles,
            like_it,
            sparse.bsr_array((at.moving / CLOSE, frames[:-1], frames)),
            sparse.diags_array((beyond != 0).ravel() / BEYOND),
            at.deepening / INSIDE,
        )
        return np.concatenate(values), sparse.csc_array(sparse.vstack(slopes, format="csc")[:, changed])

    result, (values, slopes), damping = begun, terms(begun), 1.0
    for _ in range(STEPS):
        curvature, slope = slopes.T @ slopes, slopes.T @ values
        for _ in range(TRIES):
            step = spsolve(sparse.csc_array(curvature + damping * sparse.eye_array(len(slope))), -slope)
            tried = result.copy()
            tried[known:, arms.address] += step.reshape(-1, len(arms.address))
            tried = arms.skeleton.led(tried)
            further = terms(tried)
            if np.square(further[0]).sum() < np.square(values).sum():
                break
            damping *= DAMPED
        else:
            break
        result, (values, slopes), damping = tried, further, damping / DAMPED
        if np.abs(step).max() < SMALL_STEP:
            break
    return np.concatenate([begun[:known], arms.skeleton.obey(result[known:])])


def _of_muscles(asked: np.ndarray) -> sparse.csc_array:
    """What a trajectory asks of muscles, (T n) of (T n) joint angles; ``asked`` as for `_solved`."""
    before, at, after = asked.copy()
    # It goes on at its ends with the velocity that it has there, which asks for damping's part alone.
    for end, away, beyond in ((0, after, before), (-1, before, after)):
        at[end] = (asked[2] - asked[0])[end]
        away[end], beyond[end] = -at[end], 0.0
    n = before.shape[1]
    return sparse.csc_array(
        sparse.diags_array([before.ravel()[n:], at.ravel(), after.ravel()[:-n]], offsets=[-n, 0, n], format="csc")
    )
