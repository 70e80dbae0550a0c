"""axe in a real browser: what in a page keeps somebody from using it."""

from books import ROOT
from e2e.browser import Browser
from node_packages import installed


def armed(browser: Browser) -> Browser:
    """Have axe in every page that a browser shows from now on."""
    source = installed(ROOT / "tests" / "pages", "page-checks") / "axe-core" / "axe.min.js"
    browser.ask("Page.addScriptToEvaluateOnNewDocument", source=source.read_text("utf-8"))
    return browser


def faults(browser: Browser) -> list[str]:
    """Have axe look at a page: WCAG 2.2 AA and its best practices."""
    told = "({id, help, nodes}) => `${id}: ${help}: ${nodes.map((node) => node.html)}`"
    said = browser.ask(
        "Runtime.evaluate",
        expression=f"axe.run().then(({{violations}}) => violations.map({told}))",
        awaitPromise=True,
        returnByValue=True,
    )
    return list(said["result"]["value"])
