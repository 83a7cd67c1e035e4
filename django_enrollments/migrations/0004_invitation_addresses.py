from __future__ import annotations

from typing import Any

from django.db import migrations

from django_enrollments.keys import normalize_email


def normalize_addresses(apps: Any, schema_editor: Any) -> None:
    """Store addresses as look-ups compare them; version 0.1.0 kept NFD."""
    model = apps.get_model("django_enrollments", "CourseEnrollmentAllowed")
    invitations = model.objects.using(schema_editor.connection.alias)
    stored = invitations.values_list("pk", "email", "course_id", "user_id")
    odd = [row for row in stored.iterator() if row[1] != normalize_email(row[1])]
    for key, email, course_id, user_id in odd:
        same = invitations.filter(email=email, course_id=course_id).exclude(pk=key)
        if same.exists():
            # One invitation per address and course; it remembers who used it.
            same.filter(user=None).update(user=user_id)
            invitations.filter(pk=key).delete()
        else:
            invitations.filter(pk=key).update(email=email)


class Migration(migrations.Migration):
    dependencies = (("django_enrollments", "0003_event_source_length"),)

    operations = (
        migrations.RunPython(
            normalize_addresses, migrations.RunPython.noop, elidable=True
        ),
    )
