"""`lab.embed`, `slicelab embed` and `slicelab partitions` on a Ray cluster: what comes is what a local run gives."""

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from slicelab.cli import app
from slicelab.core import InvalidInputError
from slicelab.embeddings import ModuleEmbedder, VectorCache, embed_images

pytestmark = pytest.mark.mongo


@pytest.fixture(scope="module")
def net():
    """A module whose vectors nothing else has cached."""
    import torch

    torch.manual_seed(51)
    return torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3, 2), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1)).eval()


@pytest.mark.slow
def test_vectors_of_a_cluster_are_stored(parts, net, tmp_path, connected):
    """Units, vectors and identity are those of the local engine; the next call, here, computes nothing."""
    parts.embed(
        model=net,
        size=32,
        name="ray",
        engine="ray",
        address=connected,
        output=tmp_path,
        partition_size=64,
        progress=False,
    )
    units, vectors = parts.embeddings("ray")
    items = parts._units.items(parts._units.known(parts.models))
    embedder = ModuleEmbedder(net, size=32)
    here = embed_images(items, embedder=embedder, cache=VectorCache(tmp_path / "cache"), progress=False)
    assert units == here.units
    assert parts._vectors.identity("ray") == here.identity
    bound = 1e-5 * np.linalg.norm(here.vectors, axis=1, keepdims=True)
    assert (np.abs(vectors - here.vectors) <= bound).all()
    for item in items[:3]:
        assert item.key in VectorCache(parts._connection.home / "cache" / "vectors").find(here.identity, [item.key])


@pytest.mark.slow
def test_the_command_line_reaches_the_cluster(parts, net, tmp_path, connected):
    """`slicelab embed --ray` with weights from a file."""
    import torch

    path = tmp_path / "net.pt"
    torch.jit.script(net).save(str(path))
    command = ["embed", parts.name, "--weights", str(path), "--name", "script"]
    done = CliRunner().invoke(
        app, [*command, "--ray", connected, "--output", str(tmp_path / "vectors"), "--partition-size", "64"]
    )
    assert done.exit_code == 0, done.exception or done.output
    assert "160 units, 8 dimensions" in done.output
    units, vectors = parts.embeddings("script")
    assert vectors.shape == (160, 8)
    options = ["--embeddings", "script", "--output", str(tmp_path / "slices"), "--ray", connected]
    done = CliRunner().invoke(app, ["partitions", "assign", parts.name, "v3", str(tmp_path / "vectors"), *options])
    assert done.exit_code == 0, done.exception or done.output
    found = parts.discover("v3", embeddings="script", progress=False)
    rows = pd.read_parquet(tmp_path / "slices").set_index("unit")
    assert set(rows.index) == set(units)
    for candidate, membership in zip(found, found.assign(vectors).T, strict=True):
        there = rows.loc[rows["slice"] == candidate.name, "membership"]
        np.testing.assert_array_equal(there.reindex(units).fillna(0), membership)


@pytest.mark.slow
def test_partitioned_tables_are_judged_as_the_dataset_is(parts, tmp_path, connected):
    """`slicelab partitions evaluate` writes the outcomes of `lab.units`."""
    labels = parts.table.samples[["label"]].reset_index()
    said = parts._units.predictions("v3").frame.reset_index()
    for folder, table in (("labels", labels), ("said", said)):
        (tmp_path / folder).mkdir()
        for i in range(4):
            table[table["key"].isin(labels["key"][i::4])].to_parquet(tmp_path / folder / f"{i}.parquet")
    places = [str(tmp_path / folder) for folder in ("labels", "said")]
    options = ["--model", "v3", "--output", str(tmp_path / "units"), "--ray", connected]
    done = CliRunner().invoke(app, ["partitions", "evaluate", *places, *options])
    assert done.exit_code == 0, done.exception or done.output
    assert "correct" in done.output
    units = parts.units("v3")
    made = pd.read_parquet(tmp_path / "units").set_index("unit").loc[units.index]
    columns = ["label", "prediction", "confidence", "outcome", "failure"]
    pd.testing.assert_frame_equal(made[columns], units[columns], check_dtype=False, check_index_type=False)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"engine": "spark"}, "engine must be one of"),
        ({"address": "auto"}, 'engine="ray"'),
        ({"engine": "ray", "address": "auto"}, "Pass output="),
    ],
)
def test_options_that_do_not_fit_are_refused(parts, options, message):
    """The message names the option that is wrong or missing."""
    with pytest.raises(InvalidInputError, match=message):
        parts.embed(progress=False, **options)
