"""The order of tests: fast ones on tiny models first, then those on the embedded model, then the browser's. And what a
second try hides: tests that needed one are named, and more than a few of them fail the run."""

import pytest

MOST_SECOND_TRIES = 2


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort by kind; within a kind the order stays."""
    items.sort(key=kind)


def kind(item: pytest.Item) -> int:
    """0 a unit test, 1 a test that uses the `embedded` fixture, 2 a test in tests/browser/."""
    if "browser" in item.path.relative_to(item.config.rootpath).parts:
        return 2
    return int("embedded" in getattr(item, "fixturenames", ()))


def second_tries(config: pytest.Config) -> list[str]:
    """Tests that were run a second time (`--reruns 1`), by name."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    return sorted({report.nodeid for report in reporter.stats.get("rerun", [])}) if reporter else []


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Fail where more than `MOST_SECOND_TRIES` tests needed a second try: that is no busy machine, that is a race."""
    if exitstatus == 0 and len(second_tries(session.config)) > MOST_SECOND_TRIES:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name them."""
    again = second_tries(terminalreporter.config)
    if again:
        verdict = f": more than {MOST_SECOND_TRIES}, which fails the run" if len(again) > MOST_SECOND_TRIES else ""
        terminalreporter.section(f"{len(again)} needed a second try{verdict}")
        terminalreporter.write_line("\n".join(again))
