"""A process of its own that reads a C3D file with ezc3d, which may crash on a damaged one, and writes what it holds.

``python -P c3d_process.py FILE`` writes an npz to its standard output. It imports nothing of this library: so it starts
fast.
"""

import io
import sys

import ezc3d
import numpy as np

MOST_BYTES = 8 << 30
"""Of memory: counts in a damaged header ask for more."""


def main(path: str) -> None:
    """Write points (4, N, T) and the parameters that say what they are."""
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES))
    except (ImportError, ValueError, OSError):
        pass  # not on every system
    content = ezc3d.c3d(path)
    parameters = content["parameters"]

    def texts(group: str, *names: str) -> np.ndarray:
        found = [text for name in names for text in parameters.get(group, {}).get(name, {}).get("value", [])]
        return np.array([str(text).strip() for text in found], dtype=np.str_)

    rate = [*parameters["POINT"].get("RATE", {}).get("value", []), content["header"]["points"]["frame_rate"]]
    buffer = io.BytesIO()
    np.savez(
        buffer,
        points=np.asarray(content["data"]["points"], float)[:3],
        rate=np.array(float(rate[0])),
        units=texts("POINT", "UNITS"),
        up=texts("POINT", "Y_SCREEN"),
        labels=texts("POINT", "LABELS", "LABELS2", "LABELS3"),
        descriptions=texts("POINT", "DESCRIPTIONS", "DESCRIPTIONS2", "DESCRIPTIONS3"),
        subjects=texts("SUBJECTS", "NAMES"),
    )
    sys.stdout.buffer.write(buffer.getvalue())


if __name__ == "__main__":
    main(sys.argv[1])
