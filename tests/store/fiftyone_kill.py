"""Run by test_server.py in a process of its own: FiftyOne's calls before and after mongod is killed."""

import json
import os
import signal
import socket
import threading

from slicelab.store import _watch, connect

connection = connect()
connection.prepare_fiftyone()
import fiftyone as fo  # noqa: E402

dataset = fo.Dataset("bags", persistent=True)
dataset.add_samples([fo.Sample(filepath=f"/images/{i}.jpg") for i in range(10)])
counts = []


def kill() -> int:
    state = json.loads((connection.home / "server.json").read_text())
    os.kill(state["pid"], signal.SIGKILL)
    return state["port"]


def occupy(port: int) -> None:
    """Take the port as another program would: take connections and close them."""
    taken = socket.create_server(("127.0.0.1", port))

    def serve() -> None:
        while True:
            taken.accept()[0].close()

    threading.Thread(target=serve, daemon=True).start()


kill()
connection.ensure()
counts.append(dataset.count())

kill()  # no call of SliceLab between the kill and FiftyOne's call
counts.append(dataset.count())
sample = dataset.first()
sample["seen"] = True
sample.save()

with _watch.server_lock(connection.home):
    port = kill()
    while _watch.mongod_pid(connection.home) is not None:
        pass
    occupy(port)
connection.ensure()
counts.append(dataset.count())
assert connection.client.address[1] != port
assert fo.load_dataset("bags").count("seen") == 1
sample["seen"] = False
sample.save()
assert counts == [10, 10, 10], counts
print("all of 10 samples, 3 times")
