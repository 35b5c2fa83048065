"""Bodies: where their MJCF comes from, their muscles, joints, sites and sensors, control rate and action map."""

from arnold.embodiments.action_maps import ACTION_MAPS, LENGTH_PD, SIGMOID, ActionMap, action_map
from arnold.embodiments.catalog import embodiment, list_embodiments, register_embodiment
from arnold.embodiments.changes import Change
from arnold.embodiments.embodiment import Body, Embodiment
from arnold.embodiments.signals import Frame, Signals

__all__ = [
    "ACTION_MAPS",
    "LENGTH_PD",
    "SIGMOID",
    "ActionMap",
    "Body",
    "Change",
    "Embodiment",
    "Frame",
    "Signals",
    "action_map",
    "embodiment",
    "list_embodiments",
    "register_embodiment",
]
