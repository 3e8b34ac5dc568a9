"""Ending the transactions of killed processes: the database would lock their records for a minute more."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import psutil

if TYPE_CHECKING:
    from pymongo import MongoClient


def client_name() -> str:
    """Return how this process calls itself at the database: with its pid and the second in which it started."""
    me = psutil.Process()
    return f"slicelab {me.pid}@{int(me.create_time())}"


def end_abandoned(client: MongoClient[dict[str, Any]]) -> int:
    """End the open transactions of SliceLab's processes that don't live any more; return how many there were.

    Only for a database all of whose clients run on this machine.
    """
    idle: list[dict[str, Any]] = [
        {"$currentOp": {"allUsers": True, "idleSessions": True}},
        {"$match": {"transaction": {"$exists": True}, "appName": {"$regex": "^slicelab "}}},
    ]
    sessions = [
        {"lsid": {"id": found["lsid"]["id"], "uid": found["lsid"]["uid"]}}
        for found in client.admin.aggregate(idle)
        if not _lives(found["appName"])
    ]
    if sessions:
        client.admin.command("killAllSessionsByPattern", sessions)
    return len(sessions)


def _lives(name: str) -> bool:
    found = re.fullmatch(r"slicelab (\d+)@(\d+)", name)
    if found is None:
        return True
    try:
        process = psutil.Process(int(found[1]))
        return int(process.create_time()) == int(found[2]) and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
    except psutil.Error:
        return True
