"""Everything that is asked of muscle synergies, of several tasks at once: tables, figures in words, and pictures.

Per task and pooled, by nmf and by pca: the fit of 1, 2, ... synergies, also of held-out trials; their number by every
criterion; the synergies themselves. Between tasks: similarity of subspaces, and clusters of the nmf synergies.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from threadpoolctl import threadpool_limits

from arnold.analysis.muscle_signals import MuscleSignals, pooled
from arnold.analysis.subspaces import similarity
from arnold.analysis.synergies import METHODS, PURPOSE, Synergies, coefficients_of, extract, over_cycle
from arnold.analysis.synergy_clusters import Clusters, cluster
from arnold.analysis.synergy_number import VAF_OVERALL, curve, number_of_synergies
from arnold.analysis.synergy_pictures import draw_clusters, draw_number, draw_similarity, draw_synergies
from arnold.checkpoints.durable import reported_writes, write_text
from arnold.errors import UserError
from arnold.extras import extra_module

if TYPE_CHECKING:
    import pandas
    import xarray

POOLED = "pooled"


@dataclasses.dataclass(frozen=True, eq=False)
class SynergyReport:
    """Synergies of one body.

    Attributes:
        curves: by (method, set): from `synergy_number.curve`.
        numbers: by (method, set, criterion): from `synergy_number.number_of_synergies`.
        extracted: by method and set, the synergies; sets are the tasks and, of several, ``"pooled"``.
        courses: by set, the nmf synergies' coefficients over each trial, of all its samples (cycle, phase, synergy).
        similarity: of the tasks' subspaces, by method; None of one task.
        clusters: of the tasks' nmf synergies; None of one task, or of too few.
        omitted: what is not there, and why.
    """

    curves: Mapping[tuple[str, str], pandas.DataFrame]
    numbers: pandas.DataFrame
    extracted: Mapping[str, Mapping[str, Synergies]]
    courses: Mapping[str, xarray.DataArray]
    similarity: pandas.DataFrame | None
    clusters: Clusters | None
    omitted: tuple[str, ...]

    @property
    def tasks(self) -> tuple[str, ...]:
        """The sets that are not pooled."""
        return tuple(name for name in self.extracted["nmf"] if name != POOLED)

    def lines(self) -> list[str]:
        """What was found between tasks, and what was left out, a sentence each."""
        said = []
        if self.similarity is not None:
            for method, rows in self.similarity.groupby("method"):
                low, middle, high = (_share(rows["relative"].quantile(q)) for q in (0.0, 0.5, 1.0))
                said.append(
                    f"{method}: synergies of one task capture {middle} of what another's own do (median of pairs; "
                    f"{low} to {high}); mean angle {rows['mean_angle'].median():.0f}°, "
                    f"{rows['chance_angle'].median():.0f}° by chance"
                )
        if self.clusters is not None:
            shared = self.clusters.shared["sets"]
            everywhere, once = int((shared == len(self.tasks)).sum()), int((shared == 1).sum())
            said.append(
                f"{len(self.clusters.members)} synergies fall into {len(shared)} clusters: {everywhere} in all "
                f"{len(self.tasks)} tasks, {once} in one alone"
            )
        return [*said, *self.omitted]


@threadpool_limits.wrap(limits=1, user_api="blas")  # threads cost more than they give on matrices of this size
def synergy_report(
    sets: Sequence[MuscleSignals],
    *,
    count: int | None = None,
    share: float = VAF_OVERALL,
    samples: int = 1000,
    folds: int = 4,
    seed: int = 0,
    note: Callable[[str], None] = lambda line: None,
) -> SynergyReport:
    """Analyse the synergies of one body in one task or several.

    Args:
        sets: signals per task, of the same muscles.
        count: synergies to extract; where not given, of each set the smallest number that accounts for ``share``, or,
            where none does, as many as were tried.
        share: of the variance, overall.
        samples: of each set at most so many, evenly spread, to extract from.
        folds: of the cross-validation, at least 2.
        seed: of nmf's beginnings and of shuffling.
        note: given a line of progress.

    Raises:
        UserError: no signals, two of one name, different muscles, a share that is none, or more synergies than can be
            had.
    """
    pd = extra_module("pandas", "analysis", PURPOSE)
    if not 0.0 < share < 1.0:
        raise UserError(f"synergies are to account for {share} of the variance; a share between 0 and 1 is accepted")
    if not sets:
        raise UserError("no signals to find synergies of; give those of at least one task")
    names = [one.name for one in sets]
    twice = sorted({name for name in names if names.count(name) > 1 or name == POOLED})
    if twice:
        raise UserError(f"signals are called {', '.join(twice)} more than once; give each a name of its own")
    thin = {one.name: one.thinned(samples) for one in sets}
    if len(sets) > 1:
        thin[POOLED] = pooled(list(thin.values()), POOLED).thinned(samples)
    curves, numbers, courses, omitted = {}, {}, {}, []
    extracted: dict[str, dict[str, Synergies]] = {method: {} for method in METHODS}
    for name, signals in thin.items():
        if signals.silent:
            omitted.append(f"{name}: {', '.join(signals.silent)} never move, and are left out")
        for method in METHODS:
            curves[method, name] = curve(signals, method, folds=folds, restarts=0, seed=seed)
            omitted += [f"{name}, {method}: {line}" for line in curves[method, name].attrs["notes"]]
            numbers[method, name] = number_of_synergies(signals, curves[method, name], seed=seed)
            enough = curves[method, name].index[curves[method, name]["vaf"] >= share]
            if not (count or len(enough)):
                omitted.append(
                    f"{name}, {method}: {_share(share)} is more than {len(curves[method, name])} account for"
                )
            chosen = count or int(min(enough, default=len(curves[method, name])))
            extracted[method][name] = extract(signals, chosen, method, seed=seed)
        courses[name] = _courses(extracted["nmf"][name], [one for one in sets if name in (one.name, POOLED)])
        if single := courses[name].attrs["left_out"]:
            omitted.append(f"{name}: trials of a single sample have no course, and are not drawn; {single} of them")
        note(f"{name}: {extracted['nmf'][name].count} synergies account for {_share(extracted['nmf'][name].vaf)}")
    table = pd.concat(numbers, names=["method", "set"])
    alike, clusters = None, None
    if len(sets) > 1:
        alike = pd.concat(
            {method: similarity([extracted[method][name] for name in names], seed=seed) for method in METHODS},
            names=["method"],
        ).droplevel(1)
        try:
            clusters = cluster([extracted["nmf"][name] for name in names], seed=seed)
        except UserError as error:  # too few
            omitted.append(f"no clusters: {error}")
    return SynergyReport(curves, table, extracted, courses, alike, clusters, tuple(omitted))


def write_synergies(folder: Path, report: SynergyReport) -> tuple[Path, ...]:
    """Write the tables (CSV) and pictures (PNG) of a report.

    Args:
        folder: where to; made if missing.
        report: from `synergy_report`.

    Returns:
        ``fit.csv``, ``numbers.csv``, ``weights.csv``, ``muscles.csv`` (VAF and R² of each muscle), ``similarity.csv``
        and ``clusters.csv`` where there are several tasks; ``number-METHOD.png``, ``synergies-SET.png``,
        ``similarity.png``, ``clusters.png``.
    """
    pd = extra_module("pandas", "analysis", PURPOSE)
    of_each = {(method, name): one for method, sets in report.extracted.items() for name, one in sets.items()}
    tables: dict[str, Any] = {
        "fit": pd.concat(report.curves, names=["method", "set"]),
        "numbers": report.numbers,
        "weights": pd.concat({key: _long(one) for key, one in of_each.items()}, names=["method", "set"]).droplevel(2),
        "muscles": pd.concat({key: one.vaf_table() for key, one in of_each.items()}, names=["method", "set"]),
    }
    if report.similarity is not None:
        tables["similarity"] = report.similarity
    if report.clusters is not None:
        tables["clusters"] = report.clusters.members.set_index("set")
        tables["centroids"] = report.clusters.centroids
    with reported_writes(folder):
        folder.mkdir(parents=True, exist_ok=True)
        written = [
            write_text(folder / f"{name}.csv", table.to_csv(float_format="%.6g")) for name, table in tables.items()
        ]
    for method in METHODS:
        curves = {name: found for (by, name), found in report.curves.items() if by == method}
        written.append(draw_number(folder / f"number-{method}.png", curves))
    for name, found in report.extracted["nmf"].items():
        written.append(draw_synergies(folder / f"synergies-{name}.png", found, report.courses[name]))
    if report.similarity is not None:
        written.append(draw_similarity(folder / "similarity.png", report.similarity))
    if report.clusters is not None:
        groups = next(iter(of_each.values())).signals.groups
        written.append(draw_clusters(folder / "clusters.png", report.clusters, groups))
    return tuple(written)


def _courses(found: Synergies, sets: Sequence[MuscleSignals]) -> xarray.DataArray:
    """Coefficients of some synergies over each trial of some sets; thinning leaves too few samples of a trial."""
    xr = extra_module("xarray", "analysis", PURPOSE)
    each = []
    for signals in sets:
        coefficients = coefficients_of(found.weights, found.mean, signals.values, found.method)
        each.append(over_cycle(dataclasses.replace(found, signals=signals, coefficients=coefficients)))
    left_out = sum(one.attrs["left_out"] for one in each)
    return xr.concat(each, "cycle").assign_attrs(left_out=left_out)


def _long(found: Synergies) -> pandas.DataFrame:
    """A row per synergy and muscle."""
    table = found.weights_table().reset_index()
    return table.melt(id_vars=["muscle", "group"], var_name="synergy", value_name="weight")


def _share(share: float) -> str:
    return f"{100 * share:.1f} %"
