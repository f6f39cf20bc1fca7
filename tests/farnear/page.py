"""An HTML page as a test reads it."""

from html.parser import HTMLParser

VOID = {"meta", "img", "br", "source"}


class Page(HTMLParser):
    """Reads a page, and fails where its elements are not nested as they should be."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.images: list[dict[str, str]] = []
        self.references: list[str] = []
        self.text = ""
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        facts = {name: value or "" for name, value in attrs}
        self.tags.append(tag)
        self.references += [facts[name] for name in ("src", "href") if name in facts]
        if tag == "img":
            self.images.append(facts)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += f"{data} "

    @property
    def words(self) -> str:
        return " ".join(self.text.split())
