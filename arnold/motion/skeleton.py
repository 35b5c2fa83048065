"""A body as bones and joints only: what inverse kinematics needs of it, in a model of its own that is fast.

Joints that follow others (a knee's translations, a shoulder girdle) are not free: `Skeleton.obey` puts a motion exactly
onto the model's joint equalities and within its limits.
"""

from __future__ import annotations

import dataclasses
import functools

import mujoco
import numpy as np
from scipy.spatial.transform import Rotation

from arnold.embodiments import Embodiment
from arnold.errors import UserError
from arnold.motion.bodies import BodyMap, body_map

_FREE = int(mujoco.mjtJoint.mjJNT_FREE)
_SCALAR = (int(mujoco.mjtJoint.mjJNT_HINGE), int(mujoco.mjtJoint.mjJNT_SLIDE))
_GEOM = mujoco.mjtGeom
TRUNK = ("pelvis", "spine", "head")
SCAN = 2001  # places at which a joint's range is tried for what its followers allow
RANGE_TOLERANCE = 5e-4  # rad or m: by how much the published ranges of followers may be exceeded by their polynomials


@dataclasses.dataclass(frozen=True)
class Coupling:
    """A joint that follows another: q = q0 + polynomial(leader - leader0).

    Attributes:
        follower: address in qpos.
        leader: address in qpos, or -1 for a joint that stays where it is.
        coefficients: (5,), the constant first.
    """

    follower: int
    leader: int
    coefficients: np.ndarray


@dataclasses.dataclass(frozen=True)
class Lowest:
    """The geoms that can touch the ground, as arrays over G geoms.

    Attributes:
        body: (G,) ids of their MJCF bodies.
        place: (G, 3) m, in the body's frame.
        turn: (G, 3, 3), in the body's frame.
        radius: (G,) m, of what is swept round the rest.
        axes: (G, 3) m, half-axes of the ellipsoid (radius 0), or (0, 0, half length) of a capsule.
        boxes: (G,) bool: half-axes are those of a box.
    """

    body: np.ndarray
    place: np.ndarray
    turn: np.ndarray
    radius: np.ndarray
    axes: np.ndarray
    boxes: np.ndarray


class Skeleton:
    """The bones and joints of a body, its map, couplings, ranges, and where things are in a pose.

    Attributes:
        name: the embodiment's.
        full: the body's own model.
        map: how it is seen as a person.
        model: bones and joints that move a keypoint; without muscles, meshes and contacts. Its joints have the names of
            `full`, its ranges are such that followers keep theirs, and its equalities are those of `full`.
        keypoints: names, in the order of `places`.
        root: address in qpos of the free joint, or -1 for a body with a fixed base.
        ground: m, height of the floor.
        lower, upper: (nq,) what each number of `full`'s qpos may be, followers' limits counted in.
    """

    def __init__(self, name: str, full: mujoco.MjModel, mapped: BodyMap):
        self.name, self.full, self.map = name, full, mapped
        self.keypoints = tuple(mapped.keypoints)
        free = [j for j in range(full.njnt) if int(full.jnt_type[j]) == _FREE and self._carries(j)]
        self.root = int(full.jnt_qposadr[free[0]]) if free else -1
        self.couplings = _couplings(full)
        self.lower, self.upper = _ranges(full, self.couplings)
        floors = [g for g in range(full.ngeom) if int(full.geom_type[g]) == int(_GEOM.mjGEOM_PLANE)]
        self.ground = float(full.geom_pos[floors[0]][2]) if floors else 0.0
        self._data = mujoco.MjData(full)
        self._bodies = np.array([full.body(part).id for part in mapped.keypoints.values()])
        self.model, self._own = _bones(full, self._bodies, self.lower, self.upper)
        self.lowest = _lowest(full, floors)

    def _carries(self, joint: int) -> bool:
        """Whether a joint moves any of the keypoints."""
        moved = {self.full.body(part).id for part in self.map.keypoints.values()}
        return any(self.full.jnt_bodyid[joint] in _above(self.full, b) for b in moved)

    def of_an_arm(self, joint: int) -> bool:
        """Whether a joint of `full` carries neither a foot nor the trunk."""
        parts = [self.full.body(self.map.keypoints[name]).id for name in TRUNK if name in self.map.keypoints]
        feet = [int(self.full.site(site).bodyid[0]) for site in self.map.touches]
        return not any(self.full.jnt_bodyid[joint] in _above(self.full, part) for part in (*parts, *feet))

    def to_bones(self, qpos: np.ndarray) -> np.ndarray:
        """``qpos`` (..., nq) of the body, of the joints that `model` has."""
        return qpos[..., self._own]

    def from_bones(self, bones: np.ndarray, qpos: np.ndarray) -> np.ndarray:
        """``qpos`` (..., nq) of the body with the numbers ``bones`` of the joints that `model` has."""
        qpos = qpos.copy()
        qpos[..., self._own] = bones
        return qpos

    def obey(self, qpos: np.ndarray) -> np.ndarray:
        """``qpos`` (..., nq) within limits, followers where their leaders put them, quaternions of length 1."""
        qpos = np.clip(qpos, self.lower, self.upper)
        if self.root >= 0:
            turn = qpos[..., self.root + 3 : self.root + 7]
            qpos[..., self.root + 3 : self.root + 7] = turn / np.linalg.norm(turn, axis=-1, keepdims=True)
        return self.led(qpos)

    def led(self, qpos: np.ndarray) -> np.ndarray:
        """``qpos`` (..., nq) with followers where their leaders put them, limits or not."""
        qpos, rest = qpos.copy(), self.full.qpos0
        for c in self.couplings:
            along = qpos[..., c.leader] - rest[c.leader] if c.leader >= 0 else 0.0
            qpos[..., c.follower] = rest[c.follower] + np.polynomial.polynomial.polyval(along, c.coefficients)
        return qpos

    @functools.cached_property
    def free_joints(self) -> tuple[str, ...]:
        """Names of the hinges and slides that follow no other."""
        followers = {c.follower for c in self.couplings}
        model = self.full
        return tuple(
            model.joint(j).name
            for j in range(model.njnt)
            if int(model.jnt_type[j]) in _SCALAR and int(model.jnt_qposadr[j]) not in followers
        )

    def dofs_between(self, above: str, below: str) -> set[int]:
        """Degrees of freedom of `model` that move keypoint ``below`` and not ``above``."""
        chain = _above(self.model, self.model.body(self.map.keypoints[below]).id)
        kept = set(chain) - set(_above(self.model, self.model.body(self.map.keypoints[above]).id))
        return {d for d in range(self.model.nv) if int(self.model.dof_bodyid[d]) in kept}

    def poses(self, qpos: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where every MJCF body is and how it is turned.

        Args:
            qpos: (T, nq).

        Returns:
            (T, nbody, 3) m and (T, nbody, 3, 3), world frame.
        """
        places, turns = np.empty((len(qpos), self.full.nbody, 3)), np.empty((len(qpos), self.full.nbody, 9))
        for frame, q in enumerate(qpos):
            self._data.qpos[:] = q
            mujoco.mj_kinematics(self.full, self._data)
            places[frame], turns[frame] = self._data.xpos, self._data.xmat
        return places, turns.reshape(*turns.shape[:2], 3, 3)

    def places(self, qpos: np.ndarray) -> np.ndarray:
        """Where the keypoints are (T, K, 3) m."""
        return self.poses(qpos)[0][:, self._bodies]

    def heights(self, poses: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        """How high above the floor the lowest point of each geom that can touch it is: (T, G) m."""
        low, (places, turns) = self.lowest, poses
        up = turns[:, low.body, 2, :]  # the world's vertical in the body's frame
        vertical = np.einsum("tgi,gij->tgj", up, low.turn)
        down = np.sqrt(np.sum((vertical * low.axes) ** 2, axis=-1))
        down = np.where(low.boxes, np.sum(np.abs(vertical) * low.axes, axis=-1), down) + low.radius
        return places[:, low.body, 2] + np.einsum("tgi,gi->tg", up, low.place) - down - self.ground

    def middles(self, poses: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        """Where the middle of each geom that can touch the floor is: (T, G, 3) m."""
        low, (places, turns) = self.lowest, poses
        return places[:, low.body] + np.einsum("tgij,gj->tgi", turns[:, low.body], low.place)

    @functools.cached_property
    def standing(self) -> tuple[np.ndarray, np.ndarray]:
        """The rest pose, turned to face x: places (K, 3) m and turns (K, 3, 3) of the keypoints' MJCF bodies."""
        places, turns = self.poses(self.obey(self.full.qpos0[None]))
        facing = self.rest_heading.as_matrix().T
        return places[0, self._bodies] @ facing.T, facing @ turns[0, self._bodies]

    @functools.cached_property
    def rest_heading(self) -> Rotation:
        """The turn about the vertical from facing x to how the rest pose faces."""
        at = dict(zip(self.keypoints, self.places(self.obey(self.full.qpos0[None]))[0], strict=True))
        pair = next(j for j in ("hip", "shoulder") if f"left_{j}" in at and f"right_{j}" in at)
        left = at[f"left_{pair}"] - at[f"right_{pair}"]
        return Rotation.from_euler("z", np.arctan2(-left[0], left[1]))


def skeleton_of(body: Embodiment) -> Skeleton:
    """The skeleton of a body; the same one when asked again.

    Raises:
        UserError: where the body has no parts that stand for a person's.
    """
    return _skeleton(body)


@functools.lru_cache(maxsize=8)
def _skeleton(body: Embodiment) -> Skeleton:
    model = body.compile().model
    mapped = body_map(body.name, model)
    pairs = ("hip", "shoulder")
    if not any(f"left_{j}" in mapped.keypoints and f"right_{j}" in mapped.keypoints for j in pairs):
        raise UserError(f"the map of body {body.name!r} must name both hips or both shoulders")
    return Skeleton(body.name, model, mapped)


def _above(model: mujoco.MjModel, body: int) -> list[int]:
    """A body and all that carry it, the world left out."""
    chain = []
    while body > 0:
        chain.append(int(body))
        body = int(model.body_parentid[body])
    return chain


def _couplings(model: mujoco.MjModel) -> tuple[Coupling, ...]:
    """The joint equalities that hold from the start."""
    found = []
    for e in range(model.neq):
        if int(model.eq_type[e]) == int(mujoco.mjtEq.mjEQ_JOINT) and model.eq_active0[e]:
            leader = int(model.eq_obj2id[e])
            address = int(model.jnt_qposadr[leader]) if leader >= 0 else -1
            follower = int(model.jnt_qposadr[model.eq_obj1id[e]])
            found.append(Coupling(follower, address, model.eq_data[e][:5].copy()))
    return tuple(found)


def _ranges(model: mujoco.MjModel, couplings: tuple[Coupling, ...]) -> tuple[np.ndarray, np.ndarray]:
    """What each number of qpos may be: a leader's range is cut to where its followers keep theirs."""
    lower, upper = np.full(model.nq, -np.inf), np.full(model.nq, np.inf)
    for j in range(model.njnt):
        if int(model.jnt_type[j]) in _SCALAR and model.jnt_limited[j]:
            lower[model.jnt_qposadr[j]], upper[model.jnt_qposadr[j]] = model.jnt_range[j]
    for leader in {c.leader for c in couplings if c.leader >= 0 and np.isfinite(lower[c.leader])}:
        tried = np.linspace(lower[leader], upper[leader], SCAN)
        kept = np.ones(SCAN, bool)
        for c in couplings:
            if c.leader == leader:
                along = np.polynomial.polynomial.polyval(tried - model.qpos0[leader], c.coefficients)
                at = model.qpos0[c.follower] + along
                kept &= (at >= lower[c.follower] - RANGE_TOLERANCE) & (at <= upper[c.follower] + RANGE_TOLERANCE)
        if kept.any():
            edges = np.flatnonzero(np.diff(np.concatenate([[False], kept, [False]]).astype(int)))
            first, last = max(edges.reshape(-1, 2), key=lambda run: run[1] - run[0])
            lower[leader], upper[leader] = tried[first], tried[last - 1]
    for c in couplings:  # they go where they are led
        lower[c.follower], upper[c.follower] = -np.inf, np.inf
    return lower, upper


def _bones(
    full: mujoco.MjModel, tracked: np.ndarray, lower: np.ndarray, upper: np.ndarray
) -> tuple[mujoco.MjModel, np.ndarray]:
    """A model of the joints that move a tracked MJCF body, and the addresses of their numbers in ``full``'s qpos."""
    spec = mujoco.MjSpec()
    spec.compiler.degree = False
    carrying = {b for t in tracked for b in _above(full, int(t))}
    made = {0: spec.worldbody}
    addresses: list[int] = []
    names: set[str] = set()
    followers = {int(full.eq_obj1id[e]) for e in range(full.neq)}
    for b in sorted(carrying):
        part = made[int(full.body_parentid[b])].add_body(
            name=full.body(b).name, pos=full.body_pos[b], quat=full.body_quat[b], mass=1.0, inertia=[1.0, 1.0, 1.0]
        )
        part.explicitinertial = True
        made[b] = part
        for j in range(full.body_jntadr[b], full.body_jntadr[b] + full.body_jntnum[b]):
            address, kind = int(full.jnt_qposadr[j]), int(full.jnt_type[j])
            names.add(full.joint(j).name)
            if kind == _FREE:
                part.add_freejoint(name=full.joint(j).name)
                addresses += range(address, address + 7)
                continue
            limited = j not in followers and np.isfinite(lower[address])
            part.add_joint(
                name=full.joint(j).name,
                type=mujoco.mjtJoint(kind),
                axis=full.jnt_axis[j],
                pos=full.jnt_pos[j],
                ref=full.qpos0[address],
                limited=int(limited),
                range=[lower[address], upper[address]] if limited else [0.0, 0.0],
            )
            addresses.append(address)
    for e in range(full.neq):
        if int(full.eq_type[e]) != int(mujoco.mjtEq.mjEQ_JOINT) or not full.eq_active0[e]:
            continue
        follower = full.joint(full.eq_obj1id[e]).name
        leader = full.joint(full.eq_obj2id[e]).name if full.eq_obj2id[e] >= 0 else ""
        if follower in names:
            data = np.zeros(len(mujoco.MjSpec().add_equality().data))
            data[:5] = full.eq_data[e][:5]
            spec.add_equality(type=mujoco.mjtEq.mjEQ_JOINT, name1=follower, name2=leader, data=data)
    return spec.compile(), np.array(addresses)


def _lowest(model: mujoco.MjModel, floors: list[int]) -> Lowest:
    """The geoms of the body that collide with the floor, by mask or by pair; all that collide where there is none."""
    paired = {frozenset((int(a), int(b))) for a, b in zip(model.pair_geom1, model.pair_geom2, strict=True)}

    def touches(g: int) -> bool:
        if not floors:
            return bool(model.geom_contype[g] or model.geom_conaffinity[g])
        floor = floors[0]
        masks = (
            model.geom_contype[g] & model.geom_conaffinity[floor]
            or model.geom_contype[floor] & model.geom_conaffinity[g]
        )
        return bool(masks) or frozenset((g, floor)) in paired

    sphere, capsule, box, cylinder = (
        int(kind) for kind in (_GEOM.mjGEOM_SPHERE, _GEOM.mjGEOM_CAPSULE, _GEOM.mjGEOM_BOX, _GEOM.mjGEOM_CYLINDER)
    )
    kinds = (sphere, capsule, box, cylinder, int(_GEOM.mjGEOM_ELLIPSOID), int(_GEOM.mjGEOM_MESH))
    geoms = [
        g for g in range(model.ngeom) if model.geom_bodyid[g] > 0 and int(model.geom_type[g]) in kinds and touches(g)
    ]
    radius, axes, boxes = np.zeros(len(geoms)), np.zeros((len(geoms), 3)), np.zeros(len(geoms), bool)
    for i, g in enumerate(geoms):
        kind, size = int(model.geom_type[g]), model.geom_size[g]
        if kind in (sphere, capsule):
            radius[i], axes[i, 2] = size[0], size[1] if kind == capsule else 0.0
        elif kind == cylinder:  # the box round it
            axes[i], boxes[i] = (size[0], size[0], size[1]), True
        else:  # a mesh: the box round it
            axes[i], boxes[i] = size, kind != int(_GEOM.mjGEOM_ELLIPSOID)
    turn = Rotation.from_quat(model.geom_quat[geoms], scalar_first=True).as_matrix() if geoms else np.zeros((0, 3, 3))
    return Lowest(model.geom_bodyid[geoms].astype(int), model.geom_pos[geoms], turn, radius, axes, boxes)
