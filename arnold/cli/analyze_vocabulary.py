"""`arnold analyze vocabulary`: where words lie, and what muscles read."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from arnold.cli.options import Names, PhysicsOptions
from arnold.cli.output import Done, note, show_table
from arnold.errors import UserError

if TYPE_CHECKING:  # importing it imports JAX, which help and errors do not wait for
    from arnold.saved_policy import SavedPolicy
    from arnold.tasks import Environment


@dataclasses.dataclass(frozen=True)
class AnalyzeVocabulary:
    """Test whether a policy's words and muscles lie where anatomy would put them, and average what muscles read."""

    policy: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="POLICY")]
    """A name of the zoo, a checkpoint's folder, or a run; a transformer."""

    tasks: Annotated[Names, tyro.conf.arg(aliases=["--task"])] = ()
    """Tasks, or a group, whose muscles are looked at; the policy's own where not given."""

    episodes: int = 10
    """Episodes per task over which attention is averaged; 0 leaves attention out."""

    untrained: int = 199
    """Networks with fresh parameters, which the geometry is held against."""

    seed: int = 0
    """Of starts, goals, fresh parameters and permutations."""

    out: Path | None = None
    """Folder of the results; runs/analyses/POLICY/vocabulary where not given."""

    physics: PhysicsOptions = dataclasses.field(default_factory=PhysicsOptions)

    def run(self) -> Done:
        """Measure, print tests and relations, write tables and pictures."""
        from arnold.extras import extra_module

        for module in ("pandas", "sklearn"):
            extra_module(module, "analysis", "what the vocabulary learned")
        from arnold.checkpoints.durable import reported_writes
        from arnold.cli.task_names import expand, own_tasks
        from arnold.saved_policy import load
        from arnold.tasks import Environment, task

        if self.episodes < 0:
            raise UserError(f"--episodes is {self.episodes}; 0 (no attention) or more are accepted")
        saved = load(self.policy)
        tasks = expand(self.tasks) or own_tasks(saved)
        if not tasks:
            raise UserError(
                f"the tasks of {self.policy!r} ({', '.join(saved.tasks)}) are not known here; name some with --tasks"
            )
        environments = [Environment(task(name), self.physics.backend, self.physics.threads) for name in tasks]
        folder = (self.out or Path("runs") / "analyses" / Path(self.policy).name / "vocabulary").absolute()
        with reported_writes(folder):
            folder.mkdir(parents=True, exist_ok=True)
        written = self._geometry(saved, environments, folder)
        if self.episodes:
            written += self._attention(saved, environments, folder)
        return Done((*written, folder))

    def _geometry(self, saved: SavedPolicy, environments: list[Environment], folder: Path) -> tuple[Path, ...]:
        from arnold.analysis import vocabulary, vocabulary_pictures
        from arnold.checkpoints.durable import write_text

        geometry = vocabulary.Geometry(saved.policy, environments, self.untrained, self.seed, note)
        table = geometry(saved.params, seed=self.seed)
        told = ["body", "side", "space", "test", "effect", "p", "untrained", "p_untrained"]
        show_table(told, [_row(row, told) for row in table.to_dict("records")], "muscles in the policy's spaces")
        words = vocabulary.word_map(saved.policy, saved.params)
        similarity = vocabulary.word_similarity(saved.policy, saved.params)
        written = [
            write_text(folder / "geometry.csv", table.to_csv(index=False)),
            write_text(folder / "words.csv", words.to_csv(index=False)),
            write_text(folder / "word_similarity.csv", similarity.to_csv()),
        ]
        written.append(vocabulary_pictures.draw_words(folder / "words.png", words))
        if table["effect"].notna().any():
            written.append(vocabulary_pictures.draw_geometry(folder / "geometry.png", table))
        for body, muscles in geometry.muscles.items():
            spaces = {s.space: s.similarity() for s in muscles.vectors(saved.params)}
            for space, matrix in spaces.items():
                labelled = vocabulary.labelled(matrix, muscles.anatomy.muscles)
                written.append(write_text(folder / f"muscles-{body}-{space}.csv", labelled.to_csv()))
            picture = folder / f"muscles-{body}.png"
            written.append(vocabulary_pictures.draw_similarities(picture, muscles.anatomy, spaces))
        return tuple(written)

    def _attention(self, saved: SavedPolicy, environments: list[Environment], folder: Path) -> tuple[Path, ...]:
        import pandas as pd

        from arnold.analysis.attention import MEASURES, read
        from arnold.analysis.vocabulary_pictures import draw_reading
        from arnold.checkpoints.durable import write_text

        written, groups, relations, summaries = [], [], [], []
        for environment in environments:
            name = environment.task.name
            seen = read(
                saved.policy, (saved.params, saved.statistics), environment, episodes=self.episodes, seed=self.seed
            )
            note(f"{name}: attention averaged over {seen.samples} samples of {self.episodes} episodes")
            for measure in MEASURES:
                written.append(write_text(folder / f"{measure}-{name}.csv", seen.table(measure).to_csv()))
            written.append(draw_reading(folder / f"attention-{name}.png", seen))
            groups.append(seen.by_group())
            relations.append(seen.relations(seed=self.seed))
            summaries.append({"task": name, "samples": seen.samples, **seen.summary()})
        related = pd.concat(relations, ignore_index=True)
        told = ["task", "measure", "relation", "ratio", "p"]
        show_table(told, [_row(row, told) for row in related.to_dict("records")], "what muscles read more of")
        for title, table in (
            ("attention_groups", pd.concat(groups, ignore_index=True)),
            ("attention_relations", related),
            ("attention_summary", pd.DataFrame(summaries)),
        ):
            written.append(write_text(folder / f"{title}.csv", table.to_csv(index=False)))
        return tuple(written)


def _row(row: dict[str, Any], columns: list[str]) -> list[str]:
    return [f"{value:.3f}" if isinstance(value := row[name], float) else _said(value) for name in columns]


def _said(value: Any) -> str:
    return value if isinstance(value, str) else ""  # pandas' NA
