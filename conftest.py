"""The order of tests: fast ones on tiny models first, then those on the embedded model, then the browser's."""

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort by kind; within a kind the order stays."""
    items.sort(key=kind)


def kind(item: pytest.Item) -> int:
    """0 a unit test, 1 a test that uses the `embedded` fixture, 2 a test in tests/browser/."""
    if "browser" in item.path.relative_to(item.config.rootpath).parts:
        return 2
    return int("embedded" in getattr(item, "fixturenames", ()))
