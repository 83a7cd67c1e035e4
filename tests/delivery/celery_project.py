"""
A project that gets events as tasks of Celery, with the reference consumer.

Tests run it as a process of its own; it does not use Django.
"""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import closing

from celery import Celery

app = Celery("crm", broker=os.environ["CRM_BROKER"], set_as_current=False)
app.conf.update(
    # Redis delivers a task again if it is not acknowledged within a second.
    broker_transport_options={
        "visibility_timeout": 1,
        "unacked_restore_interval": 5,
        "unacked_restore_throttle": 1,
    },
    worker_prefetch_multiplier=1,
    task_acks_late=True,
    task_default_queue=os.environ["CRM_QUEUE"],
    worker_hijack_root_logger=False,
)


def connect() -> sqlite3.Connection:
    """Open the consumer's own database."""
    database = sqlite3.connect(os.environ["CRM_DATABASE"], timeout=30)
    database.execute("PRAGMA journal_mode=WAL")
    database.executescript(
        "CREATE TABLE IF NOT EXISTS call (event TEXT);"
        "CREATE TABLE IF NOT EXISTS act (event TEXT, key TEXT, is_active INTEGER);"
        "CREATE TABLE IF NOT EXISTS progress (key TEXT PRIMARY KEY, sequence TEXT);"
    )
    return database


@app.task(name="crm.take", shared=False)
def take(event: dict) -> None:
    """Act on an event, unless the same or a later one came before."""
    time.sleep(float(os.environ["CRM_SECONDS"]))
    with closing(connect()) as database, database:
        database.execute("INSERT INTO call VALUES (?)", (event["id"],))
        is_new = database.execute(
            "INSERT INTO progress VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET "
            "sequence = excluded.sequence WHERE excluded.sequence > sequence",
            (event["partitionkey"], event["sequence"]),
        ).rowcount
        if is_new:
            database.execute(
                "INSERT INTO act VALUES (?, ?, ?)",
                (event["id"], event["partitionkey"], event["data"]["active_after"]),
            )
