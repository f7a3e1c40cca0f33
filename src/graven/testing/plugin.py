"""What graven adds to pytest: fixtures for users, and a setting and a mark for the contract suite.

pytest finds it by itself. It imports nothing else of graven before a fixture is asked for.
"""

from __future__ import annotations

from graven._hints import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

__all__: list[str] = []


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what one backend cannot do of a test that others can do: parameters with a mark."""
    kept: list[pytest.Item] = []
    left: list[pytest.Item] = []
    for item in items:
        parameters = getattr(getattr(item, "callspec", None), "params", {})
        able = getattr(parameters.get("backend"), "capabilities", None)
        needed = {one for mark in item.iter_markers("needs") for one in mark.args}
        (kept if able is None or needed <= able else left).append(item)
    if left:
        config.hook.pytest_deselected(items=left)
        items[:] = kept


def pytest_addoption(parser: pytest.Parser) -> None:
    """Make the setting that names the backends of the contract suite."""
    parser.addini(
        "graven_backends",
        "backends that graven.testing.contract.suite is run over, each as module:Class",
        type="linelist",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Make the mark of the contract suite known, and the fixtures.

    The plug-in of Django has had a fixture ``db`` for longer; where it is there, it keeps it.
    """
    config.addinivalue_line(
        "markers",
        "needs(*capabilities): what a backend must have for the test to be run over it",
    )
    if not config.pluginmanager.hasplugin("django"):
        from graven.testing import fixtures

        config.pluginmanager.register(fixtures, "graven-fixtures")
