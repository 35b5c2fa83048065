"""People's gait and EMG, as they are published; none of it is part of the library.

- EMG of nine leg muscles of nine people who walked at six speeds (Wang, Basu, Durandau & Sartori 2023, Wearable
  Technologies; Zenodo record 7422031, CC-BY-4.0), averaged over the gait cycle.
- Joint angles, moments and ground forces of a person who walked (Falisse et al. 2019, doi:10.1098/rsif.2019.0402; MIT).
"""

from __future__ import annotations

import dataclasses
import os
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from arnold.analysis.gait import Averages
from arnold.errors import UserError

SHARED = "ARNOLD_SHARED"
"""Environment variable: the folder in which `data/derived` holds the files."""
EMG_FILE, GAIT_FILE = "wang2022_human_emg.npz", "falisse2019_gait_reference.npz"
EMG_SOURCE = "Wang et al. 2023, Zenodo record 7422031, CC-BY-4.0"
GAIT_SOURCE = "Falisse et al. 2019, github.com/antoinefalisse/3dpredictsim, MIT"
# Columns of the gait averages as KINESIS hands them round, and their muscles in the KINESIS legs.
MUSCLES = {
    "Soleus": "soleus",
    "Medial Gastrocnemius": "gasmed",
    "Lateral Gastrocnemius": "gaslat",
    "Tibialis Anterior": "tibant",
    "Semimembranosus": "semimem",
    "Biceps Femoris": "bflh",
    "Vastus Lateral": "vaslat",
    "Rectus Femoris": "recfem",
    "Vastus Medial": "vasmed",
}
_NPY = re.compile(r"EMG_subject_(\d+)_walk_(\d+)_avg\.npy")
_KNEE_TURNS = ("knee_angle",)  # negative in flexion in Falisse's data, positive in the bodies here


@dataclasses.dataclass(frozen=True, eq=False)
class HumanEmg:
    """EMG envelopes over the gait cycle, averages over each person's cycles.

    Attributes:
        subjects: names of the N people.
        speeds: (V,) km/h.
        muscles: names of the K muscles, as the data have them.
        actuators: the same in the bodies here, without their side.
        mean: (N, V, P, K), from heel strike to heel strike.
    """

    subjects: tuple[str, ...]
    speeds: np.ndarray
    muscles: tuple[str, ...]
    actuators: tuple[str, ...]
    mean: np.ndarray

    def nearest(self, speed: float) -> tuple[float, np.ndarray]:
        """The measured speed nearest to ``speed`` (km/h), and the envelopes (N, P, K) at it."""
        place = int(np.argmin(np.abs(self.speeds - speed)))
        return float(self.speeds[place]), self.mean[:, place]


def load_human_emg(path: str | os.PathLike[str] | None = None) -> HumanEmg:
    """The EMG of Wang et al.

    Args:
        path: an npz with `mean` (subject, speed, percent, muscle), `subjects`, `speed_kmh`, `muscles` and
            `myoleg_actuator`; or the folder of npy files that KINESIS hands round (`emg_assets/human_emg`). The file
            below `ARNOLD_SHARED` where not given.

    Raises:
        UserError: where there is none, or it is not what it should be.
    """
    advice = (
        f"it is that of {EMG_SOURCE}, whose gait averages the Hugging Face data set amathislab/kinesis-assets has in "
        "emg_assets/human_emg: give that folder"
    )
    found = _found(path, EMG_FILE, "human EMG", advice)
    if found.is_dir():
        return _from_folder(found, advice)
    stored = _arrays(found, ("mean", "subjects", "speed_kmh", "muscles", "myoleg_actuator"), advice)
    human = HumanEmg(
        subjects=tuple(str(subject) for subject in stored["subjects"]),
        speeds=np.asarray(stored["speed_kmh"], float),
        muscles=tuple(str(muscle) for muscle in stored["muscles"]),
        actuators=tuple(str(name).removesuffix("_l").removesuffix("_r") for name in stored["myoleg_actuator"]),
        mean=np.asarray(stored["mean"], float),
    )
    shape = (len(human.subjects), len(human.speeds), len(human.muscles))
    if human.mean.ndim != 4 or (*human.mean.shape[:2], human.mean.shape[3]) != shape:
        raise UserError(
            f"human EMG {str(found)!r} has a mean of shape {human.mean.shape}; (subject, speed, percent, muscle) = "
            f"({shape[0]}, {shape[1]}, any, {shape[2]}) is accepted"
        )
    for subject, values in zip(human.subjects, human.mean, strict=True):
        _require_finite(values, f"subject {subject} of {str(found)!r}")
    return human


@dataclasses.dataclass(frozen=True, eq=False)
class HumanGait:
    """A walking person's average cycle, from heel strike to heel strike; names are without a side.

    Signs are those of the bodies here: flexion, adduction, inward rotation and dorsiflexion are positive.

    Attributes:
        angles: degrees (m for translations of the pelvis).
        moments: N m.
        forces: under the foot, % of body weight: "Fore-aft", "Vertical", "Lateral".
    """

    angles: Averages
    moments: Averages
    forces: Averages


def load_human_gait(path: str | os.PathLike[str] | None = None) -> HumanGait:
    """The average walk of Falisse et al.; the file below `ARNOLD_SHARED` where no path is given.

    Raises:
        UserError: where there is none, or it is not what it should be.
    """
    advice = f"the data are {GAIT_SOURCE}"
    found = _found(path, GAIT_FILE, "human gait reference", advice)
    kinds = {"angles": ("q", "degrees"), "moments": ("moment", "N m"), "forces": ("grf", "% body weight")}
    wanted = [f"{short}_{part}" for short, _ in kinds.values() for part in ("mean", "std", "all", "names")]
    stored = _arrays(found, wanted, advice)
    made = {}
    for kind, (short, unit) in kinds.items():
        names = tuple(str(name) for name in stored[f"{short}_names"])
        sign = np.array([-1.0 if name in _KNEE_TURNS else 1.0 for name in names])
        mean, sd = stored[f"{short}_mean"] * sign, stored[f"{short}_std"]
        made[kind] = Averages(
            names, np.linspace(0.0, 100.0, len(mean)), mean, sd, stored[f"{short}_all"].shape[2], unit
        )
    return HumanGait(**made)


def _found(path: str | os.PathLike[str] | None, name: str, what: str, advice: str) -> Path:
    """The file or folder that was given, or else the one below the shared folder."""
    if path is not None:
        given = Path(path).expanduser()
        if not given.exists():
            raise UserError(f"no {what} at {str(given)!r}; {advice}")
        return given
    shared = os.environ.get(SHARED)
    if shared and (Path(shared) / "data" / "derived" / name).is_file():
        return Path(shared) / "data" / "derived" / name
    where = f"{SHARED} is {shared!r} and holds no data/derived/{name}" if shared else f"{SHARED} is not set"
    raise UserError(f"no {what}: no path was given and {where}; {advice}")


def _arrays(path: Path, names: list[str] | tuple[str, ...], advice: str) -> Mapping[str, np.ndarray]:
    """Arrays of an npz file."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, AttributeError) as error:
        raise UserError(f"{str(path)!r} cannot be read as npz ({type(error).__name__}: {error}); {advice}") from error
    missing = [name for name in names if name not in arrays]
    if missing:
        raise UserError(f"{str(path)!r} lacks the arrays {', '.join(missing)}; {advice}")
    return arrays


def _array(path: Path, advice: str) -> np.ndarray:
    """The numbers of an npy file."""
    try:
        values = np.asarray(np.load(path, allow_pickle=False), float)
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{str(path)!r} cannot be read as npy ({type(error).__name__}: {error}); {advice}") from error
    _require_finite(values, repr(str(path)))
    return values


def _require_finite(values: np.ndarray, where: str) -> None:
    wrong = int(np.count_nonzero(~np.isfinite(values)))
    if wrong:
        raise UserError(f"EMG of {where} has {wrong} values that are not finite; fill the gaps or leave the person out")


def _from_folder(folder: Path, advice: str) -> HumanEmg:
    """EMG_subject_SS_walk_VV_avg.npy, each (P, 1 + K): time and nine muscles; VV is in tenths of km/h."""
    files = {(m[1], m[2]): file for file in sorted(folder.iterdir()) if (m := _NPY.fullmatch(file.name))}
    subjects, speeds = sorted({s for s, _ in files}, key=int), sorted({v for _, v in files}, key=int)
    absent = [f"EMG_subject_{s}_walk_{v}_avg.npy" for s in subjects for v in speeds if (s, v) not in files]
    if not files or absent:
        raise UserError(
            f"folder {str(folder)!r} lacks {', '.join(absent[:3]) or 'EMG_subject_SS_walk_VV_avg.npy'}; {advice}"
        )
    read = [[_array(files[s, v], advice) for v in speeds] for s in subjects]
    shapes = {values.shape for row in read for values in row}
    if len(shapes) != 1 or next(iter(shapes))[1:] != (1 + len(MUSCLES),):
        raise UserError(
            f"files in {str(folder)!r} have shapes {sorted(shapes)}; (samples, {1 + len(MUSCLES)}) is accepted for all"
        )
    mean = np.array(read, float)[..., 1:]
    kmh = np.array([int(v) / 10.0 for v in speeds])
    return HumanEmg(tuple(str(int(s)) for s in subjects), kmh, tuple(MUSCLES), tuple(MUSCLES.values()), mean)
