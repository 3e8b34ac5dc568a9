"""The part of CVAT's REST API that a push and a pull use, over real HTTP; anything else is an error of the test.

CVAT itself comes as containers only. This speaks its OpenAPI document as far as cvat-sdk knows it: bodies of requests
are checked against the SDK's models, and fields that aren't in them are refused; the SDK checks the answers. What isn't
in the document is taken from CVAT's source: data can be attached once, uploads of one name are appended to each other,
an annotation request is done wholly or not at all, a job's stage that changes makes it "new".
"""

import email
import email.policy
import io
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

from cvat_sdk import models
from cvat_sdk.api_client import Configuration
from cvat_sdk.api_client.model_utils import ModelNormal, validate_and_convert_types
from PIL import Image

WHEN = "2026-01-01T00:00:00Z"


class RefusedError(Exception):
    """An answer with a status that isn't success."""

    def __init__(self, status, message):
        super().__init__(message)
        self.status, self.message = status, message


def checked(model, body):
    """Return a body that is one of this model, every field known; raises what the SDK raises."""
    validate_and_convert_types(body, (model,), ["body"], True, True, Configuration())
    _no_unknown(model, body, model.__name__)
    return body


def _no_unknown(model, value, where):
    if isinstance(value, list):
        for each in value:
            _no_unknown(model, each, where)
    elif isinstance(value, dict) and issubclass(model, ModelNormal):
        unknown = set(value) - set(model.openapi_types)
        assert not unknown, f"{where} has no fields {unknown}"
        for name, inner in value.items():
            for kind in model.openapi_types[name]:
                kind = kind[0] if isinstance(kind, list) else kind
                if isinstance(kind, type) and issubclass(kind, ModelNormal):
                    _no_unknown(kind, inner, f"{where}.{name}")


class CvatApi:
    """The state of the server and what its routes do."""

    def __init__(self, token, *, version="2.80.0", share=None):
        self.token, self.version, self.share = token, version, share
        self.tasks, self.jobs, self.labels, self.guides, self.files = {}, {}, {}, {}, {}
        self.wrong, self.log = [], []
        self.cut_at = None  # (how many more requests are served, whether the next one is done before the line is cut)
        self.slow = 0  # how often a request's state is "started" before it is "finished"
        self._lock, self._ids = threading.Lock(), iter(range(1, 1_000_000))

    # -- what tests do as people ---------------------------------------------------------------------------------

    def finish(self, job, state="completed", stage=None):
        """Set a job's state as the annotation page does, or as a reviewer does with a stage."""
        if stage is not None and stage != job["stage"]:
            job["stage"], job["state"] = stage, "new"
        job["state"] = state if stage is None else job["state"]

    def frames(self, task):
        """Names of the task's images in order."""
        return [frame["name"] for frame in task["frames"]]

    # -- routes --------------------------------------------------------------------------------------------------

    def about(self, **_):
        return {"name": "CVAT", "description": "", "version": self.version, "logo_url": "x", "subtitle": "x"}

    def list_tasks(self, query, **_):
        found = [t for t in self.tasks.values() if query["search"] in t["name"]]
        return self._page([self._task(t) for t in found], query)

    def create_task(self, body, headers, **_):
        body = checked(models.TaskWriteRequest, body)
        names = [label["name"] for label in body["labels"]]
        if len(set(names)) != len(names):
            raise RefusedError(400, "All label names must be unique for the task")
        number = next(self._ids)
        self.tasks[number] = {
            "id": number,
            "name": body["name"],
            "frames": [],
            "deleted": [],
            "segment_size": body["segment_size"],
            "guide_id": None,
            "data": None,
            "organization": headers.get("X-Organization"),
        }
        for label in body["labels"]:
            label["name"] = label["name"].strip()  # as the server's serializers do
            attributes = [{**a, "id": next(self._ids)} for a in label["attributes"]]
            one = {"id": next(self._ids), "name": label["name"], "type": label["type"], "attributes": attributes}
            self.labels[one["id"]] = one | {"task_id": number, "color": "#123456", "has_parent": False}
        return self._task(self.tasks[number])

    def get_task(self, number, **_):
        return self._task(self._known(number))

    def patch_task(self, number, body, **_):
        body = checked(models.PatchedTaskWriteRequest, body)
        assert set(body) == {"name"}
        self._known(number)["name"] = body["name"]
        return self._task(self.tasks[number])

    def delete_task(self, number, **_):
        task = self._known(number)
        assert not task["frames"], "a task that has images is deleted"
        del self.tasks[number]

    def data(self, number, headers, body, raw, **_):
        task = self._known(number)
        if task["frames"]:
            raise RefusedError(400, "Adding more data is not supported")
        held = self.files.setdefault(number, {})
        if "Upload-Start" in headers:
            return None
        if "Upload-Multiple" in headers:
            for name, content in _parts(headers["Content-Type"], raw):
                if name is not None:
                    held[name] = held.get(name, b"") + content
            return None
        body = checked(models.DataRequest, body)
        assert body["sorting_method"] == "predefined"
        if "server_files" in body:
            pictures = [(name, (self.share / name).read_bytes()) for name in body["server_files"]]
        else:
            assert "Upload-Finish" in headers
            assert sorted(body["upload_file_order"]) == sorted(held)
            pictures = [(name, held[name]) for name in body["upload_file_order"]]
        request = {
            "id": f"action=create&target=task&id={number}",
            "status": "finished",
            "message": "",
            "left": self.slow,
        }
        task["data"] = request
        try:
            sizes = [Image.open(io.BytesIO(content)).size for _, content in pictures]
        except OSError as error:
            request |= {"status": "failed", "message": f"cannot identify image: {error}"}
            return {"rq_id": request["id"]}
        task["pictures"] = dict(pictures)
        frames = [
            {"name": name, "width": w, "height": h, "related_files": 0, "has_related_context": False}
            for (name, _), (w, h) in zip(pictures, sizes, strict=True)
        ]
        task["coming"] = frames
        if not request["left"]:
            self._arrive(task)
        return {"rq_id": request["id"]}

    def _arrive(self, task):
        task["frames"] = task.pop("coming")
        step = task["segment_size"]
        for start in range(0, len(task["frames"]), step):
            stop = min(start + step, len(task["frames"])) - 1
            self.add_job(task, start, stop)

    def add_job(self, task, start, stop, kind="annotation"):
        """Make a job; the server itself makes those of the type "annotation"."""
        number = next(self._ids)
        job = {"id": number, "task_id": task["id"], "start_frame": start, "stop_frame": stop, "type": kind}
        empty = {"version": 0, "tags": [], "shapes": [], "tracks": []}
        self.jobs[number] = job | {"stage": "annotation", "state": "new", "held": empty}
        return self.jobs[number]

    def list_requests(self, query, **_):
        assert query["action"] == "create"
        task = self._known(int(query["task_id"]))
        return self._page([self._request(task)] if task["data"] else [], query)

    def get_request(self, name, **_):
        task = self._known(int(name.rsplit("=", 1)[1]))
        shown, request = self._request(task), task["data"]
        if request["status"] == "finished" and request["left"]:
            request["left"] -= 1
            if not request["left"]:
                self._arrive(task)
        return shown

    def meta(self, number, **_):
        task = self._known(number)
        about = {"chunks_updated_date": WHEN, "size": len(task["frames"]), "image_quality": 95, "start_frame": 0}
        return about | {
            "stop_frame": len(task["frames"]) - 1,
            "frames": task["frames"],
            "deleted_frames": task["deleted"],
        }

    def list_labels(self, query, **_):
        return self._page([x for x in self.labels.values() if x["task_id"] == int(query["task_id"])], query)

    def list_jobs(self, query, **_):
        found = [j for j in self.jobs.values() if j["task_id"] == int(query["task_id"])]
        return self._page([self._job(j) for j in reversed(found)], query)

    def get_annotations(self, number, **_):
        return self.jobs[number]["held"]

    def put_annotations(self, number, body, **_):
        body, job = checked(models.LabeledDataRequest, body), self.jobs[number]
        frames, known = range(job["start_frame"], job["stop_frame"] + 1), self.labels
        for thing in [*body["tags"], *body["shapes"]]:
            assert thing["frame"] in frames, "not of this job"
            label = known[thing["label_id"]]
            assert label["task_id"] == job["task_id"], "not of this task"
            assert {a["spec_id"] for a in thing["attributes"]} <= {a["id"] for a in label["attributes"]}
        for shape in body["shapes"]:
            assert shape["type"] == "rectangle"
            assert len(shape["points"]) == 4
        held = {"version": 0, "tracks": []}
        more = {"occluded": False, "outside": False, "z_order": 0, "rotation": 0.0, "elements": [], "score": 1.0}
        held["tags"] = [{**t, "id": next(self._ids), "group": 0} for t in body["tags"]]
        held["shapes"] = [{**more, **s, "id": next(self._ids), "group": 0} for s in body["shapes"]]
        job["held"] = held
        return held

    def create_guide(self, body, **_):
        body = checked(models.AnnotationGuideWriteRequest, body)
        task = self._known(body["task_id"])
        if task["guide_id"] is not None:
            raise RefusedError(400, "The task has a guide already")
        number = next(self._ids)
        self.guides[number], task["guide_id"] = body["markdown"], number
        about = {"id": number, "task_id": task["id"], "project_id": None, "owner": None, "created_date": WHEN}
        return about | {"updated_date": WHEN, "markdown": body["markdown"]}

    # -- what answers look like ----------------------------------------------------------------------------------

    def _known(self, number):
        if number not in self.tasks:
            raise RefusedError(404, "Not found.")
        return self.tasks[number]

    def _task(self, task):
        count = sum(j["task_id"] == task["id"] for j in self.jobs.values())
        summary = {"count": count, "completed": 0, "validation": 0, "url": "http://127.0.0.1/api/jobs"}
        known = {"id": task["id"], "name": task["name"], "guide_id": task["guide_id"], "size": len(task["frames"])}
        about = {"organization": None, "segment_size": task["segment_size"], "mode": "annotation"}
        return known | about | {"jobs": summary, "labels": {"url": "http://127.0.0.1/api/labels"}}

    def _job(self, job):
        shown = {k: v for k, v in job.items() if k != "held"}
        empty = {"url": "http://127.0.0.1/api/x", "count": 0}
        return shown | {"issues": empty, "labels": {"url": empty["url"]}, "created_date": WHEN}

    def _request(self, task):
        request = task["data"]
        state = "started" if request["left"] else request["status"]
        operation = {"type": "create:task", "target": "task", "task_id": task["id"]}
        shown = {"id": request["id"], "status": state, "message": request["message"], "created_date": WHEN}
        return shown | {"operation": operation}

    def _page(self, rows, query, size=3):
        """Return a page of three: lists are longer than a page in every test."""
        page = int(query.get("page", 1))
        part = rows[(page - 1) * size : page * size]
        after = f"http://127.0.0.1/api/x?page={page + 1}" if page * size < len(rows) else None
        return {"count": len(rows), "next": after, "previous": None, "results": part}

    ROUTES = (
        ("GET", r"/api/server/about", about, 200, set()),
        ("GET", r"/api/tasks", list_tasks, 200, {"search", "page"}),
        ("POST", r"/api/tasks", create_task, 201, set()),
        ("GET", r"/api/tasks/(?P<number>\d+)", get_task, 200, set()),
        ("PATCH", r"/api/tasks/(?P<number>\d+)", patch_task, 200, set()),
        ("DELETE", r"/api/tasks/(?P<number>\d+)", delete_task, 204, set()),
        ("POST", r"/api/tasks/(?P<number>\d+)/data/", data, 202, set()),
        ("GET", r"/api/tasks/(?P<number>\d+)/data/meta", meta, 200, set()),
        ("GET", r"/api/requests", list_requests, 200, {"task_id", "action", "page"}),
        ("GET", r"/api/requests/(?P<name>.+)", get_request, 200, set()),
        ("GET", r"/api/labels", list_labels, 200, {"task_id", "page", "org"}),
        ("GET", r"/api/jobs", list_jobs, 200, {"task_id", "page", "org"}),
        ("GET", r"/api/jobs/(?P<number>\d+)/annotations/", get_annotations, 200, set()),
        ("PUT", r"/api/jobs/(?P<number>\d+)/annotations/", put_annotations, 200, set()),
        ("POST", r"/api/guides", create_guide, 201, set()),
    )

    def answer(self, method, target, headers, raw):
        """Return status and body of one request."""
        split = urlsplit(target)
        query = dict(parse_qsl(split.query, keep_blank_values=True))
        if headers.get("Authorization") != f"Bearer {self.token}":
            return 401, {"detail": "Invalid token."}
        for verb, pattern, act, status, allowed in self.ROUTES:
            found = re.fullmatch(pattern, _unquoted(split.path))
            if verb != method or found is None:
                continue
            if not set(query) <= allowed:
                raise AssertionError(f"{method} {target}: parameters {set(query) - allowed}")
            known = {k: int(v) if k == "number" else v for k, v in found.groupdict().items()}
            body = json.loads(raw) if raw and "json" in headers.get("Content-Type", "") else None
            found = act(self, **known, query=query, headers=headers, body=body, raw=raw)
            return 200 if act is CvatApi.data and "Upload-Multiple" in headers else status, found
        raise AssertionError(f"{method} {target} is no path of the API that is used")


def _unquoted(path):
    from urllib.parse import unquote

    return unquote(path)


def _parts(kind, raw):
    """Yield file name (without folders, as Django keeps it; None for fields) and content of a multipart body."""
    head = f"Content-Type: {kind}\r\nMIME-Version: 1.0\r\n\r\n".encode()
    for part in email.message_from_bytes(head + raw, policy=email.policy.HTTP).iter_parts():
        name = part.get_filename()
        yield (name and name.replace("\\", "/").rsplit("/", 1)[-1]), part.get_payload(decode=True)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # header and body in one packet

    def _serve(self):
        api = self.server.api
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        with api._lock:
            cut, done = api.cut_at if api.cut_at is not None else (1, False)
            if api.cut_at is not None:
                api.cut_at = (cut - 1, done)
            if cut < 0 or (cut == 0 and not done):
                self.close_connection = True
                return
            api.log.append(f"{self.command} {self.path}")
            try:
                status, answer = api.answer(self.command, self.path, self.headers, raw)
            except RefusedError as refused:
                status, answer = refused.status, [refused.message]
            except Exception as error:  # noqa: BLE001 - whatever is wrong is told at the end of the test
                api.wrong.append(f"{self.command} {self.path}: {error!r}")
                status, answer = 400, [str(error)]
        if cut == 0:
            self.close_connection = True
            return
        content = b"" if answer is None else json.dumps(answer).encode()
        self.send_response(status)
        if status != 204:
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = _serve  # noqa: N815 - the library's names

    def log_message(self, *_):
        """Say nothing."""


class serving:  # noqa: N801 - reads as a word: `with serving(api) as url`
    """Serve an API on a free port of this machine; afterwards nothing may have been asked that isn't in it."""

    def __init__(self, api):
        self.api = api
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self.server.api, self.server.daemon_threads = api, True

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return f"http://127.0.0.1:{self.server.server_port}"

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
        assert self.api.wrong == []
