"""The report of a collection: its clusters in pictures and counts, from what any client may ask.

`survey.py` asks the service, `figures.py` and `pictures.py` draw, `page.py` tells it in one HTML page.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from farnear.command import RefusedError

if TYPE_CHECKING:
    from farnear.client import Client


def report(client: "Client", collection: str, folder: Path) -> Path:
    """Writes the report of a collection; progress goes to stderr.

    Args:
        client: Of the service that has it.
        collection: Its name.
        folder: Where `index.html` and the pictures go; made where it is missing.

    Returns:
        The path of the page.

    Raises:
        RefusedError: If the folder may not be written or holds a page that is no report, or if nothing is on the map.
        FailedPreconditionError: While no map is fitted yet.
        ModuleNotFoundError: Without the extra `report`.
    """
    from farnear.report import folder as place
    from farnear.report.page import NAME, render
    from farnear.report.survey import survey

    place.check(folder, NAME)
    found = survey(client, collection)
    if not found.item_count:
        raise RefusedError(f"{collection}: no item is on its map")
    return place.write(folder, render(found))
