"""Every command at toy size, in this process: what it prints and writes, how it ends, what a mistake looks like."""

from __future__ import annotations

import dataclasses
import itertools
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from arnold.cli import _with_lists_joined, main
from arnold.cli.options import lists_of
from arnold.cli.verbs import VERBS

TASK = "elbow_pose"
ITERATIONS, STEPS = 2, 100  # rollouts of 25 steps in two environments
TOY = [
    "--environments",
    "2",
    "--set",
    "learner.rollout_steps=25",
    "learner.minibatches=2",
    "network.hidden=16",
    "learner.epochs=1",
]


class Ended(NamedTuple):
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def paths(self) -> list[Path]:
        """The paths at the end of the output."""
        lines = reversed(self.out.splitlines())
        return [Path(line) for line in itertools.takewhile(lambda line: line and Path(line).exists(), lines)][::-1]

    @property
    def complaint(self) -> str:
        """The one line of a user's mistake."""
        lines = self.err.strip().splitlines()
        assert self.code == 2
        assert lines[-1].startswith("arnold: ")
        assert "Traceback" not in self.err
        return lines[-1]


Command = Callable[..., Ended]


@pytest.fixture
def arnold(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Run a command in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def run(*words: str | Path) -> Ended:
        code = main([str(word) for word in words])
        seen = capsys.readouterr()
        return Ended(code, seen.out, seen.err)

    return run


@pytest.fixture(scope="module")
def expert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of a toy expert."""
    root = tmp_path_factory.mktemp("expert")
    assert main(["train", TASK, "--steps", str(STEPS), *TOY, "--runs", str(root)]) == 0
    (run,) = (root / TASK).iterdir()
    return run


# ---- what needs no physics ------------------------------------------------------------------------------------------


@pytest.mark.unit
def test_help_names_every_command_and_loads_neither_jax_nor_mujoco() -> None:
    code = "import sys\nfrom arnold.cli import main\ncode = main(['--help'])\n"
    code += "print(code, [name for name in ('jax', 'mujoco', 'matplotlib') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0 []"
    for verb in (
        "list",
        "info",
        "play",
        "check",
        "train",
        "distill",
        "finetune",
        "evaluate",
        "export",
        "bench",
        "replay",
        "retarget",
    ):
        assert f"• {verb} " in done.stdout


def test_an_option_of_several_values_given_twice_keeps_them_all() -> None:
    lists = {(verb, option) for verb, command in VERBS.items() for option in lists_of(command)}
    assert {("train", "--set"), ("evaluate", "--tasks"), ("analyze subspace", "--ranks")} < lists
    assert ("analyze ablation", "--task") in lists  # another spelling
    assert ("retarget", "--body") not in lists  # tyro appends them itself
    words = ["x", "--tasks", "a", "--seed", "-5", "y", "--task=b", "z", "--tasks", "c", "d"]
    joined = _with_lists_joined(words, lists_of(VERBS["analyze ablation"]))
    assert joined == ["x", "--seed", "-5", "y", "z", "--tasks", "a", "b", "c", "d"]


@pytest.mark.native
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["trian"], "did you mean 'train'?"),
        (["list", "task"], "did you mean 'tasks'"),
        (["info", "elbw"], "did you mean 'elbow'"),
        (["info", "FDS7"], "did you mean 'FDS5'"),
        (["info", "here/is/nothing"], "no policy 'here/is/nothing'"),
        (["train", "elbow_pos"], "did you mean 'elbow_pose'"),
        (["train"], "train what?"),
        (["train", "nothing.py"], "no task file at"),
        (["train", TASK, "--steps", "-5"], "steps is -5"),
        (["train", TASK, "--environments", "0"], "at least 1 is accepted"),
        (["train", TASK, "--set", "learner.epoch=2"], "did you mean 'epochs'"),
        (["train", TASK, "--set", "learner.epoch=2", "--steps", "5", "--set", "seed=2"], "did you mean 'epochs'"),
        (["train", TASK, "--set", "seed=1", "--set", "seed=2"], "give it once"),
        (["train", "--set=learner.epoch=2", TASK, "--set=seed=2"], "did you mean 'epochs'"),
        (["train", TASK, "--set", "learner.epochs=two"], "accepted: int"),
        (["train", TASK, "--set", "learner.epochs"], "write NAME=VALUE"),
        (["train", TASK, "--backend", "mjxx"], "did you mean 'mjx'"),
        (["train", TASK, "--threads", "0"], "--threads is 0"),
        (["train", TASK, "--log", "wandbb"], "did you mean 'wandb'"),
        (["distill", "arnold_full", "--log", "tensorbord"], "did you mean 'tensorboard'"),
        (["train", TASK, "--resume", "nowhere", "--steps", "5"], "steps cannot be given with it"),
        (["train", "--resume", "nowhere"], "is not a run"),
        (["distill", "quickstrat"], "did you mean 'quickstart'"),
        (["distill", "quickstart", "--preset", "smal"], "did you mean 'small'"),
        (["distill", "quickstart", "--mixture", f"{TASK}=few"], "a whole number"),
        (["distill", "quickstart", "--mixture", f"{TASK}=2", f"{TASK}=3"], "give it once"),
        (["finetune", "nowhere"], "fine-tune what on what?"),
        (["finetune", "nowhere", TASK, "--regime", "pppo"], "did you mean 'ppo'"),
        (["evaluate", "nowhere"], "no policy 'nowhere'"),
        (["play", "elbow_pos"], "did you mean 'elbow_pose'"),
        (["play", TASK, "--agent", "rndom"], "did you mean 'random'?"),
        (["play", TASK, "--episodes", "0"], "at least 1 is accepted"),
        (["bench", "phsyics"], "did you mean 'physics'"),
        (["bench", "policy", "--write", "README.md"], "no file 'README.md'"),
        (["replay", "nowhere"], "nowhere"),
        (["export", "nowhere", "name"], "no policy 'nowhere'"),
    ],
)
def test_a_mistake_is_one_line_that_says_what_is_accepted(arnold: Command, words: list[str], said: str) -> None:
    ended = arnold(*words)
    assert said in ended.complaint
    assert not Path("runs").exists(), "nothing is written before the mistake is found"


@pytest.mark.unit
def test_a_flag_that_does_not_exist_ends_with_code_2_and_the_nearest_flag(arnold: Command) -> None:
    ended = arnold("train", TASK, "--stepz", "4")
    assert len(ended.err.strip().splitlines()) == 1
    assert ended.code == 2
    assert "--steps" in ended.err


@pytest.mark.unit
def test_debug_shows_where_a_mistake_was_raised(arnold: Command) -> None:
    ended = arnold("--debug", "list", "task")
    assert ended.code == 2
    assert "Traceback" in ended.err


@pytest.mark.unit
def test_an_interruption_ends_with_the_code_that_a_shell_gives(
    arnold: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    from arnold.cli import listing

    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setitem(listing.LISTS, "tasks", interrupted)
    assert arnold("list", "tasks").code == 130


@pytest.mark.unit
def test_a_reader_that_goes_away_is_no_error() -> None:
    command = f'{sys.executable} -c \'from arnold.cli import main; raise SystemExit(main(["list", "maps"]))\' | true'
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.stderr == ""


@dataclasses.dataclass(frozen=True)
class Row:
    """A benchmark's row."""

    what: str
    steps_per_second: float


@pytest.mark.unit
def test_bench_replaces_what_is_between_the_markers_and_nothing_else(
    arnold: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from arnold.cli import bench

    monkeypatch.setattr(bench, "_measure", lambda name: [Row("the hand", 4321.0)])
    readme = tmp_path / "README.md"
    other = "<!-- bench mixture -->\nother figures\n<!-- /bench mixture -->\n"
    readme.write_text(f"before\n{other}<!-- bench all -->\nold figures\n<!-- /bench all -->\nafter\n")
    ended = arnold("bench", "all", "--write", readme)
    assert ended.code == 0
    assert ended.paths == [Path("README.md")]
    text = readme.read_text()
    assert text.startswith(f"before\n{other}<!-- bench all -->\n")
    assert text.endswith("\n<!-- /bench all -->\nafter\n")
    assert "old figures" not in text
    assert text.count("| the hand | 4,321 |") == len(bench.BENCHMARKS) - len(bench.SLOW)


# ---- lists and descriptions -----------------------------------------------------------------------------------------


@pytest.mark.native
@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("tasks", "hand_index_reach"),
        ("bodies", "MyoHand: 23 joints, 39 muscles"),
        ("words", "FDS2"),
        ("recipes", "quickstart"),
        ("policies", "polic"),
        ("maps", "1 / (1 + exp(-5 (action - 0.5)))"),
    ],
)
def test_every_list_names_what_ships(arnold: Command, what: str, said: str) -> None:
    ended = arnold("list", what)
    assert ended.code == 0
    assert said in ended.out


@pytest.mark.native
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("hand", ["39 muscles", "50 Hz", "FDS2_r", "FDS2 right muscle", "sigmoid"]),
        ("elbow_pose", ["horizon: 100 control steps", "1 pose + 1 act_reg + 1 solved", "28 tokens"]),
        ("quickstart", ["arnold distill quickstart", "learner.regime"]),
        ("FDS2", ["FDS2 right muscle activation", "hand_pose"]),
    ],
)
def test_info_describes_whatever_has_the_name(arnold: Command, name: str, said: list[str]) -> None:
    ended = arnold("info", name)
    assert ended.code == 0
    for part in said:
        assert part in ended.out


@pytest.mark.native
def test_check_passes_a_task_that_ships_and_fails_one_that_cannot_be_trained(arnold: Command, tmp_path: Path) -> None:
    assert arnold("check", TASK).code == 0
    source = "from arnold.tasks import Pose, register_task\n"
    source += "register_task(Pose(name='lost', body='elbow', targets=(('r_elbow_flx', 0.0, 1.0),)))\n"
    (tmp_path / "lost.py").write_text(source)
    ended = arnold("check", "lost.py")
    assert "cannot be trained as it is" in ended.complaint
    assert "'r_elbow_flex'" in ended.out


# ---- training, and what follows it ----------------------------------------------------------------------------------


@pytest.mark.train
def test_an_expert_is_trained_and_the_output_ends_with_the_runs_folder(expert: Path, arnold: Command) -> None:
    ended = arnold("info", expert)
    assert "an expert (MLP, hidden layers [16])" in ended.out
    assert f"trained for: {STEPS} environment steps" in ended.out
    assert f"trained on: {TASK}" in ended.out
    rows = (expert / "metrics.jsonl").read_text().splitlines()
    assert len(rows) == ITERATIONS


@pytest.mark.train
def test_a_finished_run_resumes_to_its_own_end_and_names_its_folder_last(expert: Path, arnold: Command) -> None:
    ended = arnold("train", "--resume", expert)
    assert ended.code == 0
    assert ended.paths[-1] == expert
    assert len((expert / "metrics.jsonl").read_text().splitlines()) == ITERATIONS


@pytest.mark.train
def test_an_evaluation_writes_json_csv_and_markdown_that_agree(expert: Path, arnold: Command, tmp_path: Path) -> None:
    ended = arnold("evaluate", expert, "--episodes", "3", "--experts", f"{TASK}={expert}", "--out", "results")
    assert ended.code == 0
    names = ["evaluation.json", "evaluation.csv", "evaluation.md", "results"]
    assert [path.name for path in ended.paths] == names
    detail = json.loads((tmp_path / "results/evaluation.json").read_text())
    (pair,) = detail["tasks"]
    assert pair["student"] == pair["expert"], "the same policy from the same starts to the same goals"
    assert len(pair["student"]["per_episode"]["reward"]) == 3
    assert "100.0 %" in ended.out or pair["expert"]["solved_step_fraction"] == 0.0


@pytest.mark.slow
@pytest.mark.train
def test_policies_beside_one_another_come_in_one_table_and_one_picture(expert: Path, arnold: Command) -> None:
    given = ("evaluate", "elbow_pose", "--tasks", TASK, "--episodes", "2", "--out", "results")
    ended = arnold(*given, "--beside", expert, "--experts", f"{TASK}=elbow_pose")
    assert ended.code == 0
    assert [path.name for path in ended.paths][-3:] == ["comparison.md", "radar.png", "results"]
    header, _, row = Path("results/comparison.md").read_text().splitlines()
    assert header == f"| task | elbow_pose | {expert} | expert |"
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[0] == TASK
    assert cells[1] == f"{cells[3]} (100.0 %)"
    assert cells[2] != cells[1]
    assert "given twice" in arnold(*given, "--beside", "elbow_pose").complaint


@pytest.mark.train
def test_the_seed_and_sampling_change_an_evaluation_and_repeating_does_not(expert: Path, arnold: Command) -> None:
    def rewards(*words: str) -> list[float]:
        ended = arnold("evaluate", expert, "--episodes", "2", "--out", "results", *words)
        assert ended.code == 0
        return json.loads(Path("results/evaluation.json").read_text())["tasks"][0]["student"]["per_episode"]["reward"]

    first = rewards()
    assert rewards() == first
    assert rewards("--seed", "1") != first
    assert rewards("--sampled") != first


@pytest.mark.train
def test_a_run_is_published_with_a_card_that_says_how_it_was_made(
    expert: Path, arnold: Command, tmp_path: Path
) -> None:
    ended = arnold("export", expert, "my_elbow", "--episodes", "2", "--folder", tmp_path / "zoo")
    assert ended.code == 0
    assert ended.paths[-1] == Path("zoo/my_elbow")
    card = json.loads((tmp_path / "zoo/my_elbow/card.json").read_text())
    assert (card["steps"], card["seed"], card["recipe"]) == (STEPS, 1, TASK)
    assert card["evaluation"][TASK]["episodes"] == 2
    assert "steps solved" in arnold("info", tmp_path / "zoo/my_elbow").out


@pytest.mark.slow
@pytest.mark.train
def test_a_second_stage_of_training_tells_of_the_first(expert: Path, arnold: Command, tmp_path: Path) -> None:
    trained = arnold("train", TASK, "--steps", str(STEPS // 2), "--start-from", expert, *TOY)
    assert f"and before that: {STEPS:,} on {TASK}" in arnold("info", trained.paths[-1]).out
    arnold("export", trained.paths[-1], "twice", "--episodes", "2", "--folder", tmp_path / "zoo")
    (before,) = json.loads((tmp_path / "zoo/twice/card.json").read_text())["trained_before"]
    assert (before["task"], before["steps"]) == (TASK, STEPS)
    assert before["wall_time_s"] > 0


@pytest.mark.train
def test_play_prints_a_row_per_episode_for_any_agent(expert: Path, arnold: Command) -> None:
    for agent in ("zero", str(expert)):
        ended = arnold("play", TASK, "--agent", agent, "--episodes", "2")
        assert ended.code == 0
        rows = ended.out.splitlines()[2:4]
        assert [row.split()[:2] for row in rows] == [["1", "100"], ["2", "100"]]


@pytest.mark.train
def test_experts_are_distilled_evaluated_and_reported(expert: Path, arnold: Command, tmp_path: Path) -> None:
    toy = ["--set", "learner.rollout_steps=4", "learner.minibatches=2"]
    given = ["--mixture", f"{TASK}=2", "--experts", f"{TASK}={expert}", "--preset", "tiny"]
    ended = arnold("distill", "quickstart", *given, "--steps", "16", "--episodes", "2", *toy)
    assert ended.code == 0
    run = ended.paths[-1]
    written = {path.name for path in ended.paths}
    assert {
        "evaluation.json",
        "report.md",
        "index.html",
        "learning.png",
        "comparison.png",
        f"episode_{TASK}.png",
    } <= written
    assert "data:image/png;base64," in (run / "report/index.html").read_text()
    assert "imitation" in (run / "metrics.csv").read_text().splitlines()[0]
    assert "a generalist (transformer" in arnold("info", run).out


@pytest.mark.train
def test_fine_tuning_starts_a_run_of_its_own_from_the_policys_parameters(expert: Path, arnold: Command) -> None:
    ended = arnold("finetune", expert, TASK, "--steps", "50", "--environments", "2", *TOY[2:5], "critic_warmup=1")
    assert ended.code == 0
    run = ended.paths[-1]
    assert run.parent.name == f"finetune_{TASK}"
    recipe = json.loads((run / "config.json").read_text())
    assert recipe["critic_warmup"] == 1
    assert Path(recipe["checkpoint"]).is_relative_to(expert)


# ---- damage ---------------------------------------------------------------------------------------------------------


@pytest.mark.train
def test_a_truncated_checkpoint_is_named_file_by_file(expert: Path, arnold: Command, tmp_path: Path) -> None:
    shutil.copytree(expert / "checkpoints", tmp_path / "copy/checkpoints")
    (checkpoint,) = (tmp_path / "copy/checkpoints").glob("step_*")
    largest = max(
        (path for path in (checkpoint / "policy").rglob("*") if path.is_file()), key=lambda path: path.stat().st_size
    )
    largest.write_bytes(largest.read_bytes()[:-7])
    for words in (["evaluate", checkpoint], ["info", checkpoint], ["play", TASK, "--agent", checkpoint]):
        assert largest.name in arnold(*words).complaint


@pytest.mark.train
def test_output_that_cannot_be_written_is_one_line_that_names_the_place(
    expert: Path, arnold: Command, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    assert "file/results" in arnold("evaluate", expert, "--episodes", "1", "--out", "file/results").complaint
    assert "file" in arnold("train", TASK, "--steps", str(STEPS), *TOY, "--runs", "file").complaint


@pytest.mark.slow
@pytest.mark.train
def test_a_dump_of_a_non_finite_iteration_is_replayed_and_its_arrays_named(
    expert: Path, arnold: Command, tmp_path: Path
) -> None:
    import jax
    import jax.numpy as jnp

    from arnold.checkpoints import load_config, load_learner, resolve, save_checkpoint
    from arnold.recipe import from_json
    from arnold.training import prepare

    config = load_config(resolve(expert))
    state = load_learner(resolve(expert), prepare(from_json(config["recipe"])).initial())
    state = state.__class__(**{**vars(state), "params": jax.tree.map(lambda x: x * jnp.nan, state.params)})
    policy = {"params": state.params, "statistics": state.statistics}
    save_checkpoint(tmp_path / "dump", policy=policy, config=config, learner=state)

    ended = arnold("replay", tmp_path / "dump")
    assert ended.code == 0
    assert "2 updates were not finite and skipped, 0 taken" in ended.out
    assert "params/policy/head/kernel" in ended.out
    assert "loss" in next(line for line in ended.out.splitlines() if line.startswith("figures"))
