"""A real browser for the explorer's page: Debian's chromium, driven by playwright.

Without the package or the browser the tests are skipped, with a reason. Every page that a test
opens is watched: an error in its log, an exception, or a request for anything but its own file
fails the test.
"""

import shutil
import sys

import pytest

CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@pytest.fixture(scope="module")
def chromium():
    """A running browser, for one file: as long as it runs, its event loop is the thread's."""
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="needs the playwright package (extra 'browser')"
    )
    found = next((path for name in CHROMIUM if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip("needs chromium, such as Debian's package of that name")
    arguments = ["--no-sandbox"] if sys.platform == "linux" else []
    with playwright.sync_playwright() as p:
        browser = p.chromium.launch(executable_path=found, args=arguments)
        yield browser
        browser.close()


class Opened:
    """A page of the explorer in a window of its own, and what was seen of it."""

    def __init__(self, browser, path, address="", width=1280, height=800, **options):
        self.context = browser.new_context(
            viewport={"width": width, "height": height}, reduced_motion="reduce", **options
        )
        self.page = self.context.new_page()
        self.page.set_default_timeout(10_000)
        self.errors, self.requests = [], []
        self.page.on("console", self._read_log)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.file = path.resolve().as_uri()
        self.page.goto(self.file + address)
        self.page.wait_for_selector("html[data-step]", state="attached")

    def _read_log(self, message):
        if message.type in ("error", "warning"):
            self.errors.append(f"{message.type}: {message.text}")

    def press(self, *keys):
        for key in keys:
            self.page.keyboard.press(key)

    def go(self, address):
        """Change the address, as a link does, and wait until the page has answered."""
        self.page.evaluate(
            """async (address) => {
              const before = location.href;
              const changed = new Promise((done) =>
                addEventListener("hashchange", done, { once: true }));
              location.hash = address;
              if (location.href !== before) await changed;
            }""",
            address,
        )

    @property
    def state(self):
        """The state that the address holds."""
        text = self.page.evaluate("decodeURIComponent(location.hash.slice(1))")
        return dict(part.split("=", 1) for part in text.split("&") if "=" in part)

    @property
    def step(self):
        return int(self.page.evaluate("document.documentElement.dataset.step"))

    def wait_for_step(self, n):
        self.page.wait_for_function("n => document.documentElement.dataset.step === n", arg=str(n))

    def text(self, selector):
        return self.page.inner_text(selector)

    def close(self):
        self.context.close()


@pytest.fixture
def opened(chromium):
    """A function that opens a page; at the end, nothing was logged and nothing was fetched."""
    pages = []

    def open_page(*args, **options):
        pages.append(Opened(chromium, *args, **options))
        return pages[-1]

    yield open_page
    for page in pages:
        assert page.errors == []
        assert {url.partition("#")[0] for url in page.requests} == {page.file}
        page.close()


@pytest.fixture(scope="session")
def default_page(tmp_path_factory):
    """The page that ``tinygrad-llm explore`` writes."""
    from tinygrad_llm.commands.explore import run
    from tinygrad_llm.commands.explore_options import ExploreOptions

    path = tmp_path_factory.mktemp("explorer") / "explorer.html"
    assert run(ExploreOptions(out=str(path), open=False)) == 0
    return path
