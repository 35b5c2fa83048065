"""What a token can say of a thing: position, velocity, force, error, ... as words.

The word lists are Arnold's (arXiv:2508.18066). One quantity means one thing in every task, with one unit and one sign:

=============================  ==========================================  =====================================
quantity                       words                                       unit and sign
=============================  ==========================================  =====================================
joint position                 position angular                            rad (m for a sliding joint)
joint velocity                 velocity angular                            rad/s, never times a time step
joint error                    position angular error                      target minus current
joint target                   position angular target                     rad
muscle length                  position                                    m
muscle velocity                velocity                                    m/s, positive while lengthening
muscle force                   force                                       N, negative pulls
muscle activation              activation                                  0 to 1
site or object position        position linear AXIS                        m
site or object target          position target linear AXIS                 m
site or object error           position error linear AXIS                  target minus current
site or object velocity        velocity linear AXIS                        m/s
orientation, angular velocity  position angular AXIS, velocity ...         rotation vector in rad, rad/s
contact force                  contact force                               N
=============================  ==========================================  =====================================

A muscle to drive is named by the muscle and ``MUSCLE_ACTIVATION``: what is observed of it and what is commanded share
their words.
"""

from __future__ import annotations

from arnold.errors import UserError, did_you_mean

Quantity = tuple[str, ...]

AXES = ("x", "y", "z")

JOINT_POSITION: Quantity = ("position", "angular")
JOINT_VELOCITY: Quantity = ("velocity", "angular")
JOINT_ERROR: Quantity = ("position", "angular", "error")
JOINT_TARGET: Quantity = ("position", "angular", "target")

MUSCLE_LENGTH: Quantity = ("position",)
MUSCLE_VELOCITY: Quantity = ("velocity",)
MUSCLE_FORCE: Quantity = ("force",)
MUSCLE_ACTIVATION: Quantity = ("activation",)

CONTACT_FORCE: Quantity = ("contact", "force")


def _along(axis: str, *words: str) -> Quantity:
    """``words`` followed by the axis, which must be one of x, y and z."""
    if axis not in AXES:
        raise UserError(f"unknown axis {axis!r}: {did_you_mean(str(axis), AXES)}")
    return (*words, axis)


def site_position(axis: str) -> Quantity:
    """Position of a site or an object along ``axis``, in m."""
    return _along(axis, "position", "linear")


def site_target(axis: str) -> Quantity:
    """Where a site or an object should be along ``axis``, in m."""
    return _along(axis, "position", "target", "linear")


def site_error(axis: str) -> Quantity:
    """Target minus current position of a site or an object along ``axis``, in m."""
    return _along(axis, "position", "error", "linear")


def site_velocity(axis: str) -> Quantity:
    """Velocity of a site or an object along ``axis``, in m/s."""
    return _along(axis, "velocity", "linear")


def orientation(axis: str) -> Quantity:
    """Component ``axis`` of an orientation as a rotation vector, in rad."""
    return _along(axis, "position", "angular")


def orientation_target(axis: str) -> Quantity:
    """Component ``axis`` of the wanted orientation as a rotation vector, in rad."""
    return _along(axis, "position", "target", "angular")


def orientation_error(axis: str) -> Quantity:
    """Component ``axis`` of the rotation vector from the current to the wanted orientation, in rad."""
    return _along(axis, "position", "error", "angular")


def angular_velocity(axis: str) -> Quantity:
    """Component ``axis`` of the angular velocity of a site or an object, in rad/s."""
    return _along(axis, "velocity", "angular")
