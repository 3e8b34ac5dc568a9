"""Push to and pull from CVAT: cvat-sdk's own client over HTTP against the API that it documents (tests/cvat_api.py)."""

import hashlib
import sys
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from slicelab.annotation import pull_cvat, push_cvat, read_return
from slicelab.core import (
    Box,
    ClassDefinition,
    InvalidInputError,
    LabelSchema,
    MediaError,
    MissingExtraError,
    NotFoundError,
    StateError,
)

TOKEN = "a-token.of.letters"


@pytest.fixture(scope="module")
def picture_folder(tmp_path_factory):
    """Seven pictures of 200 x 100 px, two of one name in two folders."""
    folder = tmp_path_factory.mktemp("share")
    rng = np.random.default_rng(0)
    for key in KEYS:
        (folder / key).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (100, 200, 3), dtype=np.uint8)).save(folder / key)
    return folder


KEYS = ("a/x.png", "b/x.png", "b/two words.png", "c/\N{SNOWMAN}.png", "c/4.png", "c/5.png", "c/6.png")


@pytest.fixture
def batch(batch_of, picture_folder):
    """Function (task) -> a batch of these pictures."""

    def make(task="detection", **more):
        made = batch_of(task, len(KEYS), keys=KEYS, **more)
        tasks = [
            replace(
                t,
                filepath=str(picture_folder / t.key),
                sha256=hashlib.sha256((picture_folder / t.key).read_bytes()).hexdigest(),
            )
            for t in made.tasks
        ]
        return replace(made, tasks=tuple(tasks))

    return make


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch):
    """The client asks again as it does, without the seconds in between."""
    monkeypatch.setattr("urllib3.util.retry.Retry.sleep", lambda *_: None)


@pytest.fixture
def server(cvat_api, picture_folder):
    """A server and its address."""
    api = cvat_api.CvatApi(TOKEN, share=picture_folder)
    with cvat_api.serving(api) as url:
        yield api, url


def jobs_of(api):
    """The jobs by their first frame."""
    return sorted(api.jobs.values(), key=lambda j: j["start_frame"])


def marks(api, thing):
    """The marks of a tag or shape by name."""
    names = {a["id"]: a["name"] for a in api.labels[thing["label_id"]]["attributes"]}
    return {names[a["spec_id"]]: a["value"] for a in thing["attributes"]}


def test_a_batch_becomes_a_task_with_its_images_labels_and_marks(batch, server):
    """Every image is there byte for byte under a name of its own, every box where it is, with our ids."""
    api, url = server
    mine = batch()
    pushed = push_cvat(mine, url=url, token=TOKEN, job_size=3)
    assert (pushed.sent, pushed.present, pushed.kind) == (7, 0, "task")
    (task,) = api.tasks.values()
    assert task["name"] == f"q {mine.batch_id}"
    for own, (name, content) in zip(mine.tasks, task["pictures"].items(), strict=True):
        assert hashlib.sha256(content).hexdigest() == own.sha256, name
    assert [(j["start_frame"], j["stop_frame"]) for j in jobs_of(api)] == [(0, 2), (3, 5), (6, 6)]
    assert [(label["name"], label["type"]) for label in api.labels.values()] == [(c, "rectangle") for c in mine.classes]
    drawn = [s for j in jobs_of(api) for s in j["held"]["shapes"]]
    assert len(drawn) == 12
    for shape in drawn:
        own = mine.tasks[shape["frame"]]
        said = marks(api, shape)
        box = next(b for b in own.boxes if b.label_id == said["label_id"])
        assert said == {"slicelab_id": own.task_id, "label_id": box.label_id, "sha256": own.sha256}
        assert shape["points"] == [box.x, box.y, box.x + box.width, box.y + box.height]
        assert api.labels[shape["label_id"]]["name"] == box.label
    assert push_cvat(mine, url=url, token=TOKEN).sent == 0
    assert len(api.tasks) == 1


def test_images_come_from_the_share_where_the_server_has_one(batch, server, picture_folder, tmp_path):
    """Nothing is uploaded, and what comes back is matched although the paths aren't the batch's names."""
    api, url = server
    mine = batch()
    push_cvat(mine, url=url, token=TOKEN, share_root=picture_folder)
    (task,) = api.tasks.values()
    assert api.frames(task) == list(KEYS)
    assert api.files[task["id"]] == {}
    api.finish(jobs_of(api)[0])
    renamed = replace(mine, tasks=tuple(replace(t, key=f"own/{n}") for n, t in enumerate(mine.tasks)))
    returned = read_return(pull_cvat(renamed, tmp_path, url=url, token=TOKEN), renamed)
    assert returned.counts()["matched"] == 7
    with pytest.raises(InvalidInputError, match="7 images don't lie below the share"):
        push_cvat(mine, url=url, token=TOKEN, share_root=tmp_path)


@pytest.mark.parametrize("task", ["detection", "classification"])
def test_what_people_did_is_on_their_images(batch, server, tmp_path, task):
    """Shuffled, moved, relabelled, deleted, new; only finished jobs count; the same answers are the same file."""
    api, url = server
    mine = batch(task)
    push_cvat(mine, url=url, token=TOKEN, job_size=2)
    first, second, third, fourth = jobs_of(api)
    label = {x["name"]: x["id"] for x in api.labels.values()}
    kind = "shapes" if task == "detection" else "tags"
    for job in (first, second, third):
        job["held"][kind].reverse()
    if task == "detection":
        kept = next(s for s in first["held"]["shapes"] if s["frame"] == 1 and marks(api, s)["label_id"] == "b")
        kept |= {"points": [60.0, 20.0, 170.0, 85.5], "label_id": label["dog"], "attributes": _moved(api, kept, "dog")}
        new = {**kept, "frame": 0, "points": [1.0, 2.0, 31.25, 42.5], "label_id": label["cat"], "attributes": []}
        first["held"]["shapes"].append(new)
        second["held"]["shapes"] = [s for s in second["held"]["shapes"] if s["frame"] != 2]
        third["held"]["shapes"] = []
    else:
        next(t for t in first["held"]["tags"] if t["frame"] == 1)["label_id"] = label["dog"]
        third["held"]["tags"] = []
    api.finish(first)
    api.finish(second)
    api.finish(third, "in progress")
    api.finish(fourth, "rejected")
    path = pull_cvat(mine, tmp_path, url=url, token=TOKEN)
    returned = read_return(path, mine)
    assert [r.status for r in returned.rows] == ["matched"] * 4 + ["unreviewed"] * 3
    assert [r.reason for r in returned.rows[4:]] == [
        f"its job {third['id']} is 'in progress'",
        f"its job {third['id']} is 'in progress'",
        f"its job {fourth['id']} is 'rejected'",
    ]
    assert {r.task_id for r in returned.matched} == {t.task_id for t in mine.tasks[:4]}
    if task == "detection":
        boxes = {r.task_id: r.boxes for r in returned.matched}
        assert boxes[mine.tasks[0].task_id] == (Box("cat", 1, 2, 30.25, 40.5),)
        assert sorted(boxes[mine.tasks[1].task_id], key=repr) == sorted(
            (mine.tasks[1].boxes[0], Box("dog", 60, 20, 110, 65.5, "b")), key=repr
        )
        assert boxes[mine.tasks[2].task_id] == ()
        assert set(boxes[mine.tasks[3].task_id]) == set(mine.tasks[3].boxes)
    else:
        assert [r.label for r in returned.matched] == ["cat", "dog", "cat", "cat"]
    content = path.read_bytes()
    for job in (first, second):  # a save gives everything new ids, in another order
        job["held"][kind] = [{**s, "id": s["id"] + 1000} for s in reversed(job["held"][kind])]
    assert pull_cvat(mine, tmp_path, url=url, token=TOKEN).read_bytes() == content
    assert [p.name for p in tmp_path.iterdir()] == [f"cvat-{mine.batch_id}.xml"]


def _moved(api, shape, name):
    """The shape's attributes under another label, as CVAT's page carries them over by name."""
    spec = {a["name"]: a["id"] for x in api.labels.values() if x["name"] == name for a in x["attributes"]}
    return [{"spec_id": spec[k], "value": v} for k, v in marks(api, shape).items()]


def test_stages_ground_truth_and_removed_images(batch, server, tmp_path):
    """A job on its way to review is open until the review ends; ground truth and removed images never count."""
    api, url = server
    mine = batch()
    push_cvat(mine, url=url, token=TOKEN, job_size=4)
    (task,) = api.tasks.values()
    first, second = jobs_of(api)
    api.finish(first)
    api.finish(first, stage="validation")
    truth = api.add_job(task, 4, 6, kind="ground_truth")
    truth["id"] = 0
    api.jobs = {0: truth, first["id"]: first, second["id"]: second}
    api.finish(truth)
    truth["held"]["shapes"] = [{**s, "points": [0.0, 0.0, 9.0, 9.0]} for s in second["held"]["shapes"]]

    def statuses():
        returned = read_return(pull_cvat(mine, tmp_path, url=url, token=TOKEN), mine)
        return "".join(r.status[0] for r in returned.rows)

    assert statuses() == "uuuuuuu"
    api.finish(first)
    assert statuses() == "mmmmuuu"
    api.finish(second)
    task["deleted"] = [5]
    returned = read_return(pull_cvat(mine, tmp_path, url=url, token=TOKEN), mine)
    assert "".join(r.status[0] for r in returned.rows) == "mmmmmum"
    assert returned.rows[5].reason == "it was removed from its job"
    assert set(returned.rows[4].boxes) == set(mine.tasks[4].boxes)


def test_what_cannot_be_taken_is_refused_image_by_image(batch, server, tmp_path):
    """Polygons, rotated boxes, tracks, classes made there and control characters reject their image and no other."""
    api, url = server
    mine = batch()
    push_cvat(mine, url=url, token=TOKEN)
    (job,) = jobs_of(api)
    (task,) = api.tasks.values()
    shapes = job["held"]["shapes"]

    def on(frame):
        return next(s for s in shapes if s["frame"] == frame)

    on(1).update(type="polygon", points=[0.0, 0.0, 5.0, 0.0, 5.0, 5.0])
    on(2)["rotation"] = 30.0
    api.labels[777] = {**api.labels[on(3)["label_id"]], "id": 777, "name": "bird\x01<", "attributes": []}
    on(3).update(label_id=777, attributes=[])
    steps = [
        {"type": "rectangle", "frame": f, "outside": out, "points": [1.0, 1.0, 9.0, 9.0], "attributes": []}
        for f, out in ((4, False), (6, True))
    ]
    track = {
        "frame": 4,
        "label_id": on(4)["label_id"],
        "group": 0,
        "source": "manual",
        "attributes": [],
        "shapes": steps,
    }
    job["held"]["tracks"] = [track]
    task["frames"][0]["width"] = 201
    api.finish(job)
    returned = read_return(pull_cvat(mine, tmp_path, url=url, token=TOKEN), mine)
    assert [r.status for r in returned.rows] == ["rejected"] * 6 + ["matched"]
    words = ("201 x 100", "<polygon>", "rotated", "unknown class 'bird", "<track>", "<track>")
    for row, word in zip(returned.rows, words, strict=False):
        assert word in row.reason


def test_blind_sends_no_labels_and_answers_are_matched_by_name(batch, server, tmp_path):
    """Without any mark on the shapes every answer is on its image."""
    api, url = server
    mine = replace(batch("classification"), blind=True)
    push_cvat(mine, url=url, token=TOKEN)
    (job,) = jobs_of(api)
    assert job["held"]["tags"] == []
    dog = next(x["id"] for x in api.labels.values() if x["name"] == "dog")
    job["held"]["tags"] = [
        {"id": n, "frame": n, "label_id": dog, "group": 0, "source": "manual", "attributes": []} for n in (5, 1)
    ]
    api.finish(job)
    returned = read_return(pull_cvat(mine, tmp_path, url=url, token=TOKEN), mine)
    assert {r.task_id: r.label for r in returned.matched} == {mine.tasks[n].task_id: "dog" for n in (1, 5)}
    assert returned.counts()["rejected"] == 5


def test_class_names_come_back_byte_for_byte(batch, server, tmp_path):
    """Emoji, right-to-left text, markup, formulas and spaces at the ends survive, untouched and newly given."""
    api, url = server
    classes = (
        " lead",
        "trail ",
        "=1+1",
        "<b>&amp;'\"",
        "\N{HEBREW LETTER ALEF}\N{HEBREW LETTER BET}",
        "\N{CAT FACE}\u200d\N{SNOWMAN}",
        "a/b\\c",
        "e\u0301",
    )
    mine = batch("classification", classes=classes)
    tasks = tuple(replace(t, label=classes[n]) for n, t in enumerate(mine.tasks))
    mine = replace(mine, tasks=tasks)
    push_cvat(mine, url=url, token=TOKEN)
    (job,) = jobs_of(api)
    last = next(x["id"] for x in api.labels.values() if x["name"] == classes[-1])
    job["held"]["tags"][0].update(label_id=last, attributes=[])
    api.finish(job)
    returned = read_return(pull_cvat(mine, tmp_path, url=url, token=TOKEN), mine)
    assert [r.label for r in returned.matched] == [classes[-1], *classes[1:7]]


def test_definitions_and_instructions_are_the_guide_and_never_markup(batch, server):
    """What people wrote is escaped; it goes along once."""
    api, url = server
    mine = batch()
    classes = (ClassDefinition("cat", "<img src=x onerror=alert(1)>\n# not a head"), ClassDefinition("dog"))
    tasks = (replace(mine.tasks[0], instruction="look [here](javascript:x)"), *mine.tasks[1:])
    mine = replace(mine, label_schema=LabelSchema("ds", 3, "Be *kind*", classes), tasks=tasks)
    push_cvat(mine, url=url, token=TOKEN, organization="acme")
    (guide,) = api.guides.values()
    assert guide.startswith("# Instructions, version 3\n\nBe \\*kind\\*\n\n## cat\n\n\\<img src\\=x")
    assert (
        "\n\n\\# not a head\n\n## dog\n\n# Images with words of their own\n\n**00001\\_x\\.png**: look \\[here\\]"
        in guide
    )
    (task,) = api.tasks.values()
    assert task["organization"] == "acme"


def what_is_there(api):
    """The server's state, without its own numbers."""
    number = {t: n for n, t in enumerate(api.tasks)}
    tasks = [(t["name"], api.frames(t), t["pictures"], t["guide_id"] is not None) for t in api.tasks.values()]
    jobs = [
        (
            number[j["task_id"]],
            j["start_frame"],
            [(s["frame"], s["points"], marks(api, s)) for s in j["held"]["shapes"]],
        )
        for j in jobs_of(api)
    ]
    return tasks, jobs, list(api.guides.values())


@pytest.mark.parametrize("done", [False, True], ids=["before", "after"])
def test_a_push_that_was_cut_off_anywhere_goes_on(cvat_api, batch, done):
    """Cut before or after any request, a second push ends where an undisturbed one does: nothing twice or lost."""
    mine = batch()
    mine = replace(mine, label_schema=LabelSchema("ds", 1, "words"))
    whole = cvat_api.CvatApi(TOKEN)
    with cvat_api.serving(whole) as url:
        push_cvat(mine, url=url, token=TOKEN, job_size=4)
    assert len(whole.log) > 15
    for step in range(len(whole.log)):
        api = cvat_api.CvatApi(TOKEN)
        with cvat_api.serving(api) as url:
            api.cut_at = (step, done)
            with pytest.raises(StateError, match="doesn't answer"):
                push_cvat(mine, url=url, token=TOKEN, job_size=4)
            api.cut_at = None
            push_cvat(mine, url=url, token=TOKEN, job_size=4)
            assert what_is_there(api) == what_is_there(whole), whole.log[step]


def test_work_that_began_before_a_push_was_complete_is_kept(cvat_api, batch, tmp_path):
    """A second push writes nothing over what people did; a pull refuses a task that isn't complete."""
    mine = batch()
    api = cvat_api.CvatApi(TOKEN)
    with cvat_api.serving(api) as url:
        push_cvat(mine, url=url, token=TOKEN, job_size=4)
        (task,) = api.tasks.values()
        first, second = jobs_of(api)
        task["name"] += " (not complete)"
        second["held"]["shapes"], second["state"] = [], "in progress"
        first["held"]["shapes"] = first["held"]["shapes"][:1]
        with pytest.raises(StateError, match="was cut off"):
            pull_cvat(mine, tmp_path, url=url, token=TOKEN)
        pushed = push_cvat(mine, url=url, token=TOKEN, job_size=4)
        assert (pushed.sent, pushed.present) == (0, 7)
        assert (len(first["held"]["shapes"]), second["held"]["shapes"]) == (1, [])
        assert task["name"] == f"q {mine.batch_id}"
        assert "PUT" not in "".join(api.log[-8:])


def test_images_that_the_server_is_still_reading_are_waited_for(cvat_api, batch):
    """A push that was cut off while the server read the images doesn't send them again."""
    mine = batch()
    api = cvat_api.CvatApi(TOKEN)
    with cvat_api.serving(api) as url:
        api.slow, api.cut_at = 2, (5, True)
        with pytest.raises(StateError):
            push_cvat(mine, url=url, token=TOKEN)
        assert [line for line in api.log if "/data/" in line] == api.log[-3:]
        api.cut_at = None
        pushed = push_cvat(mine, url=url, token=TOKEN)
        assert (pushed.sent, pushed.present) == (0, 7)


def test_errors_say_what_to_do(cvat_api, batch, server, tmp_path, picture_folder, monkeypatch):
    """Down, refused, another version, no CVAT, never pushed, pictures changed: each in one sentence, typed."""
    api, url = server
    mine = batch()
    with pytest.raises(StateError, match="doesn't answer"):
        push_cvat(mine, url="http://127.0.0.1:9", token=TOKEN)
    with pytest.raises(StateError, match=r"refused \(401\).*Look at the token"):
        push_cvat(mine, url=url, token="wrong")
    with pytest.raises(NotFoundError, match="Push it first"):
        pull_cvat(mine, tmp_path, url=url, token=TOKEN)
    with pytest.raises(InvalidInputError, match="token"):
        push_cvat(mine, url=url, token="two words\n")
    with pytest.raises(InvalidInputError, match="can't be a server's address"):
        push_cvat(mine, url="ftp://x", token=TOKEN)
    with pytest.raises(InvalidInputError, match="job_size=0"):
        push_cvat(mine, url=url, token=TOKEN, job_size=0)
    with pytest.raises(InvalidInputError, match="at most 64 characters"):
        push_cvat(batch(classes=("x" * 65, "y")), url=url, token=TOKEN)
    with pytest.raises(InvalidInputError, match="must be there once"):
        push_cvat(batch(classes=("x", "x ")), url=url, token=TOKEN)
    changed = replace(mine, tasks=(replace(mine.tasks[0], sha256="0" * 64), *mine.tasks[1:]))
    with pytest.raises(MediaError, match="changed since it was loaded"):
        push_cvat(changed, url=url, token=TOKEN)
    for version, words in (("1.7.0", "speaks another one"), ("3.0.0", "speaks another one")):
        api.version = version
        with pytest.raises(StateError, match=words):
            push_cvat(mine, url=url, token=TOKEN)
    api.version = {"no": "version"}
    with pytest.raises(StateError, match="no CVAT, it seems"):
        push_cvat(mine, url=url, token=TOKEN)
    monkeypatch.setitem(sys.modules, "cvat_sdk", None)
    with pytest.raises(MissingExtraError, match=r"slicelab\[cvat\]"):
        push_cvat(mine, url=url, token=TOKEN)


@pytest.mark.parametrize("blind", [False, True])
def test_a_task_that_lacks_an_image_is_never_called_complete(cvat_api, batch, blind):
    """Where the server has other images than were sent, the push says so and the task stays unfinished."""
    mine = replace(batch(), blind=blind)
    api = cvat_api.CvatApi(TOKEN)
    arrive = api._arrive

    def lose_one(task):
        task["coming"].pop()
        arrive(task)

    api._arrive = lose_one
    with cvat_api.serving(api) as url:
        for _ in range(2):
            with pytest.raises(StateError, match="lacks 1 images and 0 classes"):
                push_cvat(mine, url=url, token=TOKEN)
        (task,) = api.tasks.values()
        assert task["name"].endswith(" (not complete)")


def test_images_that_the_server_cannot_read(cvat_api, batch, picture_folder, tmp_path):
    """Its reason is told, and a push after the repair begins anew."""
    mine = batch()
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    sha256 = hashlib.sha256(b"no picture").hexdigest()
    bad = replace(mine, tasks=(replace(mine.tasks[0], filepath=str(broken), sha256=sha256), *mine.tasks[1:]))
    api = cvat_api.CvatApi(TOKEN)
    with cvat_api.serving(api) as url:
        with pytest.raises(StateError, match="couldn't take the images: cannot identify image"):
            push_cvat(bad, url=url, token=TOKEN)
        assert push_cvat(mine, url=url, token=TOKEN).sent == 7
        assert len(api.tasks) == 1
