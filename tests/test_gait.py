"""Heel strikes and cycles of planted gaits, signals over the cycle, and people's gait where the data are at hand."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("pandas", reason="pandas is of the extra `analysis`")

from shared_data import SHARED, needs

from arnold.analysis.gait import (
    Averages,
    Cycle,
    averaged,
    compare,
    gait_cycles,
    heel_strikes,
    low_passed,
    normalised,
    pearson,
    sided,
)
from arnold.analysis.human_data import load_human_gait
from arnold.errors import UserError

pytestmark = pytest.mark.unit

PERIOD, STANCE, WEIGHT = 1.1, 0.6, 800.0
FALISSE = "derived/falisse2019_gait_reference.npz"


def force(rate: float, strikes: np.ndarray, seconds: float, stance: float = STANCE * PERIOD) -> np.ndarray:
    """A foot that bears the whole weight from each strike for the stance, (T,) N."""
    time = np.arange(round(seconds * rate)) / rate
    return WEIGHT * np.any([(time >= s) & (time < s + stance) for s in strikes], axis=0).astype(float)


def walk(rate: float = 100.0, strides: int = 12, first: float = 0.4) -> dict[str, np.ndarray]:
    """Feet that strike in turn, half a period apart."""
    left = first + PERIOD * np.arange(strides + 1)
    seconds = first + PERIOD * (strides + 1)
    return {"left": force(rate, left, seconds), "right": force(rate, left + PERIOD / 2, seconds)}


@pytest.mark.parametrize("rate", [30.0, 100.0, 1000.0])
def test_heel_strikes_are_where_the_force_rises_at_any_rate(rate: float) -> None:
    """At 300 of 800 N the zero-lag filter is 20 ms early at most, and no sample's length late."""
    strikes = heel_strikes(walk(rate)["left"], rate)
    np.testing.assert_allclose(strikes, 0.4 + PERIOD * np.arange(13), atol=0.02 + 0.5 / rate)


def test_a_scuff_and_a_spike_are_no_heel_strikes() -> None:
    clean = walk(1000.0)["left"]
    noisy = clean.copy()
    noisy[:200] += 100.0  # the foot brushes the ground
    noisy[5000:5020] += 900.0  # 20 ms
    np.testing.assert_allclose(heel_strikes(noisy, 1000.0), heel_strikes(clean, 1000.0), atol=0.02)


def test_the_filter_keeps_slow_parts_where_they_are_and_takes_fast_ones_away() -> None:
    time = np.arange(400) / 100.0
    slow, fast = np.sin(2 * np.pi * 1.0 * time), np.sin(2 * np.pi * 20.0 * time)
    filtered = low_passed(slow + fast, 100.0)
    np.testing.assert_allclose(filtered[50:-50], slow[50:-50], atol=0.01)


def test_cycles_go_from_strike_to_strike_and_the_shortest_and_longest_are_dropped() -> None:
    strikes = 0.4 + np.concatenate([[0.0], np.cumsum([1.1, 1.1, 1.1, 0.8, 1.1, 1.1, 1.6, 1.1, 1.1, 1.1])])
    middle = 0.5 * (strikes[:-1] + strikes[1:])
    seconds = strikes[-1] + 1.0
    forces = {"left": force(100.0, strikes, seconds, 0.5), "right": force(100.0, middle, seconds, 0.3)}
    every = gait_cycles([forces], 100.0, "left", kept=1.0)
    assert [round(c.duration, 1) for c in every] == [1.1, 1.1, 1.1, 0.8, 1.1, 1.1, 1.6, 1.1, 1.1, 1.1]
    kept = gait_cycles([forces], 100.0, "left")
    assert [round(c.duration, 1) for c in kept] == [1.1] * 8
    for cycle in every:
        assert (cycle.opposite - cycle.begin) / cycle.duration == pytest.approx(0.5, abs=0.03)


def test_a_hop_on_one_foot_and_a_standing_pause_are_no_cycles() -> None:
    """The right foot misses one strike, and between two others it strikes twice."""
    left = 0.4 + PERIOD * np.arange(6)
    right = np.array([*(left[[0, 2, 4]] + PERIOD / 2), left[3] + 0.3, left[3] + 0.8])
    forces = {"left": force(100.0, left, 8.0, 0.6), "right": force(100.0, right, 8.0, 0.25)}
    found = gait_cycles([forces], 100.0, "left", kept=1.0)
    np.testing.assert_allclose([c.begin for c in found], left[[0, 2, 4]], atol=0.03)


def test_slow_cycles_are_left_out_and_speeds_are_told() -> None:
    forces = walk()
    time = np.arange(len(forces["left"])) / 100.0
    place = np.stack([np.maximum(time - 7.0, 0.0) * 1.2, 0.0 * time, 1.0 + 0.0 * time], axis=1)
    found = gait_cycles([forces], 100.0, "left", places=[place], kept=1.0)
    assert min(c.begin for c in found) > 5.5
    assert found[-1].speed == pytest.approx(1.2, abs=1e-6)


@pytest.mark.parametrize(
    ("forces", "said"),
    [
        ([{"left": np.zeros(300), "right": np.zeros(300)}], "no gait cycle of foot 'left' in 1 recordings of 3.0 s"),
        ([{"left": np.full(300, 400.0), "right": np.full(300, 400.0)}], "largest force 400 N"),
        ([], "in 0 recordings"),
        ([{"right": np.zeros(300)}], "two feet are needed"),
        ([{"left": np.full(300, np.nan), "right": np.zeros(300)}], "sample 0 of 300 is nan"),
    ],
)
def test_where_no_cycle_can_be_found_one_line_says_what_was_seen(forces: list, said: str) -> None:
    with pytest.raises(UserError, match=said):
        gait_cycles(forces, 100.0, "left")


def test_a_rate_too_low_for_the_filter_is_refused() -> None:
    with pytest.raises(UserError, match="more than 10 per second"):
        heel_strikes(np.zeros(100), 8.0)


def test_signals_over_the_cycle_are_the_signals_at_those_times() -> None:
    """A signal that is linear in time stays so; cycles of two recordings stand one below the other."""
    time = np.arange(400)[:, None] / 100.0
    signals = [np.concatenate([time, 2.0 - time], axis=1), 10.0 * np.concatenate([time, time], axis=1)]
    cycles = [Cycle(0, 0.505, 1.0, 1.505), Cycle(1, 1.0, 1.5, 2.0)]
    values = normalised(signals, 100.0, cycles, points=11)
    assert values.shape == (2, 11, 2)
    np.testing.assert_allclose(values[0, :, 0], np.linspace(0.505, 1.505, 11))
    np.testing.assert_allclose(values[1, :, 1], np.linspace(10.0, 20.0, 11))
    with pytest.raises(UserError, match=r"end at 3\.99 s"):
        normalised(signals, 100.0, [Cycle(0, 3.5, 3.7, 4.2)])


def test_means_and_deviations_are_over_cycles_and_a_single_cycle_has_no_deviation() -> None:
    signals = [np.repeat([[1.0], [3.0], [5.0]], 100, axis=0)]
    cycles = [Cycle(0, 0.1, 0.4, 0.8), Cycle(0, 1.1, 1.4, 1.8), Cycle(0, 2.1, 2.4, 2.8)]
    made = averaged(signals, ("x",), 100.0, cycles, unit="N", points=5)
    np.testing.assert_allclose(made.mean, 3.0)
    np.testing.assert_allclose(made.sd, 2.0)
    assert list(made.table().columns) == [("x", "mean"), ("x", "sd")]
    assert list(made.table().index) == [0.0, 25.0, 50.0, 75.0, 100.0]
    assert averaged(signals, ("x",), 100.0, cycles[:1]).sd is None


def averages(unit: str = "degrees", **curves: np.ndarray) -> Averages:
    values = np.stack(list(curves.values()), axis=1)
    return Averages(tuple(curves), np.linspace(0, 100, len(values)), values, None, 1, unit)


def test_comparison_tells_shape_size_and_offset_apart_and_notes_what_does_not_vary() -> None:
    wave = np.sin(np.linspace(0.0, 2 * np.pi, 101))
    ours = averages(knee_l=2.0 * wave + 5.0, hip_l=-wave, toe_l=0.0 * wave)
    theirs = averages(knee=wave[::2], hip=wave[::2], toe=wave[::2])
    table = compare(ours, theirs, sided(ours.names, "_l", theirs.names))
    assert table.loc["knee_l", "r"] == pytest.approx(1.0, abs=1e-3)
    assert table.loc["knee_l", "difference"] == pytest.approx(5.0, abs=0.01)
    assert table.loc["knee_l", "range"] == pytest.approx(4.0, abs=0.01)
    assert table.loc["knee_l", "rmse"] == pytest.approx(np.sqrt(25.0 + 0.5), abs=0.05)
    assert table.loc["hip_l", "r"] == pytest.approx(-1.0, abs=1e-3)
    assert table.loc["toe_l", "note"] == "does not vary: no r"
    assert pearson(np.zeros(5), np.arange(5)) is None
    with pytest.raises(UserError, match="cannot be compared"):
        compare(ours, averages("rad", knee=wave), {"knee_l": "knee"})
    with pytest.raises(UserError, match="did you mean 'knee_l'"):
        ours.of("knee_r")


@needs(FALISSE)
def test_a_persons_gait_is_read_with_the_signs_of_the_bodies_here() -> None:
    gait = load_human_gait(SHARED / FALISSE)
    knee, ankle = gait.angles.of("knee_angle"), gait.angles.of("ankle_angle")
    assert knee.min() > 0.0
    assert 60.0 < knee.max() < 75.0
    assert 65 < np.argmax(knee) < 80  # most in swing
    assert ankle.min() < -15.0  # push-off is below 0
    assert gait.angles.cycles == 11
    assert gait.moments.of("ankle_angle").min() < -80.0
    assert 95.0 < gait.forces.of("Vertical").max() < 125.0


def test_a_missing_reference_is_said_in_one_line_with_its_source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ARNOLD_SHARED", raising=False)
    with pytest.raises(UserError, match=r"ARNOLD_SHARED is not set; the data are Falisse et al\. 2019"):
        load_human_gait()
