"""Find users of any user model by username, key or e-mail address."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any

from django.contrib.auth import get_user_model
from django.db.models import Q, Value
from django.db.models.functions import Lower

from django_enrollments.context import read_alias
from django_enrollments.emails import (
    clean_address,
    fold_email,
    normalize_email,
    spellings_of_email,
)
from django_enrollments.errors import CourseEnrollmentError, UserNotFoundError
from django_enrollments.identifiers import find_user_key, find_username
from django_enrollments.text import is_storable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from django.db.models import QuerySet

#: Longer addresses are not looked up.
_LONGEST_EMAIL = 1_000


def _users(using: str | None = None) -> QuerySet[Any]:
    users = get_user_model()._default_manager.all()
    return users.using(using or read_alias())


def find_user(username: object, using: str | None = None) -> Any | None:
    """
    Return the user with exactly this username, or with its normal form, or ``None``.

    Case matters on every database, so that a user with a similar name never acts on
    another user's account (B-26).
    """
    return next(iter(find_users_by_name([username], using).values()), None)


def get_user(username: object, using: str | None = None) -> Any:
    """
    Return the user with exactly this username.

    Raises:
        UserNotFoundError: There is none (DATA-05).
    """
    user = find_user(username, using)
    if user is None:
        raise UserNotFoundError(f"Not user with username '{username}' found.")
    return user


def get_user_by_key(user: Any, using: str | None = None) -> Any:
    """
    Return a saved user, from an instance or a primary key.

    Raises:
        UserNotFoundError: No user has this key, or the instance is not saved.
    """
    if isinstance(user, get_user_model()):
        if is_saved(user):
            return user
        raise UserNotFoundError("The user has not been saved.")
    found = find_users_by_key([user], using)
    if not found:
        raise UserNotFoundError(f"No user with key '{user}' found.")
    return found[user]


def is_saved(user: Any) -> bool:
    """Return whether an object is a saved instance of the user model."""
    is_instance = isinstance(user, get_user_model())
    return is_instance and user.pk is not None and not user._state.adding


def find_users_by_name(
    usernames: Iterable[object], using: str | None = None
) -> dict[Any, Any]:
    """
    Return the users with these usernames, in one query, by given username.

    A stored username may not be normalized. It is found by its exact text, so that it
    never acts on the account with the normalized name.
    """
    wanted: dict[Any, list[Any]] = {}
    for name in usernames:
        stored = find_username(name)
        if stored is not None:
            is_normalized = str(stored) == str(name)
            wanted[name] = [stored] if is_normalized else [name, stored]
    if not wanted:
        return {}
    path = f"{get_user_model().USERNAME_FIELD}__in"
    names = {*chain(*wanted.values())}
    users = _users(using).filter(**{path: names}).order_by()
    by_name = {str(user.get_username()): user for user in users}
    # A collation also finds names that look alike.
    found = {}
    for given, spellings in wanted.items():
        known = [str(name) for name in spellings if str(name) in by_name]
        if known:
            found[given] = by_name[known[0]]
    return found


def find_stored_name(username: object, using: str | None = None) -> Any | None:
    """
    Return the username as stored, or ``None`` if it is not a valid value.

    It makes a query only for a name that is not normalized. A user need not have it.
    """
    name = find_username(username)
    if name is None or str(name) == str(username):
        return name
    user = find_user(username, using)
    return name if user is None else user.get_username()


def find_users_by_key(keys: Iterable[Any], using: str | None = None) -> dict[Any, Any]:
    """Return the users with these primary keys, in one query, by the given keys."""
    given: dict[Any, Any] = {}
    for key in keys:
        stored = find_user_key(key)
        if stored is not None:
            given[key] = stored
    if not given:
        return {}
    found = _users(using).in_bulk({*given.values()})
    return {key: found[stored] for key, stored in given.items() if stored in found}


def email_of(user: Any) -> str:
    """Return a user's e-mail address in its stored form, or ``""``."""
    field = getattr(get_user_model(), "get_email_field_name", lambda: "email")()
    return normalize_email(str(getattr(user, field, None) or ""))


def email_field() -> str | None:
    """Return the name of the user model's e-mail field, or ``None``."""
    model = get_user_model()
    name = getattr(model, "get_email_field_name", lambda: "email")()
    known = {field.name for field in model._meta.get_fields()}
    return name if name in known else None


def find_users_by_email(
    emails: Iterable[Any], using: str | None = None
) -> dict[str, list[Any]]:
    """
    Return the users with these addresses, in one query.

    An index on ``Lower(<e-mail field>)`` makes it fast.

    Returns:
        All users of each address, by its stored form: active users first, then by key.
    """
    field = email_field()
    spelled = {
        text
        for email in emails
        if is_storable(email, _LONGEST_EMAIL) and email.strip()
        for text in spellings_of_email(email)
    }
    found: dict[str, list[Any]] = {}
    if field is None or not spelled:
        return found
    is_meant = Q(enrollments_email__in=[*map(_lower, spelled)])
    exotic = [text for text in spelled if not text.isascii()]
    if exotic:
        # A column with a collation of its own has its own lower case, too.
        is_meant |= Q(**{f"{field}__in": exotic})
    users = _users(using).annotate(enrollments_email=Lower(field)).order_by("pk")
    wanted = {fold_email(text) for text in spelled}
    for user in users.filter(is_meant):
        # Databases differ in which texts are the same.
        if fold_email(getattr(user, field)) in wanted:
            email = normalize_email(getattr(user, field))
            found.setdefault(email, []).append(user)
    return {email: sorted(users, key=is_inactive) for email, users in found.items()}


def _lower(text: str) -> str | Lower:
    """Return a text in lower case. For other than ASCII letters, databases differ."""
    is_folded = text.isascii() and text == fold_email(text)
    return text if is_folded else Lower(Value(text))


def is_inactive(user: Any) -> bool:
    """Return whether a user's account is not active."""
    return not getattr(user, "is_active", True)


def choose_user(email: object, found: Mapping[str, Sequence[Any]]) -> Any:
    """
    Return the user of an address: the only active one, or the only one.

    Args:
        found: The result of :func:`find_users_by_email`.

    Raises:
        UserNotFoundError: No user has it. The code is ``invalid_email`` if the address
            is not valid.
        CourseEnrollmentError: Several users have it. The code is ``ambiguous_email``.
    """
    users = found.get(normalize_email(email), []) if isinstance(email, str) else []
    active = [user for user in users if not is_inactive(user)]
    error: CourseEnrollmentError
    if len(active or users) == 1:
        return (active or users)[0]
    if users:
        text = f"Several users have the e-mail address '{email}'."
        error = CourseEnrollmentError(text)
        error.code = "ambiguous_email"
    elif clean_address(email) is None:
        error = UserNotFoundError(f"'{email}' is not a valid e-mail address.")
        error.code = "invalid_email"
    else:
        error = UserNotFoundError(f"No user has the e-mail address '{email}'.")
    raise error
