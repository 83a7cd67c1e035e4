"""Finding users of any model, by name, key or e-mail address."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any, TypeVar

from django.contrib.auth import get_user_model
from django.db.models import Q, Value
from django.db.models.functions import Lower

from django_enrollments.context import read_alias
from django_enrollments.errors import CourseEnrollmentError, UserNotFoundError
from django_enrollments.identifiers import find_user_key, find_username
from django_enrollments.text import (
    clean_address,
    fold_email,
    is_storable,
    normalize_email,
    spellings_of_email,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from django.db.models import QuerySet


T = TypeVar("T")

#: No user model has longer addresses; no statement needs to carry them.
_LONGEST_EMAIL = 1_000


def _users(using: str | None = None) -> QuerySet[Any]:
    users = get_user_model()._default_manager.all()
    return users.using(using or read_alias())


def find_user(username: object, using: str | None = None) -> Any | None:
    """
    Return the user with exactly this name, or else with its normal form, or ``None``.

    Case counts on every database, so that a look-alike never acts on another's
    account (B-26).

    Args:
        username: What ``user.get_username()`` returns, in any normal form.
        using: Database alias; ``None`` lets the router choose.
    """
    return next(iter(find_users_by_name([username], using).values()), None)


def get_user(username: object, using: str | None = None) -> Any:
    """
    Return the user with exactly this name.

    Args:
        username: What ``user.get_username()`` gives.
        using: Database alias; ``None`` lets the router choose.

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

    Args:
        user: An instance of the user model, taken as it is, or a primary key.
        using: Database alias; ``None`` lets the router choose.

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
    """
    Return whether ``user`` is an instance of the user model that is stored.

    Args:
        user: Anything.
    """
    is_instance = isinstance(user, get_user_model())
    return is_instance and user.pk is not None and not user._state.adding


def find_users_by_name(
    usernames: Iterable[object], using: str | None = None
) -> dict[Any, Any]:
    """
    Return the users with these names, in one query, as :func:`find_user` does.

    Args:
        usernames: Names; what cannot be one is passed over.
        using: Database alias; ``None`` lets the router choose.
    """
    wanted = _find_usernames(usernames)
    if not wanted:
        return {}
    by_name = {str(user.get_username()): user for user in _named(wanted, using)}
    return _found(wanted, by_name)


def find_user_keys(usernames: Iterable[object]) -> set[Any]:
    """
    Return the primary keys of the users with these names, in one query.

    Args:
        usernames: Names; what cannot be one is passed over.
    """
    wanted = _find_usernames(usernames)
    if not wanted:
        return set()
    field = get_user_model().USERNAME_FIELD
    users = _named(wanted, None).values_list("pk", field)
    by_name = {str(name): key for key, name in users}
    return {*_found(wanted, by_name).values()}


def _named(wanted: Mapping[Any, list[Any]], using: str | None) -> QuerySet[Any]:
    path = f"{get_user_model().USERNAME_FIELD}__in"
    return _users(using).filter(**{path: {*chain(*wanted.values())}}).order_by()


def _find_usernames(usernames: Iterable[object]) -> dict[Any, list[Any]]:
    """
    Return the names of users that texts stand for: first as they are, then normalised.

    A host may have let an account in whose name is not normalised. It is found by its
    very name, so that it never acts on the account that has the normalised one.
    """
    wanted = {}
    for name in usernames:
        stored = find_username(name)
        if stored is not None:
            is_normalised = str(stored) == str(name)
            wanted[name] = [stored] if is_normalised else [name, stored]
    return wanted


def _found(wanted: Mapping[Any, list[Any]], by_name: Mapping[str, T]) -> dict[Any, T]:
    """Return what was found by the first name of each; collations find look-alikes."""
    found = {}
    for given, names in wanted.items():
        for name in names:
            if str(name) in by_name:
                found[given] = by_name[str(name)]
                break
    return found


def find_stored_name(username: object, using: str | None = None) -> Any | None:
    """
    Return the name of the user that a name stands for, as the user model holds it.

    It takes a query where the given name is not normalised, and none otherwise.

    Args:
        username: What ``user.get_username()`` returns, in any normal form.
        using: Database alias; ``None`` lets the router choose.

    Returns:
        The name, whether or not a user has it; ``None`` when it cannot be one.
    """
    name = find_username(username)
    if name is None or str(name) == str(username):
        return name
    user = find_user(username, using)
    return name if user is None else user.get_username()


def find_users_by_key(keys: Iterable[Any], using: str | None = None) -> dict[Any, Any]:
    """
    Return the users with these primary keys, in one query.

    Args:
        keys: Primary keys, or their text; what cannot be one is passed over.
        using: Database alias; ``None`` lets the router choose.

    Returns:
        Users by the very keys that were given.
    """
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
    """Return the stored form of a user's e-mail address, ``""`` for none."""
    field = getattr(get_user_model(), "get_email_field_name", lambda: "email")()
    return normalize_email(str(getattr(user, field, None) or ""))


def email_field() -> str | None:
    """Return the name of the user model's e-mail field, ``None`` when it has none."""
    model = get_user_model()
    name = getattr(model, "get_email_field_name", lambda: "email")()
    known = {field.name for field in model._meta.get_fields()}
    return name if name in known else None


def find_users_by_email(
    emails: Iterable[Any], using: str | None = None
) -> dict[str, list[Any]]:
    """
    Return the users with these addresses, in one query.

    A host with many users makes it quick with an index on ``Lower(<e-mail field>)``.

    Args:
        emails: Addresses in any spelling; what cannot be one is passed over.
        using: Database alias; ``None`` lets the router choose.

    Returns:
        All users of an address, active ones first, then oldest key first, by the
        address in stored form.
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
    """Return a text in lower case; beyond ASCII, that differs by database."""
    is_folded = text.isascii() and text == fold_email(text)
    return text if is_folded else Lower(Value(text))


def is_inactive(user: Any) -> bool:
    """
    Return whether a user's account is not active.

    Args:
        user: An instance of any user model.
    """
    return not getattr(user, "is_active", True)


def choose_user(email: object, found: Mapping[str, Sequence[Any]]) -> Any:
    """
    Return the user whom an address stands for: the only active one, or the only one.

    Args:
        email: An address in any spelling.
        found: What :func:`find_users_by_email` returned for it, or some of it.

    Raises:
        UserNotFoundError: No user has it; the code is ``invalid_email`` where it is
            no address.
        CourseEnrollmentError: Several users have it; the code is ``ambiguous_email``.
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
