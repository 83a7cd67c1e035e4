from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = (("django_enrollments", "0002_invitation_terms"),)

    operations = (
        migrations.AlterField(
            model_name="enrollmentevent",
            name="source",
            field=models.CharField(max_length=32, verbose_name="source"),
        ),
    )
