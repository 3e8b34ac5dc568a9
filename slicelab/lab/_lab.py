"""The lab: everything that can be done with one dataset, joined from the rooms. No logic of its own."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from slicelab import curation
from slicelab.core import (
    Bar,
    Candidate,
    Case,
    Change,
    Confidence,
    Inspection,
    InvalidInputError,
    LabelSchema,
    LoadReport,
    Rule,
    SampleTable,
    Slice,
    StateError,
    StoreError,
    Thumbnail,
    Work,
)
from slicelab.lab._discovering import discovery_apart, discovery_inputs, group_names
from slicelab.lab._embed import Engine
from slicelab.lab._first_map import Arrival, Maps, running_loop
from slicelab.lab._groups import Groups
from slicelab.lab._label_schema import define_classes
from slicelab.lab._looking import Looking
from slicelab.lab._pictures import Pictures
from slicelab.lab._queue import LabQueue
from slicelab.lab._roadmap import roadmap
from slicelab.lab._suite import LabSuite
from slicelab.lab._units import Population, Units
from slicelab.store import (
    Cases,
    Connection,
    DatasetInfo,
    Datasets,
    LabelSchemas,
    Queues,
    Slices,
    Vectors,
    matching,
)

if TYPE_CHECKING:
    import fiftyone as fo
    import torch

    from slicelab.discovery import CandidateSlices
    from slicelab.embeddings import Precision
    from slicelab.store import AppSession
    from slicelab.widgets import Explorer, Review

log = logging.getLogger("slicelab")

DEFAULT = "default"


class Lab:
    """A dataset with its models' predictions, slices, cases and queues.

    Make one by `slicelab.load` or `slicelab.open`.

    Parameters
    ----------
    connection, name
        The database and the dataset's name.
    """

    def __init__(self, connection: Connection, name: str) -> None:
        self._connection = connection
        self.name = name
        self.load_report: LoadReport | None = None
        self._datasets = Datasets(connection)
        self._slices = Slices(connection.records, name)
        self._cases = Cases(connection.records, name)
        self._queues = Queues(connection.records, name)
        self._vectors = Vectors(connection, name)
        self._maps = Maps(self._vectors)
        self._schemas = LabelSchemas(connection.records, name)
        self._units = Units(self._datasets, name, cache=connection.home / "cache")
        self._pictures = Pictures(self._units, cache=connection.home / "cache" / "thumbnails")
        self._looking = Looking(self._units, self._vectors)
        self._groups = Groups(self._datasets, name, self._units, self._vectors)
        self._found: dict[str, CandidateSlices] = {}
        self._settings: dict[str, dict[str, Any]] = {}  # of the discoveries in `_found`

    # -- the dataset ---------------------------------------------------------------------------------------------

    @property
    def dataset(self) -> fo.Dataset:
        """The FiftyOne dataset itself: nothing is hidden."""
        return self._datasets.open(self.name)

    @property
    def info(self) -> DatasetInfo:
        """What SliceLab knows of the dataset: task, classes, models, label field."""
        return self._datasets.info(self.name)

    @property
    def models(self) -> list[str]:
        """Names of the models, in the order of loading."""
        return list(self.info.models)

    @property
    def table(self) -> SampleTable:
        """Samples and present labels."""
        return self._units.table()

    @property
    def groups(self) -> Groups:
        """Which images aren't independent: what the dataset says of it, and what can be found out."""
        return self._groups

    def units(self, model: str) -> pd.DataFrame:
        """Return what is right and wrong under a model.

        Parameters
        ----------
        model
            Its name.

        Returns
        -------
        DataFrame, one row per unit, index `unit`; columns as `slicelab.core.UNIT_COLUMNS` (and for detection
        `BOX_UNIT_COLUMNS`), `sha256`, the dataset's metadata columns, and image statistics once `statistics` ran;
        `group_id` is the group of its image.

        Raises
        ------
        NotFoundError
            No predictions of that model.
        """
        return self._units.frame(model)

    def evaluate(self, model: str, *, confidence: Confidence | Literal["f1"] | None = None) -> pd.DataFrame:
        """Store every unit's outcome on the dataset and measure the model.

        Parameters
        ----------
        model
            Its name.
        confidence
            Detection: the operating point, from which on the model's boxes count; it is kept with the model, and
            everything that asks what the model gets right heeds it: units, slices, suites (their files as well) and
            merges. A number such as the threshold of deployment, one per class such as `{"knife": 0.3, "*": 0.5}`
            ("*": all others), or "f1": where F1 over the whole dataset is highest now. None: as it is kept; where
            nobody has set one, the best F1 is found once and kept as a number.

        Returns
        -------
        DataFrame, one row per metric: value, low, high (95 %), n. `attrs["confidence"]` is the operating point.

        Raises
        ------
        InvalidInputError
            Such a confidence can't be, or the dataset holds classifications.
        """
        if confidence is not None:
            self._units.set_confidence(model, confidence)
        self._datasets.write_outcomes(self.name, model, self._units.frame(model))
        found = self._units.overall(model)
        for level in self._units.operating_points([model]).values():
            found.attrs["confidence"] = level
        return found

    def confusion(self, model: str) -> pd.DataFrame:
        """Return the confusion matrix: rows are labels, columns predictions, values counts."""
        from slicelab.evaluation import confusion

        return confusion(self._units.frame(model))

    def statistics(self, *, progress: bool = True) -> pd.DataFrame:
        """Measure every unit's picture (brightness, contrast, sharpness, ...); units and rules have them from now on.

        Units also get `near_duplicates` and `uniqueness`, of `groups.near_duplicates`.

        Returns
        -------
        DataFrame, index `unit`, columns as `slicelab.embeddings.image_statistics`.
        """
        self._units.alike(progress=progress)
        return self._units.measure(self.models, progress=progress)

    # -- vectors -------------------------------------------------------------------------------------------------

    def embed(
        self,
        source: npt.ArrayLike | str | Path | None = None,
        *,
        model: torch.nn.Module | None = None,
        layer: str | None = None,
        size: int = 224,
        precision: Precision = "float32",
        compiled: bool = False,
        units: Sequence[str] | None = None,
        name: str = DEFAULT,
        batch_size: int = 64,
        device: str = "auto",
        progress: bool = True,
        engine: Engine = "local",
        address: str | None = None,
        output: str | Path | None = None,
        partition_size: int = 1024,
        media: Mapping[str, str] | None = None,
    ) -> npt.NDArray[np.float32]:
        """Give every unit a vector.

        Parameters
        ----------
        source
            An array (n, d) with rows in the order of `units`, or a file of one (.npy); a file or folder with weights
            (TorchScript, torch.export, ONNX, a local transformers or timm folder); None: `model`, or without it a
            fixed descriptor of colour, gradient and texture that needs no weights.
        model, layer, size
            A torch module, the name of the layer whose output is taken (None: its output), and the side in pixels to
            which pictures are resized.
        precision
            In which a torch module computes: "float32", or "bfloat16" or "float16" for what torch's autocast thinks
            fit for it; meant for GPUs.
        compiled
            Whether a torch module is compiled first (torch.compile), for a GPU and ten thousands of pictures: it takes
            up to a minute.
        units
            Of an array's rows. None: the samples in the dataset's order; for detection the labelled boxes in theirs.
        name
            Under which the vectors are kept.
        batch_size, device, progress
            Pictures at once; "auto" takes a GPU when there is one; show a progress bar.
        engine
            "ray" deals the pictures to the workers of a Ray cluster and stores what they return; a worker that dies
            costs the partition that it had in hand, and a call that was stopped goes on where it stopped.
        address
            Of the cluster: "auto", "host:port" or "ray://host:port"; None: one of this machine alone.
        output
            Folder or fsspec URL, seen by this process and all workers, for the partitions (Parquet); None, without an
            address: beside the cache.
        partition_size
            Pictures per partition.
        media
            By folder of the dataset's pictures: the folder or fsspec URL under which workers find it.

        Returns
        -------
        float32 (n, d), as stored. What was computed before is not computed again; a run that was stopped goes on.
        """
        from slicelab.lab._embed import embed

        return embed(
            self._units,
            self._vectors,
            source,
            models=self.models,
            module=model,
            layer=layer,
            size=size,
            precision=precision,
            compiled=compiled,
            units_of_array=units,
            name=name,
            batch_size=batch_size,
            device=device,
            progress=progress,
            cache=self._connection.home / "cache" / "vectors",
            engine=engine,
            address=address,
            output=output,
            partition_size=partition_size,
            media=media,
        )

    def embeddings(self, name: str = DEFAULT) -> tuple[list[str], npt.NDArray[np.float32]]:
        """Return unit ids (n,) and their vectors float32 (n, d)."""
        return self._vectors.load(name)

    def has_embeddings(self, name: str = DEFAULT) -> bool:
        """Tell whether units have vectors of that name."""
        return self._vectors.identity(name) is not None

    def has_map(self, name: str = DEFAULT) -> bool:
        """Tell whether the map of these vectors is kept, so that `project` and `explore` have it at once."""
        return self._maps.is_kept(name)

    def project(self, name: str = DEFAULT, *, random_state: int = 0, progress: bool = True) -> pd.DataFrame:
        """Return the 2-D UMAP map of the vectors: DataFrame, index `unit`, columns x and y.

        It is computed once for the same vectors and kept.
        """
        return self._maps.make(name, random_state=random_state, progress=progress)

    def discover(
        self,
        model: str,
        *,
        embeddings: str = DEFAULT,
        population: Population = "labelled",
        graded: bool = False,
        groups: str | None = None,
        describe: bool = True,
        max_slices: int = 20,
        random_state: int = 0,
        workers: int = 1,
        progress: bool = True,
    ) -> CandidateSlices:
        """Propose slices on which a model fails more than on others of their class.

        Parameters
        ----------
        model
            Its name.
        embeddings
            Name of the vectors.
        population
            For detection: "labelled" searches the labelled objects (missed, misclassified or badly located),
            "spurious" the predicted boxes for those that no label explains.
        graded
            Take the loss, 1 - p(label), instead of right or wrong.
        groups
            A metadata column whose equal values mark units that are not independent, such as the video or patient of a
            sample; where its value is missing, the dataset's own group counts. None: the dataset's own groups, which
            are its images unless it was loaded with others.
        describe
            Describe slices by rules over metadata, position and image statistics (measured once, then kept).
        max_slices, random_state, workers, progress
            As `slicelab.discovery.discover`.

        Returns
        -------
        CandidateSlices, best first; `unit_ids` of each are this dataset's.

        Raises
        ------
        InvalidInputError
            No such column, or a population that the task doesn't have.
        """
        from slicelab.discovery import discover

        found = discover(
            **discovery_inputs(
                self._units,
                self._vectors,
                model,
                embeddings=embeddings,
                population=population,
                graded=graded,
                groups=groups,
                describe=describe,
                progress=progress,
            ),
            max_slices=max_slices,
            random_state=random_state,
            workers=workers,
            progress=progress,
        )
        self._found[model] = found
        self._settings[model] = {
            "embeddings": embeddings,
            "population": population,
            "graded": graded,
            "groups": groups or self._units.table().group,
            "max_slices": max_slices,
            "random_state": random_state,
        }
        return found

    def discovery(self, model: str, *, embeddings: str = DEFAULT) -> Work:
        """Return the search of `discover` as work beside the notebook, which can be watched and stopped.

        Its result is what `discover` returns; the explorer's "Discover" button begins it.
        """

        def keep(found: CandidateSlices) -> CandidateSlices:
            self._found[model] = found
            self._settings[model] = {"embeddings": embeddings, "groups": self._units.table().group}
            return found

        cache = self._connection.home / "cache"
        return discovery_apart(self._units, self._vectors, model, embeddings=embeddings, cache=cache, keep=keep)

    def discover_rules(
        self,
        model: str,
        *,
        population: Population = "labelled",
        groups: str | None = None,
        max_slices: int = 20,
        random_state: int = 0,
        progress: bool = True,
    ) -> tuple[Candidate, ...]:
        """Propose slices from metadata, position and image statistics alone; needs no vectors.

        Parameters
        ----------
        model, population, groups
            As `discover`.
        max_slices, random_state
            As `slicelab.discovery.discover_rules`.
        progress
            Show a progress bar while pictures are measured.

        Returns
        -------
        Candidates, best first, each with its `rule`; tested on held-out units as those of `discover`.
        """
        from slicelab.discovery import discover_rules

        units = self._units.population(model, population)
        confidences = units["confidence"].to_numpy(float)
        return discover_rules(
            self._units.attributes(units, progress=progress).assign(label=units["label"]),
            units["failure"].to_numpy(bool),
            units["label"].to_numpy(object),
            confidences=confidences if np.isfinite(confidences).all() else None,
            groups=group_names(units, groups),
            max_slices=max_slices,
            random_state=random_state,
            ids=list(units.index),
        )

    def explore(self, model: str, *, embeddings: str = DEFAULT, **options: Any) -> Explorer:
        """Open the widget: map, slices, pictures, and curation by hand.

        Where no map is kept yet, a notebook gets the first two principal components at once; the units move to their
        places on the UMAP map while that is made, and the notebook stays free. Elsewhere it is made first.

        Parameters
        ----------
        model
            Its name.
        embeddings
            Name of the vectors. They are computed with the default embedder if there are none.
        options
            As `slicelab.widgets.Explorer`.
        """
        from slicelab.evaluation import proportion_interval, who_fails
        from slicelab.widgets import Explorer

        if embeddings == DEFAULT and not self.has_embeddings():
            self.embed()
        points, loop = self._maps.kept(embeddings), running_loop()
        unfinished = points is None and loop is not None
        if points is None:
            points = self.project(embeddings) if loop is None else self._maps.first(embeddings)
        units = self._units.frame(model)
        units = units.loc[units.index[units.index.isin(points.index)]]
        failures = self._looking.failures([model, *(m for m in self.models if m != model)], units.index)
        if failures.shape[1] > 1:
            units["wrong under"] = who_fails(failures)
        explorer = Explorer(
            units,
            points.loc[units.index].to_numpy(np.float32),
            desk=self,
            candidates=list(self._found.get(model) or ()),
            model=model,
            failures=failures,
            interval=proportion_interval,
            **options,
        )
        if loop is not None and unfinished:
            Arrival(self._maps, embeddings, explorer, units.index, loop).start()
        return explorer

    def open_app(self, explorer: Explorer | None = None, *, port: int | None = None) -> AppSession:
        """Open FiftyOne's App on this dataset, with SliceLab's operators and panel in it.

        Parameters
        ----------
        explorer
            Its selection and the App's follow each other: units become their samples, samples all their units.
        port
            None: a free one, on this machine only.

        Returns
        -------
        AppSession; `url` is where the App is, `session` FiftyOne's own.
        """
        from slicelab.lab._app import open_app

        return open_app(self.dataset, self._units, explorer, port)

    def inspect(self, units: Sequence[str], model: str) -> Inspection:
        """Compare units with the rest: confusions, which models fail, metadata and image statistics."""
        return self._looking.inspect(units, model, self.models)

    def describe(self, units: Sequence[str], model: str) -> Rule | None:
        """Return the rule over metadata, position and image statistics that describes units best; None: none does."""
        return self._looking.describe(units, model)

    def neighbours(self, unit: str, model: str, *, count: int = 8, embeddings: str = DEFAULT) -> list[str]:
        """Return the nearest units of the same label that a model handles correctly, nearest first."""
        return self._looking.neighbours(unit, model, count=count, embeddings=embeddings)

    def thumbnails(self, units: Sequence[str], *, size: int = 128) -> list[Thumbnail]:
        """Return a small JPEG of each unit with its boxes, in order."""
        return self._pictures.thumbnails(units, models=self.models, size=size)

    # -- slices --------------------------------------------------------------------------------------------------

    def slices(self) -> list[Slice]:
        """Return the living slices, by name."""
        return [s for s in self._slices.all() if not s.dismissed]

    def dismissed(self) -> list[Slice]:
        """Return the candidates that people said are no slices, by name; `dismissed` of each is the reason."""
        return [s for s in self._slices.all() if s.dismissed]

    def dismissals(self, candidates: Sequence[Candidate]) -> list[str]:
        """Return for each candidate why it, or one with mostly the same units, was dismissed ("": it wasn't)."""
        known = self.dismissed()
        again = [curation.dismissal_of(candidate, known) for candidate in candidates]
        return ["" if slice_ is None else slice_.dismissed for slice_ in again]

    def kept_as(self, candidates: Sequence[Candidate]) -> list[str]:
        """Return for each candidate the name of the slice that it, or one with mostly the same units, became ("")."""
        known = self.slices()
        kept = [curation.kept_of(candidate, known) for candidate in candidates]
        return ["" if slice_ is None else slice_.name for slice_ in kept]

    def slice(self, name: str) -> Slice:
        """Return the slice of that name, or raise `NotFoundError`."""
        return self._slices.get(name)

    def slice_versions(self, name: str) -> list[Slice]:
        """Return every version of a slice, oldest first."""
        return self._slices.versions(self.slice(name).slice_id)

    def promote_slice(self, candidate: Candidate, *, name: str | None = None, note: str = "") -> Slice:
        """Make a slice of a candidate.

        Parameters
        ----------
        candidate
            From `discover`.
        name
            None: the candidate's own.
        note
            A person's words.
        """
        model = self._model_of(candidate)
        change = curation.from_candidate(
            candidate,
            name=name or candidate.name,
            model=model,
            note=note,
            existing=self._slices.all(),
            provenance={} if model is None else {"discovery": self._settings[model]},
        )
        return self._made(change)

    def _model_of(self, candidate: Candidate) -> str | None:
        found = self._found.items()
        return next((m for m, each in found if any(c is candidate for c in (*each, *each.leads))), None)

    def dismiss(self, candidate: Candidate, *, reason: str) -> Slice:
        """Say that a candidate is no slice; the explorer shows it as dismissed, after later discoveries too.

        Parameters
        ----------
        candidate
            From `discover`.
        reason
            Why, in a person's words.
        """
        model = self._model_of(candidate)
        return self._made(curation.dismiss(candidate, reason=reason, model=model, existing=self._slices.all()))

    def create_slice(
        self,
        name: str,
        *,
        units: Sequence[str] | None = None,
        rule: str | fo.ViewExpression | None = None,
        model: str | None = None,
        note: str = "",
    ) -> Slice:
        """Make a slice from units (a lasso, a list) or from a rule.

        Parameters
        ----------
        name
            Of the new slice.
        units
            Unit ids.
        rule
            An expression over the columns of `units(model)`, like `label == "knife" and brightness < 0.2`; or one of
            FiftyOne's over its samples' fields, like `ViewField("metadata.width") < 200`: all units of the samples
            that it matches now become members, and the slice's note says which it was.
        model
            Under which a rule is read; None: the first.
        note
            A person's words.
        """
        if rule is not None and not isinstance(rule, str):
            if units is not None:
                raise InvalidInputError("Give either the slice's units or a rule, not both.")
            keys, words = matching(self.dataset, rule)
            known = self._units.known(self.models)
            units, rule, note = list(known.index[known["key"].isin(keys)]), None, note or words
        frame = (
            self._units.known(self.models) if units is not None else self._units.for_rule(rule, model or self._first())
        )
        change = curation.create_slice(
            name, members=units, rule=rule, units=frame, model=model, note=note, existing=self._slices.all()
        )
        return self._made(change)

    def rename_slice(self, name: str | Slice, new_name: str) -> Slice:
        """Give a slice another name.

        Here and in the other changes a slice may be given as it was seen: if somebody has changed it since, this
        raises `ConflictError` and changes nothing. By its name it is changed as it is now.
        """
        return self._made(curation.rename(self._slice_of(name), new_name, existing=self._slices.all()))

    def note_slice(self, name: str | Slice, note: str) -> Slice:
        """Write a slice's note."""
        return self._made(curation.note(self._slice_of(name), note))

    def add_to_slice(self, name: str | Slice, units: Sequence[str]) -> Slice:
        """Add units to a slice."""
        return self._made(curation.add(self._slice_of(name), units, units=self._units.known(self.models)))

    def remove_from_slice(self, name: str | Slice, units: Sequence[str]) -> Slice:
        """Take units out of a slice."""
        return self._made(curation.remove(self._slice_of(name), units))

    def merge_slices(self, names: Sequence[str | Slice], *, into: str) -> Slice:
        """Make one slice of several; those are deleted."""
        return self._made(curation.merge([self._slice_of(n) for n in names], into, existing=self._slices.all()))

    def split_slice(self, name: str | Slice, groups: dict[str, Sequence[str]]) -> list[Slice]:
        """Put several slices in the place of one.

        Parameters
        ----------
        name
            The slice.
        groups
            Unit ids by the name of each new slice; all of them members of the slice.
        """
        change = curation.split(self._slice_of(name), groups, existing=self._slices.all())
        self._apply(change)
        return [edit.after for edit in change.edits if edit.after is not None]

    def regroup_slice(self, name: str | Slice, parts: int = 2, *, embeddings: str = DEFAULT) -> list[Slice]:
        """Split a slice into parts whose units look alike: its members are clustered again (k-means of vectors).

        Parameters
        ----------
        name
            The slice; the parts are called "name 1", "name 2", ..., largest first.
        parts
            How many, at least 2.
        embeddings
            Name of the vectors.
        """
        if parts < 2:
            raise InvalidInputError(f"A slice is split into 2 parts or more; got {parts}.")
        slice_ = self._slice_of(name)
        groups = self._looking.regroup(slice_.members, parts=parts, embeddings=embeddings)
        return self.split_slice(slice_, {f"{slice_.name} {i}": group for i, group in enumerate(groups, start=1)})

    def delete_slice(self, name: str | Slice) -> None:
        """Delete a slice; `undo` brings it back."""
        self._apply(curation.delete(self._slice_of(name)))

    def undo(self) -> str:
        """Take the last change of slices back, as new versions; return what was undone, in words."""
        return self._step_back("undo")

    def redo(self) -> str:
        """Do again what was undone last; return it, in words."""
        return self._step_back("redo")

    # -- cases and queues ----------------------------------------------------------------------------------------

    def promote(self, slice_: Slice | str, *, bar: Bar, suite: str, name: str | None = None, note: str = "") -> Case:
        """Make a slice a case of a suite: its membership, labels and media are frozen with a bar.

        Parameters
        ----------
        slice_
            A slice or its name.
        bar
            What a model must reach, like `Bar("recall", at_least=0.95)`.
        suite
            Name of the suite; it is made when it isn't there.
        name
            Of the case; None: the slice's.
        note
            A person's words.
        """
        return self.suite(suite).add(self._slice_of(slice_), bar=bar, name=name, note=note)

    def suite(self, name: str) -> LabSuite:
        """Return the suite of that name; it comes into being with its first case."""
        return LabSuite(self.name, name, self._cases, self._units, self._pictures, self._connection.records)

    def suites(self) -> list[str]:
        """Return the names of the suites."""
        return self._cases.suites()

    def roadmap(self, model: str, *, confidence: float = 0.95) -> pd.DataFrame:
        """Rank the curated slices by what fixing each would give overall; what a team plans from.

        Parameters
        ----------
        model
            Its name.
        confidence
            Of the interval.

        Returns
        -------
        DataFrame, a row per slice, best first, as `slicelab.curation.roadmap` describes it.
        """
        return roadmap(self._units, self.slices(), model=model, confidence=confidence)

    def queue(self, name: str) -> LabQueue:
        """Return the relabel queue of that name; it comes into being with its first item."""
        return LabQueue(
            self.name,
            name,
            self._queues,
            self._datasets,
            self._units,
            self._slices,
            self._cases,
            self._vectors,
            self._schemas,
            self._pictures,
        )

    def review(self, queue: str, *, batch: str | None = None, model: str | None = None) -> Review:
        """Open the widget that shows what came back for a queue, beside the old labels and a model's predictions.

        Parameters
        ----------
        queue
            Its name.
        batch
            Id of one batch; None: of all.
        model
            Whose predictions are shown; None: the first's.
        """
        from slicelab.lab._review_desk import QueueReview
        from slicelab.widgets import Review

        shown = model or next(iter(self.models), None)
        return Review(QueueReview(self.queue(queue), self._units, self._pictures, batch=batch, model=shown))

    def queues(self) -> list[str]:
        """Return the names of the queues."""
        return self._queues.names()

    def define_classes(
        self, definitions: Mapping[str, str], *, examples: Mapping[str, Sequence[str]] | None = None, text: str = ""
    ) -> LabelSchema:
        """Write down for annotators what the classes mean: the next version of the label schema.

        Parameters
        ----------
        definitions
            What belongs to each class, in words.
        examples
            Units that show each class, at most 12 of each; their pictures go along.
        text
            What holds for all classes.

        Returns
        -------
        LabelSchema
            Every batch from now on carries it. The same content again is the same version.

        Raises
        ------
        NotFoundError
            A class or unit that isn't in the dataset.
        """
        return define_classes(self._schemas, self._units, definitions, examples or {}, text)

    def label_schema(self, version: int | None = None) -> LabelSchema | None:
        """Return a version of the label schema; None: the newest, or None where none was written."""
        if version is not None:
            return self._schemas.get(version)
        return next(reversed(self._schemas.all()), None)

    def enqueue(self, slice_: Slice | str, *, queue: str, reason: str) -> int:
        """Queue a slice's units for a person's decision; return how many were new there."""
        return self.queue(queue).add(self._slice_of(slice_), reason=reason)

    # -- inside --------------------------------------------------------------------------------------------------

    def _first(self) -> str:
        if not self.models:
            raise StateError(f"Dataset {self.name!r} has no predictions; load some with predictions={{...}}.")
        return self.models[0]

    def _slice_of(self, slice_: Slice | str) -> Slice:
        if isinstance(slice_, str):
            return self.slice(slice_)
        if not isinstance(slice_, Slice):
            raise InvalidInputError(
                f"A slice or its name is needed; got {type(slice_).__name__}. "
                "Make a slice of a candidate first: lab.promote_slice(candidate, name=...)."
            )
        return slice_

    def _made(self, change: Change) -> Slice:
        self._apply(change)
        return next(edit.after for edit in change.edits if edit.after is not None)

    def _apply(self, change: Change) -> None:
        self._slices.apply(change)
        keys = {s.slice_id: (s.name, self._units.keys_of(s.members)) for s in self.slices()}
        try:
            self._datasets.show_slices(self.name, keys)
        except StoreError as problem:  # the views are derived; the next change makes them again
            log.warning("The change is saved. FiftyOne's views of the slices will follow: %s", problem)

    def _step_back(self, way: str) -> str:
        change = (
            curation.next_undo(self._slices.changes()) if way == "undo" else curation.next_redo(self._slices.changes())
        )
        if change is None:
            return f"nothing to {way}"
        back = curation.invert(change, {s.slice_id: s for s in self._slices.all()})
        self._apply(back)
        return curation.describe(back)

    def __repr__(self) -> str:
        info = self.info
        return (
            f"Lab({self.name!r}, {info.task}, models: {', '.join(self.models) or 'none'}, {len(self.slices())} slices)"
        )
