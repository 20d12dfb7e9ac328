import re
from html.parser import HTMLParser

from beast_ml.operations.periodic_report.document import (
    Bullets,
    Commands,
    Document,
    Grid,
    Paragraph,
    Picture,
    Section,
)
from beast_ml.operations.periodic_report.html import to_html
from beast_ml.operations.periodic_report.markdown import to_markdown

EVIL = "<script>alert('x')</script> | `a` *b* [c](http://d)"
DOCUMENT = Document(
    f"Title {EVIL}",
    "Sub",
    (
        Section("One", (Paragraph(EVIL, strong=True), Bullets((EVIL, "b"), numbered=True))),
        Section("Two", (Grid(EVIL, ("a", "b"), ((EVIL, "1"),), frozenset({1})), Picture(b"png", EVIL))),
        Section("Three", (Commands((("beast report week", "why & when"),)), Bullets(()))),
    ),
)


class Tags(HTMLParser):
    """Collects tags, and checks that each is closed in turn."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag, attrs) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag) -> None:
        assert self.open.pop() == tag


def tags() -> list[tuple[str, dict[str, str | None]]]:
    parser = Tags()
    parser.feed(to_html(DOCUMENT))
    assert parser.open == []
    return parser.seen


def test_names_from_a_log_are_text_and_never_markup() -> None:
    assert "script" not in [tag for tag, _ in tags()]
    assert EVIL.replace("|", "") not in to_markdown(DOCUMENT)
    assert "<script" not in to_markdown(DOCUMENT).replace("\\<script", "")


def test_what_prose_says_in_backticks_is_code_and_what_names_hold_is_not() -> None:
    prose, name = "raise its `timeout_s` * 2", "a `b` c"
    document = Document("T", "S", (Section("One", (Paragraph(prose), Grid(name, ("a",), ((name,),)))),))
    assert 'raise its <code class="word">timeout_s</code> * 2' in to_html(document)
    assert "raise its `timeout_s` \\* 2" in to_markdown(document)
    assert '<th scope="row">a `b` c</th>' in to_html(document)
    assert "| a \\`b\\` c |" in to_markdown(document)


def test_the_page_fetches_nothing() -> None:
    page = to_html(DOCUMENT)
    for tag, attributes in tags():
        assert tag not in ("link", "iframe", "object")
        for name in ("src", "href"):
            assert (attributes.get(name) or "#").startswith(("#", "data:"))
    assert not re.search(r"url\(|@import", page)


def test_the_page_can_be_heard_and_walked_through_by_keys() -> None:
    seen = tags()
    assert dict(seen)["html"]["lang"] == "en"
    assert all(attributes["alt"] for tag, attributes in seen if tag == "img")
    assert all(attributes.get("scope") for tag, attributes in seen if tag == "th")
    assert [tag for tag, _ in seen].count("h1") == 1
    targets = {attributes["id"] for _, attributes in seen if "id" in attributes}
    assert {attributes["href"][1:] for tag, attributes in seen if tag == "a"} <= targets


def test_pictures_lie_on_a_card_that_is_dimmed_in_the_dark() -> None:
    page = to_html(DOCUMENT)
    assert "border-radius: .8rem" in page
    assert "@media (prefers-color-scheme: dark) { img { filter: brightness(.86); } }" in page


def test_markdown_tables_keep_their_cells() -> None:
    row = next(line for line in to_markdown(DOCUMENT).splitlines() if line.startswith("| ") and "script" in line)
    assert len(re.findall(r"(?<!\\)\|", row)) == 3
