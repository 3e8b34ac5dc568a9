"""Groups: given when loading, changed later, found in pictures, names, times and columns; leaks between splits."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageDraw
from scipy.ndimage import gaussian_filter

import slicelab as sl
from slicelab.core import InvalidInputError, LoadRefusedError, NotFoundError

pytestmark = pytest.mark.mongo

VIDEOS, FRAMES = 6, 8


def scene(rng, size):
    ground = gaussian_filter(rng.normal(0, 1, (size[1], size[0], 3)), (8, 8, 0))
    picture = Image.fromarray(np.clip(128 + 40 * ground / ground.std(), 0, 255).astype(np.uint8))
    for _ in range(50):
        x, y, r = rng.uniform(0, size[0]), rng.uniform(0, size[1]), rng.uniform(4, 10)
        colour = tuple(int(c) for c in rng.integers(0, 256, 3))
        ImageDraw.Draw(picture).ellipse((x - r, y - r, x + r, y + r), fill=colour)
    return picture


@pytest.fixture(scope="module")
def videos_folder(tmp_path_factory):
    """Six videos of eight drifting frames; the third is split, the model fails on two of them, one picture is alone."""
    folder = tmp_path_factory.mktemp("videos")
    (folder / "images").mkdir()
    rng, rows = np.random.default_rng(0), []
    for video in range(VIDEOS):
        wide = scene(rng, (240, 130))
        for frame in range(FRAMES):
            name = f"video{video}_frame_{10 * frame:04d}.jpg"
            x, y = 6 * frame + int(rng.integers(0, 3)), int(rng.integers(0, 6))
            wide.crop((x, y, x + 150, y + 112)).save(folder / "images" / name, quality=85)
            split = "train" if video < 2 or (video == 2 and frame < 4) else "test"
            rows.append((name, "cat" if frame % 2 else "dog", split, video, float(video), video > 3))
    scene(rng, (150, 112)).save(folder / "images" / "cover.jpg")
    rows.append(("cover.jpg", "cat", "test", None, None, False))
    frame = pd.DataFrame(rows, columns=["filepath", "label", "split", "video", "scan", "fails"])
    wrong = frame["label"].map({"cat": "dog", "dog": "cat"})
    said = frame["label"].where(~frame["fails"], wrong)
    predictions = pd.DataFrame({"filepath": frame["filepath"], "prediction": said, "confidence": 0.9})
    frame.drop(columns="fails").to_csv(folder / "labels.csv", index=False)
    predictions.to_csv(folder / "v1.csv", index=False)
    return folder


@pytest.fixture(scope="module")
def load_videos(videos_folder):
    """Load the videos under a name."""

    def load(name, labels=videos_folder / "labels.csv", **more):
        models = {"v1": videos_folder / "v1.csv"}
        return sl.load(name, videos_folder / "images", labels, models, progress=False, **more)

    return load


@pytest.fixture(scope="module")
def videos(load_videos):
    """A lab of the videos without groups."""
    return load_videos("videos")


def test_the_group_is_kept_with_the_dataset(load_videos, videos_folder):
    """Another opening has it, an added image too, and so does the dataset that replaces it."""
    labels = pd.read_csv(videos_folder / "labels.csv")
    lab = load_videos("kept", labels[labels["video"] != 1], group="video")
    assert lab.groups.column == lab.info.group == "video"
    load_videos("kept", labels)
    lab = sl.open("kept")
    assert lab.groups.column == "video"
    expected = labels["video"].map(lambda v: "cover.jpg" if np.isnan(v) else str(int(v)))
    assert lab.units("v1")["group_id"].to_dict() == dict(zip(labels["filepath"], expected, strict=True))
    assert load_videos("kept", overwrite=True).groups.column == "video"
    assert len(lab.groups) == VIDEOS + 1


def test_a_replaced_dataset_without_the_column_says_so(load_videos, videos_folder, caplog):
    """Its images are by themselves from then on, with a warning."""
    load_videos("replaced", group="video")
    labels = pd.read_csv(videos_folder / "labels.csv").drop(columns="video")
    assert load_videos("replaced", labels, overwrite=True).groups.column is None
    assert "'video', which isn't there any more" in caplog.text


@pytest.mark.parametrize("kind", ["csv", "parquet", "frame"])
def test_groups_read_the_same_from_every_file(kind, load_videos, videos_folder, tmp_path):
    """Whole numbers beside a missing one, from CSV, Parquet, a frame and read back from the store."""
    labels = pd.read_csv(videos_folder / "labels.csv").astype({"video": "Int64" if kind == "parquet" else float})
    if kind == "parquet":
        labels.to_parquet(tmp_path / "labels.parquet")
    given = {"csv": videos_folder / "labels.csv", "parquet": tmp_path / "labels.parquet", "frame": labels}[kind]
    lab = load_videos(f"from {kind}", given, group="video")
    assert set(lab.table.groups) == {*map(str, range(VIDEOS)), "cover.jpg"}
    assert sl.open(lab.name).units("v1")["group_id"].nunique() == VIDEOS + 1


def test_a_column_that_is_not_there_is_refused(load_videos, videos):
    """With the closest name; nothing is written, and what was set stays."""
    with pytest.raises(InvalidInputError, match=r"'vido'.*Did you mean 'video'"):
        load_videos("nowhere", group="vido")
    assert "nowhere" not in sl.datasets()
    with pytest.raises(InvalidInputError, match="Did you mean 'scan'"):
        videos.groups.set("scans")
    with pytest.raises(InvalidInputError, match="split must be a metadata column"):
        videos.groups.leaks("fold", progress=False)
    with pytest.raises(InvalidInputError, match="got NoneType"):
        videos.groups.leaks(None, progress=False)
    with pytest.raises(InvalidInputError, match="got int"):
        videos.groups.set(3)
    with pytest.raises(NotFoundError, match="first 'none'"):
        videos.groups.set(pd.Series({"none": "a"}))
    assert videos.groups.column is None


def test_groups_are_changed_later(load_videos):
    """Frames that were made before follow at once, in every opening; None makes each image a group of its own."""
    lab = load_videos("changed")
    other = sl.open("changed")
    assert other.units("v1")["group_id"].tolist() == other.units("v1")["key"].tolist()
    assert lab.groups.set("scan") == "scan"
    assert other.units("v1")["group_id"].nunique() == VIDEOS + 1
    assert "7 groups of 49 images by 'scan', the largest of 8" in repr(other.groups)
    counts = other.groups.frame("v1")
    assert counts.loc["4"].tolist() == [8, 8, 8]
    assert counts["failures"].sum() == 16
    assert lab.groups.set(None) is None
    assert len(other.groups) == 49
    assert "each of 49 images is by itself" in repr(other.groups)


def test_groups_of_objects_are_those_of_their_image(load_scenes):
    """Without a column an image is the group of its objects."""
    lab = load_scenes("scenes by themselves")
    units = lab.units("v3")
    assert (units["group_id"] == units["key"]).all()
    assert lab.groups.frame("v3")["units"].max() == 2


def test_groups_are_suggested_with_their_evidence(videos):
    """By picture, by name and by the column that explains failures; splits and labels aren't groups."""
    found = {p.column or p.source: p for p in videos.groups.suggest(progress=False)}
    assert found.keys() == {"near-duplicates", "file names", "video", "scan"}
    names = found["file names"]
    assert names.sizes.tolist() == [FRAMES] * VIDEOS
    assert names.groups.isna().sum() == 1
    assert "look more alike" in names.evidence
    pictures = found["near-duplicates"].groups.dropna()
    assert pictures.groupby(pictures).agg(lambda keys: len({k[:6] for k in keys.index})).eq(1).all()
    assert found["video"].evidence.startswith("failures of one value are alike: intra-class correlation 1.00")


def test_a_proposal_is_stored_with_one_call(load_videos):
    """It becomes a metadata column that another opening has; the next one gets a number, one with a column none."""
    lab = load_videos("stored")
    proposals = {p.source: p for p in lab.groups.suggest(progress=False)}
    assert lab.groups.set(proposals["file names"]) == "group_suggested"
    other = sl.open("stored")
    assert other.table.metadata_columns[-1] == "group_suggested"
    assert other.dataset.count_values("group_suggested")["video2_frame_*"] == FRAMES
    assert other.units("v1")["group_id"].nunique() == VIDEOS + 1
    assert lab.groups.set(proposals["near-duplicates"].groups) == "group_suggested_2"
    assert lab.groups.set(proposals["column"]) in ("video", "scan")
    assert "group_suggested" in sl.open("stored").table.samples


def test_leaks_are_found_by_name_and_by_picture(videos):
    """The one video that stands on both sides, largest first, whether its name or its pictures tell."""
    leaks = videos.groups.leaks("split", progress=False)
    assert {key[:6] for keys in leaks["keys"] for key in keys} == {"video2"}
    assert {"file names", "near-duplicates"} <= set(leaks["source"])
    assert leaks["images"].is_monotonic_decreasing
    assert leaks.iloc[0]["values"] == "test 4, train 4"


def test_declared_groups_are_held_to_the_split_too(load_videos):
    """Under the name of their source."""
    lab = load_videos("declared", group="video")
    assert "declared groups" in set(lab.groups.leaks("split", progress=False)["source"])


def test_near_duplicates_and_uniqueness_are_columns(load_videos):
    """For units, and for rules before anybody asked for them; a picture alone is the most unique."""
    lab = load_videos("alike")
    alone = lab.create_slice("alone", rule="near_duplicates == 0")
    assert "cover.jpg" in alone.members
    units = lab.units("v1")
    assert units["near_duplicates"].median() >= 1
    assert units["uniqueness"].between(0, 1).all()
    assert units["uniqueness"].idxmax() == "cover.jpg"
    lab = sl.open("alike")
    lab.statistics(progress=False)
    pd.testing.assert_frame_equal(
        lab.units("v1")[["near_duplicates", "uniqueness"]], units[["near_duplicates", "uniqueness"]]
    )


def test_vectors_of_images_may_help(videos):
    """Those of the images are taken; objects' are refused with what to do."""
    videos.embed(progress=False)
    pairs = videos.groups.near_duplicates(embeddings="default", progress=False)
    assert len(pairs) >= VIDEOS


def test_a_fiftyone_dataset_brings_its_groups(videos, load_videos):
    """A field of it becomes the metadata column; one that holds no plain values is refused."""
    source = load_videos("source", group="video").dataset
    lab = sl.load("copied", dataset=source, prediction_fields={"v1": "v1"}, group="video", progress=False)
    assert lab.groups.column == "video"
    assert lab.table.groups.nunique() == VIDEOS + 1
    with pytest.raises(NotFoundError, match="no field 'clip'"):
        sl.load("copied 2", dataset=source, group="clip", progress=False)
    with pytest.raises(LoadRefusedError, match="groups are texts, numbers or booleans"):
        sl.load("copied 2", dataset=source, group="metadata", progress=False)


def test_the_command_line_takes_a_group(videos_folder, run_cli):
    """`slicelab load --group`; a wrong one is one line and exit code 2."""
    files = ("--images", videos_folder / "images", "--labels", videos_folder / "labels.csv")
    done = run_cli("load", "by command", *files, "--group", "video")
    assert done.returncode == 0, done.stderr
    assert sl.open("by command").groups.column == "video"
    done = run_cli("load", "by command 2", *files, "--group", "vide")
    assert done.returncode == 2
    assert "Did you mean 'video'" in done.stderr
