"""A body in lines: muscles and joints with their words, control rate, action map."""

from __future__ import annotations

import math

from arnold.cli.output import plain_table
from arnold.embodiments import Body, Embodiment, embodiment, list_embodiments
from arnold.tasks import list_tasks
from arnold.vocab import TokenTable, quantities


def names() -> list[str]:
    """The bodies."""
    return [e.name for e in list_embodiments()]


def lines(name: str) -> list[str]:
    """The body called ``name``, or of a user's own MJCF file.

    Raises:
        UserError: an unknown name; a file that is missing, does not compile or has no muscles.
    """
    described = Embodiment.from_mjcf(name) if name.endswith(".xml") else embodiment(name)
    body = described.compile()
    tasks = [t.name for t in list_tasks() if t.embodiment.name == described.name]
    joint_rows = [
        [joint, _range(body, index), " ".join(token.entity)]
        for index, (joint, token) in enumerate(
            zip(body.joints, body.joint_tokens(quantities.JOINT_POSITION), strict=True)
        )
    ]
    muscle_rows = [
        [muscle, " ".join(token.entity)] for muscle, token in zip(body.muscles, body.action_table.tokens, strict=True)
    ]
    return [
        f"body {described.name}: {described.summary}",
        f"control: {1.0 / body.control_dt:.4g} Hz (a step of {body.control_dt:.4g} s is {described.frame_skip} "
        f"physics steps of {body.timestep:.4g} s)",
        f"action map: {described.action_map.name}: {described.action_map.formula}",
        f"tokens: {len(_observed(body))} of the body itself, {len(body.action_table)} muscles to drive",
        f"tasks: {', '.join(tasks) or 'none'}",
        f"fingerprint: {body.fingerprint}",
        "",
        plain_table(["joint", "range", "words"], joint_rows),
        "",
        plain_table(["muscle", "words"], muscle_rows),
    ]


def _observed(body: Body) -> TokenTable:
    """Position and velocity of every joint; length, velocity, force and activation of every muscle."""
    joints = (quantities.JOINT_POSITION, quantities.JOINT_VELOCITY)
    muscles = (
        quantities.MUSCLE_LENGTH,
        quantities.MUSCLE_VELOCITY,
        quantities.MUSCLE_FORCE,
        quantities.MUSCLE_ACTIVATION,
    )
    tokens = [token for q in joints for token in body.joint_tokens(q)]
    return TokenTable(tuple(tokens + [token for q in muscles for token in body.muscle_tokens(q)]))


def _range(body: Body, index: int) -> str:
    low, high = (float(x) for x in body.joint_range[index])
    return "no limits" if math.isinf(low) else f"{low:+.3f} to {high:+.3f}"
