"""FiftyOne and MongoDB: where everything is kept."""

from slicelab.store._app import AppSession, install_plugin
from slicelab.store._audit import Rebuilt, audit, rebuild
from slicelab.store._connection import Connection, connect
from slicelab.store._curated import Cases, Queues, Slices
from slicelab.store._dataset_info import DatasetInfo, check_group
from slicelab.store._datasets import Datasets
from slicelab.store._doctor import Check
from slicelab.store._doctor import doctor as diagnose
from slicelab.store._foreign import read_foreign
from slicelab.store._home import home
from slicelab.store._label_schemas import LabelSchemas
from slicelab.store._ledger import Audit, Ledger
from slicelab.store._matching import matching
from slicelab.store._mongod import find_mongod, install_mongod
from slicelab.store._records import Records
from slicelab.store._vectors import Vectors

__all__ = [
    "AppSession",
    "Audit",
    "Cases",
    "Check",
    "Connection",
    "DatasetInfo",
    "Datasets",
    "LabelSchemas",
    "Ledger",
    "Queues",
    "Rebuilt",
    "Records",
    "Slices",
    "Vectors",
    "audit",
    "check_group",
    "connect",
    "diagnose",
    "find_mongod",
    "home",
    "install_mongod",
    "install_plugin",
    "matching",
    "read_foreign",
    "rebuild",
]
