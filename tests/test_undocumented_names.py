"""Names that Django's documentation does not describe are used only as decided."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import django_enrollments

PACKAGE = Path(django_enrollments.__file__).parent
RECORD = PACKAGE.parent / "docs/decisions/0013-undocumented-names.md"

#: Undocumented names that this app has used, or may be tempted to use.
KNOWN = {
    *("alias_map", "base_table", "promote", "datastructures", "Join"),
    *("get_compiler", "as_sql_and_params", "sql_with_params", "get_converters"),
    *("apply_converters", "execute_sql", "get_db_converters", "get_col", "cached_col"),
    *("Col", "select_format", "get_extra_restriction", "ForeignObject", "is_sliced"),
    *("_result_cache", "_hints", "_known_related_objects", "deferred_loading"),
    *(
        "ModelState",
        "fields_cache",
        "set_cached_value",
        "is_cached",
        "get_cached_value",
    ),
    *("target_field", "remote_field", "local_concrete_fields", "private_fields"),
    *("LOOKUP_SEP", "BaseManager", "MigrationLoader", "AutocompleteSelect", "locks"),
    *("quote_name", "features", "data_types", "max_query_params", "settings_dict"),
    *("in_atomic_block", "needs_rollback", "run_on_commit", "savepoint_ids"),
    *("is_in_memory_db", "mysql_is_mariadb", "is_usable"),
    *("Database", "connection.connection", "closed_in_transaction", "has_listeners"),
    "ensure_connection",
    "_dir",
}


def names_in(module: ast.Module) -> set[str]:
    """Return every attribute, import and text of a module that may be a name."""
    found = set()
    for node in ast.walk(module):
        if isinstance(node, ast.Attribute):
            found.add(node.attr)
            if isinstance(node.value, ast.Name):
                found.add(f"{node.value.id}.{node.attr}")
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("dj"):
            found |= {*(node.module or "").split(".")}
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            # As getattr() takes it.
            found.add(node.value)
    return found


def test_undocumented_names_are_those_of_the_decision_record() -> None:
    used = set()
    for path in PACKAGE.rglob("*.py"):
        if "migrations" not in path.parts:
            used |= names_in(ast.parse(path.read_text())) & KNOWN

    decided = re.findall(r"^\| `([\w.]+)` \|", RECORD.read_text(), re.MULTILINE)

    assert sorted(used) == sorted(decided)
