"""Move as a recorded person did: motion imitation, for any body with clips.

KINESIS (arXiv 2503.14637) and MuscleMimic (arXiv 2603.25544) are two parameter sets of this one task.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp

from arnold.embodiments import Body, Signals
from arnold.tasks.reference import Pose, Reference, reference
from arnold.tasks.rotations import by_heading, rotation, rotation_vector, tilt
from arnold.tasks.task import Channel, Ended, Goal, Outcome, Start, Task, joint_channels, muscle_channels
from arnold.tasks.things import axis_channel
from arnold.vocab import Token, lexicon, quantities

KINESIS_WEIGHTS = (("position", 0.6), ("velocity", 0.2), ("upright", 0.1), ("energy", 0.1))
KINESIS_SHARPNESS = (("position", 200.0), ("velocity", 5.0), ("upright", 3.0), ("energy", 0.05))
MUSCLEMIMIC_WEIGHTS = (
    *(("joint_position", 0.1), ("joint_velocity", 0.1), ("root_position", 0.1), ("root_velocity", 0.1)),
    *(
        ("relative_position", 0.6),
        ("relative_orientation", 0.01),
        ("relative_velocity", 0.1),
        ("relative_turning", 0.1),
    ),
)
MUSCLEMIMIC_SHARPNESS = (
    *(("joint_position", 10.0), ("joint_velocity", 2.0), ("root_position", 10.0), ("root_velocity", 10.0)),
    *(("relative_position", 100.0), ("relative_orientation", 10.0), ("relative_velocity", 0.1)),
    ("relative_turning", 0.1),
)
TROUBLE_RATE, TROUBLE_FLOOR = 0.2, 0.1  # how fast failures are learned; the share of clips that never fail


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Following:
    """Which clip is followed, and where in it the episode is."""

    clip: jax.Array  # () int32
    frame: jax.Array  # () int32: the frame that the body should be at now
    shift: jax.Array  # (3,) m, from the clip's place to the world's: episodes begin at the origin
    trouble: jax.Array  # (C,) how often each clip was failed lately, 0 to 1


@dataclasses.dataclass(frozen=True)
class Imitate(Task):
    """Follow clips: the body is to be, at each control step, where the clip's next frame is.

    With e the errors (clip minus body) of the F tracked MJCF bodies, each term is exp(-k d) with the term's sharpness k
    and d the mean over bodies and axes of: ``position`` e of place, squared, in the world; ``velocity`` e of linear
    velocity, squared; ``relative_position``, ``relative_velocity``, ``relative_orientation``, ``relative_turning`` the
    same seen from the first tracked body; ``joint_position``, ``joint_velocity`` of joints, squared; ``root_position``,
    ``root_velocity`` of the first tracked body (linear and angular), squared; ``root_orientation`` its squared angle;
    ``upright`` the squared angle between the root's vertical and the world's; ``energy`` ||u||_1 + ||u||_2 of the
    excitations u.

    An episode fails where the body is too far from the clip (the limits below), ends at the clip's last frame, and
    begins anywhere in a clip (`anywhere`) or at its first frame, with the clip's velocities and activations. Clips that
    fail more often are drawn more often.

    Attributes:
        clips: names of the library's clips, or paths of clip files and of folders of them.
        held_out: names of clips and of subjects that no episode is drawn from; evaluation has them.
        tracked: MJCF bodies, the first of which is the body's main one.
        root: the MJCF body that a free joint of its name moves; empty for a body that is fixed.
        forward: where the first tracked body faces, in its own frame.
        up: what points up there while it stands.
        lookahead: control steps from the present one to each of the frames that are seen.
        feet: (site, side, part) of touch.
        sharpness: (term, k).
        anywhere: whether episodes begin anywhere in a clip.
        each_within: m; fails where any tracked body is farther off.
        mean_within: m; fails where their mean is.
        relative_within: m; fails where the mean error seen from the first tracked body is larger.
        root_within: m; fails where the first tracked body is farther off.
        solved_within: m; a step is solved where no tracked body is farther off.
    """

    clips: tuple[str, ...] = ()
    held_out: tuple[str, ...] = ()
    tracked: tuple[str, ...] = ()
    root: str = ""
    forward: tuple[float, float, float] = (1.0, 0.0, 0.0)
    up: tuple[float, float, float] = (0.0, 0.0, 1.0)
    lookahead: tuple[int, ...] = (1, 3, 6, 12)
    feet: tuple[tuple[str, str, str], ...] = ()
    sharpness: tuple[tuple[str, float], ...] = KINESIS_SHARPNESS
    anywhere: bool = True
    each_within: float = float("inf")
    mean_within: float = float("inf")
    relative_within: float = float("inf")
    root_within: float = float("inf")
    solved_within: float = 0.15

    @property
    def frames(self) -> tuple[str, ...]:
        """The tracked bodies."""
        return self.tracked

    @property
    def touches(self) -> tuple[str, ...]:
        """The feet."""
        return tuple(site for site, _, _ in self.feet)

    def reference(self, body: Body) -> Reference:
        """The clips, at the control rate."""
        return reference(self.clips, body)

    def draw(self, body: Body, key: jax.Array, ended: Ended | None) -> tuple[Start, Following]:
        """A clip, by how often clips fail, and a frame of it."""
        clips = self.reference(body)
        frames = jnp.asarray(clips.frames)
        trouble = jnp.full(len(clips.names), 1.0, jnp.float32)
        if ended is not None:
            followed = ended.goal.clip
            old = ended.goal.trouble[followed]
            failed = jnp.where(ended.failed, jnp.float32(1.0), jnp.float32(0.0))
            trouble = ended.goal.trouble.at[followed].set(old + TROUBLE_RATE * (failed - old))
        clip_key, frame_key = jax.random.split(key)
        share = frames.astype(jnp.float32) * (TROUBLE_FLOOR + trouble) * clips.drawn(self.held_out)
        clip = jax.random.categorical(clip_key, jnp.log(share)).astype(jnp.int32)
        frame = (
            jax.random.randint(frame_key, (), 0, jnp.maximum(frames[clip] - 2, 1)) if self.anywhere else jnp.int32(0)
        )
        return self.at(body, clip, frame, trouble)

    def at(self, body: Body, clip: jax.Array, frame: jax.Array, trouble: jax.Array) -> tuple[Start, Following]:
        """The episode that begins at a frame () of a clip ()."""
        pose = self.reference(body).at(clip, frame)
        shift = jnp.zeros(3, jnp.float32)
        placed, moving = {}, {}
        if self.root:
            shift = shift.at[:2].set(-pose.qpos[:2])
            placed[self.root] = pose.qpos[:7].at[:2].set(0.0)
            moving[self.root] = pose.qvel[:6]
        start = Start(
            joint_position=pose.qpos[body.joint_qpos],
            joint_velocity=pose.qvel[body.joint_qvel],
            activation=pose.activation,
            placed=placed,
            moving=moving,
        )
        return start, Following(clip, frame, shift, trouble)

    def goal(self, body: Body, key: jax.Array) -> Following:
        """The goal of `draw`."""
        return self.draw(body, key, None)[1]

    def pool(self, goals: Following) -> Following:
        """All environments know of each other's failures."""
        trouble = jnp.broadcast_to(goals.trouble.mean(axis=0, keepdims=True), goals.trouble.shape)
        return dataclasses.replace(goals, trouble=trouble)

    def advance(self, body: Body, signals: Signals, goal: Following) -> Following:
        """The next frame."""
        return dataclasses.replace(goal, frame=goal.frame + 1)

    def channels(self, body: Body) -> tuple[Channel, ...]:
        """Joints, muscles, feet, root, tracked bodies; and what the clip has ahead, all seen by the body's heading."""
        return self.channels_of(body, lambda goal, ahead: self._pose(body, goal, ahead))

    def channels_of(self, body: Body, pose: Callable[[Goal, int], Pose]) -> tuple[Channel, ...]:
        """The same of any motion: ``pose(goal, ahead)`` is where the body is to be ``ahead`` control steps from now."""
        return (
            *joint_channels(body),
            Channel(
                tuple(Token((side, part), quantities.CONTACT_FORCE) for _, side, part in self.feet),
                lambda s, g: s.touch,
            ),
            *muscle_channels(body),
            *self._own_channels(),
            *(channel for ahead in self.lookahead for channel in self._ahead_channels(body, ahead, pose)),
        )

    def _own_channels(self) -> tuple[Channel, ...]:
        """How the body's own frames are placed and move."""
        main, others = self.tracked[0], self.tracked[1:]
        channels = []
        if self.root:
            tilt = tuple(Token(("root",), quantities.orientation(axis)) for axis in "xy")
            channels += [
                Channel((Token(("root",), quantities.site_position("z")),), lambda s, g: s.frame(main).position[2:]),
                Channel(tilt, lambda s, g: self._seen(s, self._tilt(s))[:2]),
                axis_channel(
                    ("root",), quantities.site_velocity, lambda s, g: self._seen(s, s.frame(main).linear_velocity)
                ),
                axis_channel(
                    ("root",), quantities.angular_velocity, lambda s, g: self._seen(s, s.frame(main).angular_velocity)
                ),
            ]
        return (*channels, *(channel for name in others for channel in self._part_channels(name)))

    def _part_channels(self, name: str) -> tuple[Channel, ...]:
        """Where a tracked body is from the main one, and how it moves."""
        main = self.tracked[0]

        def away(s: Signals, g: Following) -> jax.Array:
            return self._seen(s, s.frame(name).position - s.frame(main).position)

        def velocity(s: Signals, g: Following) -> jax.Array:
            return self._seen(s, s.frame(name).linear_velocity)

        entity = _entity(name)
        return (
            axis_channel(entity, quantities.site_position, away),
            axis_channel(entity, quantities.site_velocity, velocity),
        )

    def _ahead_channels(self, body: Body, ahead: int, motion: Callable[[Goal, int], Pose]) -> tuple[Channel, ...]:
        """Errors (clip minus body) of the frame that is ``ahead`` control steps away."""
        word = f"ahead_{round(1000 * ahead * body.control_dt)}ms"
        main = self.tracked[0]

        def pose(g: Goal) -> Pose:
            return motion(g, ahead)

        def named(maker, entity, read):  # type: ignore[no-untyped-def]
            return axis_channel(entity, lambda axis: (*maker(axis), word), read)

        joints = body.joint_tokens((*quantities.JOINT_ERROR, word))
        channels = [Channel(joints, lambda s, g: pose(g).qpos[body.joint_qpos] - s.joint_position)]
        if ahead == self.lookahead[0]:
            lengths = body.muscle_tokens((*quantities.MUSCLE_LENGTH, "error", word))
            activations = body.muscle_tokens((*quantities.MUSCLE_ACTIVATION, "target", word))
            channels += [
                Channel(lengths, lambda s, g: pose(g).muscle_length - s.muscle_length),
                Channel(activations, lambda s, g: pose(g).activation),
            ]
        for k, name in enumerate(self.tracked if self.root else self.tracked[1:], start=0 if self.root else 1):
            entity = ("root",) if self.root and k == 0 else _entity(name)
            channels.append(
                named(
                    quantities.site_error,
                    entity,
                    lambda s, g, k=k, name=name: self._seen(s, pose(g).position[k] - s.frame(name).position),
                )
            )
            if ahead == self.lookahead[0]:
                channels.append(
                    named(
                        lambda axis: (*quantities.site_velocity(axis), "error"),
                        entity,
                        lambda s, g, k=k, name=name: self._seen(
                            s, pose(g).linear_velocity[k] - s.frame(name).linear_velocity
                        ),
                    )
                )
        if self.root:
            channels.append(
                named(
                    quantities.orientation_error,
                    ("root",),
                    lambda s, g: self._seen(s, _turn(s.frame(main).quaternion, pose(g).quaternion[0])),
                )
            )
        return tuple(channels)

    def judge(self, body: Body, signals: Signals, goal: Following) -> Outcome:
        """See the class for the terms."""
        pose = self._pose(body, goal, 0)
        error = pose.position - self._places(signals)
        far = jnp.linalg.norm(error, axis=1)
        failed = (
            (far.max() > self.each_within)
            | (far.mean() > self.mean_within)
            | (jnp.linalg.norm((error - error[:1])[1:], axis=1).mean() > self.relative_within)
            | (far[0] > self.root_within)
        )
        last = jnp.asarray(self.reference(body).frames)[goal.clip] - 1
        finished = ~failed & (goal.frame >= last)
        return Outcome(self.terms(body, signals, pose), far.max() <= self.solved_within, failed, finished)

    def terms(self, body: Body, signals: Signals, pose: Pose) -> dict[str, jax.Array]:
        """How well the body is at a pose, by the terms of `sharpness`; each () in [0, 1]."""
        frames = [signals.frame(name) for name in self.tracked]
        error = pose.position - self._places(signals)
        relative = error - error[:1]
        velocity = pose.linear_velocity - jnp.stack([f.linear_velocity for f in frames])
        spin = pose.angular_velocity - jnp.stack([f.angular_velocity for f in frames])
        turns = jnp.stack([_turn(f.quaternion, q) for f, q in zip(frames, pose.quaternion, strict=True)])
        effort = jnp.sum(signals.excitation) + jnp.linalg.norm(signals.excitation)
        distances = {
            "position": jnp.mean(jnp.square(error)),
            "velocity": jnp.mean(jnp.square(velocity)),
            "relative_position": jnp.mean(jnp.square(relative[1:])),
            "relative_velocity": jnp.mean(jnp.square((velocity - velocity[:1])[1:])),
            "relative_orientation": jnp.mean(jnp.square((turns - turns[:1])[1:])),
            "relative_turning": jnp.mean(jnp.square((spin - spin[:1])[1:])),
            "joint_position": jnp.mean(jnp.square(pose.qpos[body.joint_qpos] - signals.joint_position)),
            "joint_velocity": jnp.mean(jnp.square(pose.qvel[body.joint_qvel] - signals.joint_velocity)),
            "root_position": jnp.mean(jnp.square(error[0])),
            "root_orientation": jnp.sum(jnp.square(turns[0])),
            "root_velocity": jnp.mean(jnp.square(jnp.concatenate([velocity[0], spin[0]]))),
            "upright": jnp.sum(jnp.square(self._tilt(signals))),
            "energy": effort,
        }
        return {term: jnp.exp(-k * distances[term]) for term, k in self.sharpness}

    def _places(self, signals: Signals) -> jax.Array:
        """Where the tracked bodies are, (F, 3) m."""
        return jnp.stack([signals.frame(name).position for name in self.tracked])

    def _pose(self, body: Body, goal: Following, ahead: int) -> Pose:
        pose = self.reference(body).at(goal.clip, goal.frame + ahead)
        return dataclasses.replace(pose, position=pose.position + goal.shift[None])

    def _tilt(self, signals: Signals) -> jax.Array:
        """The rotation vector (3,) rad from the world's vertical to the main body's; 0 where it is fixed."""
        return tilt(signals.frame(self.tracked[0]).quaternion, self.up) if self.root else jnp.zeros(3, jnp.float32)

    def _seen(self, signals: Signals, vector: jax.Array) -> jax.Array:
        """A vector (3,) of the world in the frame that has x where the body faces, and z up."""
        if not self.root:
            return vector
        return by_heading(signals.frame(self.tracked[0]).quaternion, self.forward, vector)


def _entity(frame: str) -> tuple[str, ...]:
    """The words of an MJCF body."""
    return lexicon.site_words(frame, side=None)


@jax.jit
def _turn(current: jax.Array, wanted: jax.Array) -> jax.Array:
    """The rotation vector (3,) rad from one quaternion to another, world frame."""
    return rotation_vector(rotation(wanted) * rotation(current).inv())
