"""`check_task` names what is wrong with a task: one misbehaving task per failure; and tasks from files and packages."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from arnold.errors import UserError
from arnold.tasks import (
    Channel,
    Outcome,
    Pose,
    Reach,
    Start,
    Task,
    as_float,
    check_task,
    joint_channels,
    list_tasks,
    load_task_file,
    muscle_channels,
    registry,
    task,
)
from arnold.tasks.check import signals_at_rest
from arnold.vocab import Token

EXAMPLE = Path(__file__).parents[1] / "docs" / "examples" / "point_index_still_wrist.py"

pytestmark = pytest.mark.native


@pytest.fixture(autouse=True)
def _registry_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_REGISTRY", dict(registry._REGISTRY))


@dataclasses.dataclass(frozen=True)
class Flex(Task):
    """A task without fault, from which each misbehaving one differs by one method."""

    name: str = "flex"
    body: str = "elbow"
    weights: tuple = (("closeness", 1.0),)

    def goal(self, body, key):
        return jax.random.uniform(key, (1,), minval=0.0, maxval=2.0)

    def channels(self, body):
        read = lambda s, g: g - s.joint_position  # noqa: E731
        return (*joint_channels(body), Channel((Token(("elbow", "angle"), ("error",)),), read), *muscle_channels(body))

    def judge(self, body, signals, goal):
        error = jnp.abs(goal - signals.joint_position)[0]
        return Outcome({"closeness": -error}, error < 0.2, jnp.asarray(False))


def changed(**methods) -> Task:
    return type("Changed", (Flex,), methods)()


def problems(wrong: Task) -> str:
    report = check_task(wrong)
    assert not report.ok
    assert all("\n" not in line for line in report.problems)
    return "\n".join(report.problems)


def outcome(self, body, signals, goal, **given) -> Outcome:
    return dataclasses.replace(Flex.judge(self, body, signals, goal), **given)


def with_channel(token_count: int, read):
    tokens = tuple(Token(("thing", str(i)), ("position",)) for i in range(token_count))
    return lambda self, body: (*joint_channels(body), Channel(tokens, read))


def test_a_good_task_has_nothing_to_put_right() -> None:
    report = check_task(Flex())
    assert report.ok
    assert str(report).startswith("task 'flex': ready to train")


@pytest.mark.parametrize(
    ("methods", "said"),
    [
        (
            {"channels": with_channel(2, lambda s, g: s.activation)},
            r"channel 2 .*float32 \(6,\); it must be float32 \(2,\)",
        ),
        ({"channels": with_channel(1, lambda s, g: s.joint_position[0])}, r"float32 \(\); it must be float32 \(1,\)"),
        (
            {"channels": with_channel(1, lambda s, g: jnp.ones(1, jnp.int32))},
            r"int32 \(1,\); it must be float32 \(1,\)",
        ),
        ({"channels": with_channel(1, lambda s, g: 3.0)}, r"channel 2 .*float32 \(\); it must be float32 \(1,\)"),
        (
            {"channels": lambda self, body: 2 * joint_channels(body)},
            "channel 2 .*repeats the words 'elbow_flex.*of channel 0",
        ),
        ({"channels": lambda self, body: ()}, "observe nothing"),
        ({"channels": lambda self, body: (body,)}, "channel 0 is 'Body'; channels"),
        (
            {"channels": lambda self, body: joint_channels(body)[0].nothing},
            r"channels\(body\) fails at test_check_task.py:\d+",
        ),
        ({"judge": lambda self, b, s, g: g}, "judge returns '.*'; it returns Outcome"),
        (
            {"judge": lambda *a: outcome(*a, solved=jnp.zeros(1, bool))},
            r"judge: solved is bool \(1,\); it must be bool \(\)",
        ),
        (
            {"judge": lambda *a: outcome(*a, failed=jnp.float32(0))},
            r"judge: failed is float32 \(\); it must be bool \(\)",
        ),
        ({"judge": lambda *a: outcome(*a, terms={"closeness": jnp.zeros(3)})}, r"term 'closeness' is float32 \(3,\)"),
        (
            {"judge": lambda *a: outcome(*a, terms={"closenes": jnp.float32(0)})},
            "'closeness', which judge .*did you mean 'closenes'",
        ),
        (
            {"judge": lambda self, b, s, g: 1 if s.time > 1 else 2},
            r"judge\(.*fails at test_check_task.py:\d+: TracerBool",
        ),
        ({"judge": lambda self, b, s, g: s.site("wrst")}, "site 'wrst' is not among"),
        (
            {"judge": lambda self, b, s, g: s.joint_position[b.joint_index("r_elbow")]},
            "no joint 'r_elbow'; did you mean 'r_elbow_flex'",
        ),
        ({"advance": lambda self, b, s, g: (g, g)}, "advance changes the goal's structure"),
        (
            {"advance": lambda self, b, s, g: jnp.zeros(2)},
            r"advance changes goal from float32\[?\(?.*1.* to float32 .*2",
        ),
        ({"advance": lambda self, b, s, g: g.astype(jnp.int32)}, "advance changes goal from float32.* to int32"),
        (
            {"goal": lambda self, body, key: 1 / 0},
            r"goal\(body, key\) fails at test_check_task.py:\d+: ZeroDivisionError: division by zero",
        ),
        ({"goal": Task.goal}, "define goal"),
        (
            {"start": lambda self, body, key: None or body.rest_position},
            "start.* returns '.*'; it returns an arnold.tasks.Start",
        ),
        (
            {"start": lambda self, body, key: Start(jnp.zeros(2), jnp.zeros(1), jnp.zeros(6))},
            r"joint_position is float32 \(2,\)",
        ),
        ({"sites": ("wrst",)}, "no site 'wrst'; did you mean 'wrist'"),
    ],
)
def test_a_task_that_cannot_be_traced_is_told_what_is_wrong(methods: dict, said: str) -> None:
    assert re.search(said, problems(changed(**methods))), problems(changed(**methods))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"horizon": 0}, "horizon is 0"),
        ({"horizon": 12.5}, "horizon is 12.5"),
        ({"weights": ()}, "weights are empty"),
        ({"weights": (("closeness", float("nan")),)}, r"\('closeness', nan\)"),
        ({"weights": ("closeness",)}, "hold 'closeness'"),
        ({"body": "elbo"}, "unknown body 'elbo'; did you mean 'elbow'"),
    ],
)
def test_a_field_that_cannot_be_is_told(fields: dict, said: str) -> None:
    assert re.search(said, problems(Flex(**fields)))


def nan_later(*a) -> Outcome:
    bad = outcome(*a)
    return dataclasses.replace(bad, terms={"closeness": jnp.where(a[2].time > 0.1, jnp.nan, 0.0)})


@pytest.mark.parametrize(
    ("methods", "said"),
    [
        ({"judge": nan_later}, "the term 'closeness' is nan at control step 6 with rest"),
        (
            {"channels": with_channel(1, lambda s, g: jnp.log(-1 - s.joint_position))},
            "token 'thing.0.position' is not finite",
        ),
        ({"judge": lambda *a: outcome(*a, failed=jnp.asarray(True))}, "every episode fails within its first two"),
        (
            {"start": lambda self, body, key: Start(jnp.zeros(1), jnp.full(1, 1e10), jnp.zeros(6))},
            "the physics diverges in 16 of 16",
        ),
    ],
    ids=["nan-term", "nan-token", "ends-at-once", "diverges"],
)
def test_a_task_whose_numbers_go_wrong_is_told_when(
    methods: dict, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # MuJoCo writes its warnings to a file in the working directory
    assert re.search(said, problems(changed(horizon=12, **methods)))


@pytest.mark.parametrize(
    ("judge", "said"),
    [
        (lambda *a: outcome(*a, solved=jnp.asarray(True)), "every goal is solved at the first control step"),
        (lambda *a: outcome(*a, solved=jnp.asarray(False)), "no step was solved"),
        (
            lambda *a: outcome(*a, terms={"closeness": jnp.float32(0), "extra": as_float(a[2].time > 1)}),
            "'extra' has no weight",
        ),
    ],
    ids=["always", "never", "unweighted"],
)
def test_what_may_be_meant_is_a_note(judge, said: str) -> None:
    report = check_task(changed(judge=judge, horizon=8))
    assert report.ok
    assert any(said in note for note in report.notes)
    assert "note:" in str(report)


def test_what_is_no_task_is_refused() -> None:
    with pytest.raises(UserError, match="given 'str'"):
        check_task("elbow_pose")  # type: ignore[arg-type]


def test_a_reach_or_pose_with_a_wrong_name_is_told_the_nearest() -> None:
    assert "did you mean 'IFtip_r'" in problems(
        Reach(name="r", body="hand", tip="IFtip", low=(0, 0, 0), high=(1, 1, 1))
    )
    wrong = Pose(name="p", body="elbow", targets=(("r_elbow_flx", 0.0, 1.0),))
    assert "did you mean 'r_elbow_flex'" in problems(wrong)
    short = Pose(name="p", body="finger", targets=(("IFmcp", 0.0, 1.0),))
    assert "gives no target range for joints ['IFadb', 'IFpip', 'IFdip']" in problems(short)
    unreachable = Reach(name="u", body="finger", tip="IFtip", low=(5, 5, 5), high=(6, 6, 6), reachable=True)
    assert "move the box" in problems(unreachable)


def test_the_documentations_example_is_found_in_its_file_and_is_right() -> None:
    made = task(str(EXAMPLE))
    assert made is task(f"{EXAMPLE}:point_index_still_wrist")
    assert made in list_tasks()
    report = check_task(made)
    assert report.ok, str(report)
    body = made.compile()
    rest = signals_at_rest(body)
    goal = jnp.zeros(3)  # where the tip is
    turned = dataclasses.replace(rest, joint_position=rest.joint_position.at[body.joint_index("flexion_r")].set(0.3))
    still, moved = made.judge(body, rest, goal), made.judge(body, turned, goal)
    assert still.solved
    assert not moved.solved
    assert moved.terms["solved"] == 0
    np.testing.assert_allclose(moved.terms["still"], -0.3, rtol=1e-6)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("def f(:\n", r"failed at line 1: SyntaxError"),
        ("x = 1\n\nraise RuntimeError('no luck')\n", r"failed at line 3: RuntimeError: no luck"),
        ("import nowhere_to_be_found\n", r"failed at line 1: ModuleNotFoundError"),
        ("x = 1\n", "registers no task"),
        ("from arnold.tasks import register_task\nregister_task(3)\n", "given 'int'"),
        ("\x00\x01", "failed"),
    ],
    ids=["syntax", "raises", "import", "nothing", "no-task", "binary"],
)
def test_a_task_file_that_misbehaves_is_named_with_the_line(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "mine.py"
    path.write_text(text)
    with pytest.raises(UserError, match=said) as caught:
        load_task_file(path)
    assert "\n" not in str(caught.value)


def test_a_missing_task_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no task file at .*gone\.py"):
        task(str(tmp_path / "gone.py"))


def test_a_task_file_is_run_again_only_when_it_has_changed_and_a_failed_one_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    text = (
        "from arnold.tasks import Pose, register_task\n"
        "register_task(Pose(name='mine', body='elbow', targets=(('r_elbow_flex', 0.0, HIGH),)))\n"
    )
    path.write_text(text.replace("HIGH", "1.5"))
    first = task(str(path))
    assert task(str(path)) is first
    path.write_text(text.replace("HIGH", "2.25"))
    assert task(str(path)).targets[0][2] == 2.25
    path.write_text(text.replace("HIGH", "9.0").replace("mine", "yours") + "raise SystemExit('enough')\n")
    with pytest.raises(UserError, match="failed at line 3: SystemExit: enough"):
        task(str(path))
    with pytest.raises(UserError, match="unknown task 'yours'"):
        task("yours")


TWO = """
from arnold.tasks import Reach, register_task
box = dict(body="finger", tip="IFtip", low=(0.1, -0.1, 0.1), high=(0.2, 0.1, 0.2))
register_task(Reach(name="first_of_two", **box))
register_task(Reach(name="second_of_two", **box))
"""


def test_one_of_several_tasks_in_a_file_is_chosen_by_name(tmp_path: Path) -> None:
    path = tmp_path / "two.py"
    path.write_text(TWO)
    assert task(f"{path}:second_of_two").name == "second_of_two"
    with pytest.raises(UserError, match=r"has 2 tasks.*two\.py:NAME"):
        task(str(path))
    with pytest.raises(UserError, match=r"no task 'second'; did you mean 'second_of_two'"):
        task(f"{path}:second")


def test_names_that_are_unknown_or_taken_are_told() -> None:
    with pytest.raises(UserError, match="unknown task 'hand_indx_reach'; did you mean 'hand_index_reach'"):
        task("hand_indx_reach")
    with pytest.raises(UserError, match="'elbow_pose' is taken by a task that ships"):
        registry.register_task(dataclasses.replace(task("elbow_pose"), horizon=3))


def test_an_installed_package_offers_tasks_by_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    offered = importlib.metadata.EntryPoint("flex", f"{__name__}:Flex", registry.ENTRY_POINTS)
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: [offered] if group == "arnold.tasks" else [])
    assert task("flex") == Flex()
    assert Flex() in list_tasks()


def test_a_package_whose_entry_point_fails_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = importlib.metadata.EntryPoint("broken", "nowhere_to_be_found:made", registry.ENTRY_POINTS)
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: [broken])
    with pytest.raises(UserError, match=r"entry point 'broken' .*nowhere_to_be_found.*fix or uninstall"):
        task("something_else")
    assert task("elbow_pose").name == "elbow_pose", "what ships is still there"
