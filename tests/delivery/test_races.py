"""What operators do while a worker delivers, and the other way round."""

from __future__ import annotations

from functools import partial
from threading import Thread

import pytest
from django.db import connections, transaction

from django_enrollments.delivery import deliver, discard, pause, read, sequence, work
from django_enrollments.models import Consumer, SetAside
from django_enrollments.models.delivery import SetAsideQuerySet
from tests.delivery.consumers import (
    called,
    doing,
    enroll,
    failing_for,
    positions,
    toggle,
)
from tests.factories import make_course

pytestmark = pytest.mark.django_db


def test_events_behind_one_that_is_discarded_meanwhile_are_delivered(crm):
    course = make_course()
    ada, ben = enroll(2, course=course)
    doing[crm] = failing_for(ada, KeyError())
    deliver(crm)
    toggle(ben, course)
    toggle(ada, course)

    # Ben's event comes first in the batch, Ada's is about to be set aside.
    def discard_once(message):
        doing.clear()
        discard(crm, 1, "known to be wrong")

    doing[crm] = discard_once

    deliver(crm)
    deliver(crm)

    assert positions(crm) == [2, 3, 4]
    assert not SetAside.objects.exists()


def test_an_event_that_is_discarded_during_its_retry_stays_discarded(crm):
    ada, _ben = enroll(2)
    doing[crm] = failing_for(ada, KeyError())
    deliver(crm)
    SetAside.objects.update(retry_at="2000-01-01T00:00Z")

    def discard_and_fail(message):
        discard(crm, 1, "known to be wrong")
        raise KeyError

    doing[crm] = discard_and_fail
    deliver(crm)

    assert not SetAside.objects.exists()


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("needs_two_writers")
def test_discard_waits_for_a_worker_that_sets_aside(crm, monkeypatch):
    course = make_course()
    (ada,) = enroll(1, course=course)
    doing[crm] = failing_for(ada, KeyError())
    deliver(crm)
    toggle(ada, course)
    doing.clear()
    bulk_create = SetAsideQuerySet.bulk_create
    threads = []

    def discard_and_create(*given, **options):
        if not threads:
            threads.append(Thread(target=_discard, args=[crm]))
            threads[0].start()
            threads[0].join(1)
        return bulk_create(*given, **options)

    monkeypatch.setattr(SetAsideQuerySet, "bulk_create", discard_and_create)
    deliver(crm)
    threads[0].join()

    deliver(crm)

    assert positions(crm) == [2]
    assert not SetAside.objects.exists()


def _discard(name):
    try:
        discard(name, 1, "known to be wrong")
    finally:
        connections.close_all()


@pytest.fixture
def _without_autocommit(crm):
    enroll(2)
    transaction.set_autocommit(False)
    yield
    transaction.rollback()
    transaction.set_autocommit(True)


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("_without_autocommit")
class TestHostWithoutAutocommit:
    @pytest.mark.parametrize(
        "act", [sequence, read, partial(deliver, "crm"), partial(pause, "crm")]
    )
    def test_delivers_nothing_in_its_transaction(self, act):
        with pytest.raises(RuntimeError, match="autocommit"):
            act()

        assert not called["crm"]

    @pytest.mark.usefixtures("needs_two_writers")
    def test_keeps_its_transaction_while_it_works(self, crm):
        Consumer.objects.create(name="other", position=7)

        done = work()

        assert (done["sequenced"], done["errors"]) == (2, {})
        assert positions(crm) == [1, 2]
        transaction.rollback()
        assert not Consumer.objects.filter(name="other").exists()
