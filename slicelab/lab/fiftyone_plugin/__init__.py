"""SliceLab in FiftyOne's App: operators and a panel. FiftyOne loads this folder; it asks the lab for everything."""

from __future__ import annotations

from typing import Any

import fiftyone.operators as foo
from fiftyone.operators import types

import slicelab
from slicelab.core import METRICS, REASONS, Bar, SliceLabError


def _lab(ctx: Any) -> slicelab.Lab:
    return slicelab.open(ctx.dataset.name)


def _chosen_units(ctx: Any, lab: slicelab.Lab, model: str) -> list[str]:
    """Return the units of the selected samples, or of the view where none is selected."""
    view = ctx.dataset.select(ctx.selected) if ctx.selected else ctx.view
    keys = set(view.values("key"))
    units = lab.units(model)
    return [str(unit) for unit in units.index[units["key"].isin(keys)]]


def _form(*fields: tuple[str, str, Any], choices: dict[str, list[str]] | None = None) -> Any:
    inputs = types.Object()
    for name, label, default in fields:
        values = (choices or {}).get(name)
        if values:
            inputs.enum(name, values, label=label, default=default or values[0], required=True)
        elif isinstance(default, float):
            inputs.float(name, label=label, default=default, required=True)
        else:
            inputs.str(name, label=label, default=default, required=True)
    return types.Property(inputs)


class _Operator(foo.Operator):
    """What is saved is said; a refusal is said in SliceLab's words."""

    NAME, LABEL = "", ""

    @property
    def config(self) -> Any:
        return foo.OperatorConfig(name=self.NAME, label=f"SliceLab: {self.LABEL}", dynamic=True)

    def execute(self, ctx: Any) -> dict[str, Any]:
        try:
            said = self.act(ctx, _lab(ctx))
        except SliceLabError as error:
            ctx.ops.notify(str(error), variant="error")
            return {"said": str(error), "saved": False}
        ctx.ops.reload_dataset()
        ctx.ops.notify(said, variant="success")
        return {"said": said, "saved": True}

    def act(self, ctx: Any, lab: slicelab.Lab) -> str:
        """Do it; return what to say."""
        raise NotImplementedError

    def resolve_output(self, _ctx: Any) -> Any:
        outputs = types.Object()
        outputs.str("said", label="SliceLab")
        return types.Property(outputs)


class Discover(_Operator):
    """Candidates become slices, so that they can be seen as saved views."""

    NAME, LABEL = "discover", "discover slices and keep the confirmed ones"

    def resolve_input(self, ctx: Any) -> Any:
        return _form(("model", "Model", None), choices={"model": _lab(ctx).models})

    def act(self, ctx: Any, lab: slicelab.Lab) -> str:
        if not lab.has_embeddings():
            lab.embed(progress=False)
        found = lab.discover(ctx.params["model"], progress=False)
        taken = {slice_.name for slice_ in lab.slices()}
        settled = zip(lab.dismissals(list(found)), lab.kept_as(list(found)), strict=True)
        kept = [
            lab.promote_slice(candidate).name
            for candidate, decisions in zip(found, settled, strict=True)
            if candidate.status == "confirmed" and not any(decisions) and candidate.name not in taken
        ]
        return f"{len(found)} candidates; kept {len(kept)}: {', '.join(kept) or 'none is new and confirmed'}"


class KeepSlice(_Operator):
    """The selected samples become a slice."""

    NAME, LABEL = "keep_slice", "keep the selection as a slice"

    def resolve_input(self, ctx: Any) -> Any:
        return _form(("name", "Name", ""), ("model", "Model", None), choices={"model": _lab(ctx).models})

    def act(self, ctx: Any, lab: slicelab.Lab) -> str:
        model = ctx.params["model"]
        made = lab.create_slice(ctx.params["name"], units=_chosen_units(ctx, lab, model), model=model)
        return f"saved, version {made.version}: {made.name} ({len(made):,} units)"


class Promote(_Operator):
    """A slice becomes a case of a suite."""

    NAME, LABEL = "promote", "promote a slice to a test case"

    def resolve_input(self, ctx: Any) -> Any:
        return _form(
            ("slice", "Slice", None), ("metric", "Metric", "recall"), ("at_least", "At least", 0.95),
            ("suite", "Suite", "release"),
            choices={"slice": [s.name for s in _lab(ctx).slices()] or ["(no slice yet)"], "metric": list(METRICS)},
        )  # fmt: skip

    def act(self, ctx: Any, lab: slicelab.Lab) -> str:
        given = ctx.params
        bar = Bar(given["metric"], at_least=float(given["at_least"]))
        case = lab.promote(given["slice"], bar=bar, suite=given["suite"])
        return f"saved, version {case.version}: case {case.name} ({case.bar}) in suite {case.suite}"


class Queue(_Operator):
    """A slice's units wait for a person's decision."""

    NAME, LABEL = "queue", "queue a slice for relabelling"

    def resolve_input(self, ctx: Any) -> Any:
        return _form(
            ("slice", "Slice", None), ("queue", "Queue", "review"), ("reason", "Reason", None),
            choices={"slice": [s.name for s in _lab(ctx).slices()] or ["(no slice yet)"], "reason": list(REASONS)},
        )  # fmt: skip

    def act(self, ctx: Any, lab: slicelab.Lab) -> str:
        given = ctx.params
        new = lab.enqueue(given["slice"], queue=given["queue"], reason=given["reason"])
        return f"saved: {new:,} units of {given['slice']} are new in queue {given['queue']}"


class Slices(foo.Panel):
    """The slices of the dataset, and the operators at hand."""

    @property
    def config(self) -> Any:
        return foo.PanelConfig(name="slices", label="SliceLab slices", surfaces="grid")

    def on_load(self, ctx: Any) -> None:
        self._fill(ctx)

    def on_change_selected(self, ctx: Any) -> None:
        self._fill(ctx)

    def _fill(self, ctx: Any) -> None:
        ctx.panel.state.count = f"{len(ctx.selected or [])} samples selected"
        # A table of plain text: a slice's name is never read as markdown.
        ctx.panel.state.table = [
            {"name": s.name, "units": len(s), "version": s.version, "note": s.note} for s in _lab(ctx).slices()
        ]

    def discover(self, ctx: Any) -> None:
        """Open the form of that name; the others do the same."""
        ctx.prompt("@slicelab/slicelab/discover")

    def keep(self, ctx: Any) -> None:
        ctx.prompt("@slicelab/slicelab/keep_slice")

    def promote(self, ctx: Any) -> None:
        ctx.prompt("@slicelab/slicelab/promote")

    def queue(self, ctx: Any) -> None:
        ctx.prompt("@slicelab/slicelab/queue")

    def render(self, _ctx: Any) -> Any:
        panel = types.Object()
        panel.str("count", view=types.LabelValueView(label="Selection", read_only=True))
        table = types.TableView()
        for name in ("name", "units", "version", "note"):
            table.add_column(name, label=name)
        panel.list("table", types.Object(), view=table, label="Slices")
        for name, label in (("discover", "Discover"), ("keep", "Keep selection"), ("promote", "Promote"),
                            ("queue", "Queue")):  # fmt: skip
            panel.btn(name, label=label, on_click=getattr(self, name))
        return types.Property(panel, view=types.GridView(orientation="vertical"))


def register(plugin: Any) -> None:
    """Tell FiftyOne what there is."""
    for each in (Discover, KeepSlice, Promote, Queue, Slices):
        plugin.register(each)
