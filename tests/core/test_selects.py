"""Plain statements give what Django's own queries give, and what hosts say counts."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth import get_user_model
from django.db import connection, models
from django.db.models import F, Value
from django.db.models.expressions import Col
from django.db.models.signals import post_init
from django.utils.functional import cached_property

from django_enrollments import api, data
from django_enrollments.models import (
    CourseEnrollment,
    CourseMode,
    EnrollmentEvent,
    get_course_model,
)
from django_enrollments.selects import (
    Prepared,
    Slot,
    is_plain_path,
    is_plainly_stored,
    read_columns,
    select_from,
)
from tests.factories import (
    DAY,
    NOON,
    course_id_of,
    make_course,
    make_mode,
    make_user,
    make_users,
    username,
)
from tests.watching import listening

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from django.db.models import QuerySet

pytestmark = pytest.mark.django_db

User = get_user_model()
NAME = User.USERNAME_FIELD


def enroll(count: int) -> Any:
    """Enroll learners in a course with a mode that ends, and give the course."""
    course = make_course()
    make_mode(course, "audit")
    make_mode(course, "verified", expiration_datetime=NOON + 10_000 * DAY)
    for user in make_users(count):
        api.add_enrollment(user.get_username(), course_id_of(course))
    return course


class TestSelectFrom:
    """What a host's manager says of its rows is never lost (B-26)."""

    def test_finds_what_filter_finds(self) -> None:
        ada, bea, _ = make_users(3)
        names = [ada.get_username(), bea.get_username(), "nobody"]

        found = select_from(User._default_manager.all(), {NAME: names})

        assert {one.pk for one in found} == {ada.pk, bea.pk}
        loaded = User._default_manager.get(pk=ada.pk)
        (same,) = (one for one in found if one.pk == ada.pk)
        fields = [field.attname for field in User._meta.concrete_fields]
        assert [getattr(same, one) for one in fields] == [
            getattr(loaded, one) for one in fields
        ]
        assert not same._state.adding
        assert same._state.db == "default"

    def test_finds_nobody_among_no_names(self) -> None:
        make_user("ada")

        assert select_from(User._default_manager.all(), {NAME: []}) == []

    @pytest.mark.parametrize(
        ("narrow", "count"),
        [
            (lambda users: users.filter(is_active=True), 0),
            (lambda users: users.exclude(is_active=False), 0),
            (lambda users: users.none(), 0),
            (lambda users: users.filter(is_active=False), 1),
            (lambda users: users.distinct(), 1),
        ],
    )
    def test_goes_no_farther_than_the_manager(
        self, narrow: Callable[[QuerySet[Any]], QuerySet[Any]], count: int
    ) -> None:
        make_user("ada", is_active=False)
        users = narrow(User._default_manager.all())

        assert len(select_from(users, {NAME: username("ada")})) == count

    def test_keeps_what_is_computed(self) -> None:
        make_user("ada")
        users = User._default_manager.annotate(seven=Value(7), own=F("pk"))

        (ada,) = select_from(users, {NAME: username("ada")})

        assert (ada.seven, ada.own) == (7, ada.pk)

    def test_keeps_what_is_read_along(
        self, django_assert_num_queries: Callable[[int], Any]
    ) -> None:
        make_user("ada")
        users = User._default_manager.prefetch_related("groups")

        (ada,) = select_from(users, {NAME: username("ada")})

        with django_assert_num_queries(0):
            assert list(ada.groups.all()) == []

    def test_keeps_what_is_not_read(self) -> None:
        make_user("ada")
        users = User._default_manager.defer("password")

        (ada,) = select_from(users, {NAME: username("ada")})

        assert ada.get_deferred_fields() == {"password"}

    def test_asks_a_class_of_the_hosts(self) -> None:
        class Discreet(models.QuerySet[Any]):
            def filter(self, *args: Any, **kwargs: Any) -> Any:
                return self.none()

        make_user("ada")

        assert select_from(Discreet(User), {NAME: username("ada")}) == []

    def test_finds_a_course_of_either_model(self) -> None:
        course = make_course()
        courses = get_course_model()._base_manager.all()

        found = select_from(courses, {courses.model._meta.pk.name: course.pk})

        assert found == [course]


class TestReadColumns:
    @pytest.mark.parametrize("model", [CourseEnrollment, CourseMode, EnrollmentEvent])
    def test_gives_what_django_gives(self, model: Any) -> None:
        enroll(3)
        names = [field.attname for field in model._meta.concrete_fields]
        rows = model.objects.order_by("pk").values_list(*names)

        read = read_columns(rows)

        assert read == list(rows)
        assert len(read) > 1

    def test_gives_no_row_of_none(self) -> None:
        enroll(1)

        assert read_columns(CourseEnrollment.objects.none().values_list("pk")) == []
        assert CourseEnrollment.objects.exists()

    @pytest.fixture(params=["UTC", "Asia/Kathmandu", None])
    def _zone(self, request: Any, settings: Any) -> Iterator[None]:
        """Let a database that has no time zones hold moments of another."""
        if connection.features.supports_timezones:
            pytest.skip("The database's moments have a zone of their own.")
        before = connection.timezone
        if request.param is None:
            settings.USE_TZ = False
            connection.timezone = None
        else:
            connection.timezone = ZoneInfo(request.param)
        yield
        connection.timezone = before

    @pytest.mark.usefixtures("_zone")
    def test_gives_moments_of_the_databases_zone(self) -> None:
        api.add_enrollment(make_user("ada").get_username(), course_id_of(make_course()))
        rows = CourseEnrollment.objects.order_by("pk").values_list("created", "pk")

        assert read_columns(rows) == list(rows)

    def test_cuts_off_what_distinct_orders_by(self) -> None:
        enroll(3)
        rows = CourseEnrollment.objects.distinct().order_by("created", "pk")

        assert read_columns(rows.values_list("mode")) == [("audit",)] * 3
        assert len(data.serialize_enrollments(rows)) == 3


class Secret(models.CharField):  # type: ignore[type-arg]  # Not generic at run time.
    """Is selected in a way of its own."""

    @cached_property
    def cached_col(self) -> Any:
        return SecretCol(self.model._meta.db_table, self)

    def get_col(self, alias: str, output_field: Any = None) -> Any:
        return SecretCol(alias, self)


class SecretCol(Col):
    pass


class Vault(models.Model):
    name = models.CharField(max_length=9)
    secret = Secret(max_length=9)

    class Meta:
        app_label = "nowhere"

    def __str__(self) -> str:
        return self.name


class TestPlain:
    def test_is_a_model_with_fields_of_djangos(self) -> None:
        assert is_plainly_stored(User, NAME)
        assert is_plain_path(CourseEnrollment, f"user__{NAME}")
        assert is_plain_path(CourseEnrollment, "course__pk")
        assert not is_plain_path(CourseEnrollment, "attributes")

    def test_is_none_with_a_field_of_its_own(self) -> None:
        assert not is_plainly_stored(Vault, "name")
        assert is_plain_path(Vault, "name")
        assert not is_plain_path(Vault, "secret")


class TestPrepared:
    def test_gives_each_value_its_rows(self) -> None:
        enroll(3)
        name: Any = User._meta.get_field(NAME)
        rows = CourseEnrollment.objects.filter(**{f"user__{NAME}": Slot("name", name)})
        prepared = Prepared(rows.values_list(f"user__{NAME}", "is_active"))

        for one in ("learner0", "learner2"):
            assert prepared.read(name=username(one)) == [(username(one), True)]
        assert prepared.read(name=username("nobody")) == []

    def test_converts_a_value_as_a_lookup_does(self) -> None:
        enroll(2)
        created: Any = CourseEnrollment._meta.get_field("created")
        rows = CourseEnrollment.objects.filter(created__lte=Slot("moment", created))
        prepared = Prepared(rows.values_list("pk"))
        oldest, newest = CourseEnrollment.objects.order_by("created", "pk")

        assert len(prepared.read(moment=newest.created)) == 2
        assert prepared.read(moment=oldest.created) == [(oldest.pk,)]
        assert prepared.read(moment=oldest.created - DAY) == []

    def test_is_missed_a_value(self) -> None:
        name: Any = User._meta.get_field(NAME)
        rows = User._default_manager.filter(**{NAME: Slot("name", name)})

        with pytest.raises(KeyError):
            Prepared(rows.values_list("pk")).read()


class TestInstances:
    """Instances of enrollments are made in a way of their own."""

    def test_are_what_django_makes(self) -> None:
        enroll(1)
        names = [field.attname for field in CourseEnrollment._meta.concrete_fields]
        (values,) = CourseEnrollment.objects.values_list(*names)

        made = CourseEnrollment.from_db("default", names, values)

        djangos = super(CourseEnrollment, made).from_db("default", names, values)
        assert made == djangos
        for one in (made, djangos):
            state = vars(one).pop("_state")
            assert (state.db, state.adding, state.fields_cache) == (
                "default",
                False,
                {},
            )
        assert vars(made) == vars(djangos)

    def test_may_lack_columns(self) -> None:
        enroll(1)

        (one,) = CourseEnrollment.objects.only("mode")

        assert one.get_deferred_fields() >= {"created", "is_active"}
        assert one.is_active

    def test_are_heard_of(self) -> None:
        enroll(2)
        heard = []

        def receive(instance: Any, **carried: Any) -> None:
            heard.append(instance.mode)

        post_init.connect(receive, sender=CourseEnrollment)
        try:
            list(CourseEnrollment.objects.all())
        finally:
            post_init.disconnect(receive, sender=CourseEnrollment)
        list(CourseEnrollment.objects.all())

        assert heard == ["audit", "audit"]

    def test_know_their_peers(
        self, django_assert_num_queries: Callable[[int], Any]
    ) -> None:
        fetch_peers = getattr(models, "FETCH_PEERS", None)
        if fetch_peers is None:
            pytest.skip("Django fetches what peers lack from 6.1 on.")
        enroll(3)
        rows: Any = CourseEnrollment.objects.all()

        with django_assert_num_queries(2):
            assert len({one.user.pk for one in rows.fetch_mode(fetch_peers)}) == 3

    def test_can_be_saved_and_pickled(self) -> None:
        enroll(1)
        (one,) = CourseEnrollment.objects.all()

        copy = pickle.loads(pickle.dumps(one))  # noqa: S301 - Just written.
        with listening() as heard:
            copy.save()

        assert copy == one
        assert heard == []
