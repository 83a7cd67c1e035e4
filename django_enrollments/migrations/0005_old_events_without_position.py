from __future__ import annotations

import time
from typing import Any

from django.db import migrations

#: Rows per transaction, and the pause after it, in which others write.
BATCH, PAUSE_SECONDS = 10_000, 0.05


def clear(apps: Any, schema_editor: Any) -> None:
    """Write null over the 0 that SQLite gave to the events from before the feed."""
    connection = schema_editor.connection
    if connection.vendor != "sqlite":
        return
    model = apps.get_model("django_enrollments", "EnrollmentEvent")
    events = model._base_manager.using(connection.alias)
    newest = events.order_by("-pk").values_list("pk", flat=True).first() or 0
    for start in range(0, newest, BATCH):
        # The history is append-only, so the old events are the first ones.
        last = min(start + BATCH, newest)
        events.filter(pk__gt=start, pk__lte=last).update(position=None)
        # SQLite's writers do not queue: without a pause, the others may not get a turn.
        time.sleep(PAUSE_SECONDS)


class Migration(migrations.Migration):
    # A transaction for each batch.
    atomic = False

    dependencies = (("django_enrollments", "0004_event_feed"),)

    operations = (migrations.RunPython(clear, migrations.RunPython.noop),)
