"""The verbs of the command line; importing them imports neither JAX nor MuJoCo."""

from __future__ import annotations

from typing import Protocol

from arnold.cli.analyze_ablation import AnalyzeAblation
from arnold.cli.analyze_emg import AnalyzeEmg
from arnold.cli.analyze_robustness import AnalyzeRobustness
from arnold.cli.analyze_subspace import AnalyzeSubspace
from arnold.cli.analyze_synergies import AnalyzeSynergies
from arnold.cli.analyze_vocabulary import AnalyzeVocabulary
from arnold.cli.bench import Bench
from arnold.cli.check import Check
from arnold.cli.distill import Distill
from arnold.cli.evaluate import Evaluate
from arnold.cli.export import Export
from arnold.cli.export_evalkit import ExportEvalkit
from arnold.cli.finetune import Finetune
from arnold.cli.info import Info
from arnold.cli.listing import List
from arnold.cli.output import Done
from arnold.cli.play import Play
from arnold.cli.record import Record
from arnold.cli.replay import Replay
from arnold.cli.retarget import Retarget
from arnold.cli.train import Train
from arnold.cli.video import Video
from arnold.cli.view import View


class Command(Protocol):
    """A parsed command."""

    def run(self) -> Done:
        """Do it."""
        ...


VERBS: dict[str, type[Command]] = {
    "list": List,
    "info": Info,
    "play": Play,
    "record": Record,
    "check": Check,
    "train": Train,
    "distill": Distill,
    "finetune": Finetune,
    "evaluate": Evaluate,
    "export": Export,
    "export mm-evalkit": ExportEvalkit,
    "analyze ablation": AnalyzeAblation,
    "analyze emg": AnalyzeEmg,
    "analyze robustness": AnalyzeRobustness,
    "analyze subspace": AnalyzeSubspace,
    "analyze synergies": AnalyzeSynergies,
    "analyze vocabulary": AnalyzeVocabulary,
    "bench": Bench,
    "view": View,
    "video": Video,
    "replay": Replay,
    "retarget": Retarget,
}
