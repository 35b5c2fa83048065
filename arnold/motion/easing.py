"""A motion that muscles can make: of all ways to be where a person's joints are, one that a body can be moved along.

Where an arm hangs, the plane in which it is raised hardly matters for where the elbow is, and noise of a millimetre
turns it at several radians per second. The models of the shoulder damp that turn with moments that no muscle has there,
so that a controller lags behind by half a turn. The trajectory is therefore chosen as a whole, which minimises::

    sum |x(q) - x(q0)|^2 / CLOSE^2  +  sum ((I ddq + d dq) / (SHARE s))^2  +  POSTURE^2 sum |q - q0|^2

over the arms' joints q that follow no other: x the keypoints' places, q0 the motion as it was solved, I and d the
inertia and the damping about a joint and what follows it, s its muscles' isometric strength in that pose, in the
direction in which it is less; before the first frame and after the last the motion goes on with the velocity that it
has there. What would make a tendon jump from one side of a bone to the other is eased less,
or not at all.
"""

from __future__ import annotations

import dataclasses

import mujoco
import numpy as np
from scipy.linalg import solveh_banded
from threadpoolctl import threadpool_limits

from arnold.embodiments.moments import independent_dofs, independent_velocities
from arnold.motion.activations import muscles_and_need
from arnold.motion.quality import THRESHOLDS, tendon_jumps
from arnold.motion.skeleton import Skeleton

CLOSE = 0.01  # m
SHARES = (0.2, 0.5)  # of the strength: what weighs as much as CLOSE; the next where tendons would jump
POSTURE = 0.3  # per rad
LEAST_STRENGTH = 2.0  # N m
EASY = 0.1  # of the strength: where damping never takes more, a motion is left as it is
STEPS, LARGEST_STEP, SMALL_STEP = 8, 0.3, 2e-3  # Gauss-Newton steps; rad at which one is cut off and at which they end
PIECE, OVERLAP = 1000, 100  # frames that are solved at once, and beyond them
REACH = 2  # frames: what muscles are asked for is made of a pose, the one before and the one after
FIRMLY = 1e9  # holds frames where they are


def eased(skeleton: Skeleton, qpos: np.ndarray, rate: float) -> np.ndarray:
    """The motion with joints turned less where muscles could not follow and keypoints hardly notice.

    Args:
        skeleton: of the body.
        qpos: (T, nq), on the body's couplings.
        rate: frames per second.

    Returns:
        (T, nq) within the body's limits and on its couplings; the same array for a body without muscles or arms, and
        where damping asks for little or muscles' tendons would jump.
    """
    model = skeleton.full
    if not model.nu or (model.actuator_dyntype != int(mujoco.mjtDyn.mjDYN_MUSCLE)).any():
        return qpos
    arms = _Arms.of(skeleton)
    if not len(arms.columns):
        return qpos
    inertia, damping = arms.resistance(qpos)
    if (np.abs(damping * np.gradient(qpos[:, arms.address], 1.0 / rate, axis=0)) < EASY).all():
        return qpos
    before, after = (inertia * rate**2 + way * damping * rate / 2.0 for way in (-1.0, 1.0))
    asked = np.stack([before, -2.0 * inertia * rate**2, after])
    jump = max(THRESHOLDS["tendon jump (relative)"], tendon_jumps(model, qpos, rate)["muscles"])
    for share in SHARES:
        easier = _in_pieces(arms, qpos, asked / share)
        if tendon_jumps(model, easier, rate)["muscles"] <= jump:
            return easier
    return qpos


def _in_pieces(arms: _Arms, qpos: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """The easiest trajectory near ``qpos`` (T, nq), however long; ``asked`` as for `_solved`."""
    result = qpos
    for first in range(0, len(qpos), PIECE):
        known = min(first, REACH)
        piece = slice(first - known, min(first + PIECE + OVERLAP, len(qpos)))
        solved = _solved(arms, qpos[piece], result[piece], asked[:, piece], known)
        result = np.concatenate([result[: piece.start], solved, result[piece.stop :]])
    return result


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
    def of(cls, skeleton: Skeleton) -> _Arms:
        """Those of a skeleton: of the arms, those that follow no other."""
        model, found = skeleton.full, []
        for column, dof in enumerate(independent_dofs(model)):
            joint = int(model.dof_jntid[dof])
            if model.joint(joint).name in skeleton.free_joints and skeleton.of_an_arm(joint):
                found.append((column, int(model.jnt_qposadr[joint])))
        columns, address = np.array(found, int).reshape(-1, 2).T
        bodies = np.array([model.body(part).id for part in skeleton.map.keypoints.values()])
        return cls(skeleton, mujoco.MjData(model), columns, address, bodies)

    def resistance(self, qpos: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What the joints oppose to being moved, by their muscles' strength: inertia (T, n) s^2/rad, damping s/rad."""
        model, data = self.skeleton.full, self.data
        inertia, damping = np.zeros((2, len(qpos), len(self.columns)))
        mass = np.zeros((model.nv, model.nv))
        for frame, pose in enumerate(qpos):
            data.qpos, data.qvel, data.qacc = pose, 0.0, 0.0
            moments, _ = muscles_and_need(model, data)
            mujoco.mj_fullM(model, data, mass)
            free = independent_velocities(model, pose)[:, self.columns]
            about = moments.T @ free
            strength = np.minimum(np.maximum(about, 0.0).sum(axis=0), np.maximum(-about, 0.0).sum(axis=0))
            strength = np.maximum(strength, LEAST_STRENGTH)
            inertia[frame] = np.einsum("vi,vw,wi->i", free, mass, free) / strength
            damping[frame] = np.square(free).T @ model.dof_damping / strength
        return inertia, damping

    def places(self, pose: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The keypoints' places (3 K,) m in a pose, and how they move with the joints (3 K, n)."""
        model, data = self.skeleton.full, self.data
        data.qpos = pose
        mujoco.mj_kinematics(model, data)
        mujoco.mj_comPos(model, data)
        jacobian = np.zeros((len(self.bodies), 3, model.nv))
        for row, body in zip(jacobian, self.bodies, strict=True):
            mujoco.mj_jacBody(model, data, row, None, body)
        free = independent_velocities(model, pose)[:, self.columns]
        return data.xpos[self.bodies].ravel(), jacobian.reshape(-1, model.nv) @ free


def _solved(arms: _Arms, qpos: np.ndarray, begun: np.ndarray, asked: np.ndarray, known: int) -> np.ndarray:
    """The easiest trajectory (T, nq) near ``qpos``, by Gauss and Newton.

    Args:
        arms: what may change.
        qpos: (T, nq).
        begun: (T, nq) to begin with.
        asked: (3, T, n), what the pose before, at and after a frame contributes to what it asks of muscles.
        known: so many frames at the beginning stay as they are.
    """
    wanted = [arms.places(pose)[0] for pose in qpos]
    (one, two, three), every = asked[:, 1:-1], np.arange(len(arms.address))
    ends = asked[2] - asked[0]  # what is asked for where the motion goes on as it begins, or as it ends
    ends[1:-1] = 0.0
    result = begun
    for _ in range(STEPS):
        now = result[:, arms.address]
        need = one * now[:-2] + two * now[1:-1] + three * now[2:]
        slope = POSTURE**2 * (qpos[:, arms.address] - now)
        for shift, weight in enumerate((one, two, three)):
            slope[shift : shift + len(need)] -= weight * need
        for at, beside in ((0, 1), (-1, -2)):
            pull = np.square(ends[at]) * (now[beside] - now[at])
            slope[at] += pull
            slope[beside] -= pull
        blocks = np.zeros((len(qpos), len(every), len(every)))
        for frame, pose in enumerate(result):
            place, jacobian = arms.places(pose)
            slope[frame] += jacobian.T @ (wanted[frame] - place) / CLOSE**2
            blocks[frame] = jacobian.T @ jacobian / CLOSE**2
        blocks[:, every, every] += POSTURE**2
        blocks[:known, every, every] += FIRMLY
        for shift, weight in enumerate((one, two, three)):
            blocks[shift : shift + len(need), every, every] += weight**2
        next_, after_next = np.zeros((len(qpos) - 1, len(every))), one * three
        next_[:-1] += one * two
        next_[1:] += two * three
        for at, beside in ((0, 1), (-1, -2)):
            for frame in (at, beside):
                blocks[frame, every, every] += np.square(ends[at])
            next_[at] -= np.square(ends[at])
        step = np.clip(_banded(blocks, next_, after_next, slope), -LARGEST_STEP, LARGEST_STEP)
        result = result.copy()
        result[:, arms.address] += step
        result = np.concatenate([result[:known], arms.skeleton.obey(result[known:])])
        if np.abs(step).max() < SMALL_STEP:
            break
    return result


def _banded(blocks: np.ndarray, next_: np.ndarray, after_next: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Solve a symmetric system: blocks (T, n, n), diagonal ones beside them (T - 1, n) and (T - 2, n); for (T, n)."""
    frames, n = right.shape
    banded = np.zeros((2 * n + 1, frames * n))  # of the upper triangle, the diagonal last
    for above in range(n):
        rows = np.arange(n - above)
        columns = (np.arange(frames)[:, None] * n + rows + above).ravel()
        banded[2 * n - above, columns] = blocks[:, rows, rows + above].ravel()
    banded[n, n:] = next_.ravel()
    banded[0, 2 * n :] = after_next.ravel()
    with threadpool_limits(1, "blas"):  # OpenBLAS' threads wait for each other without end where cores are busy
        return np.asarray(solveh_banded(banded, right.ravel())).reshape(frames, n)
