"""A line on stderr that tells how long a wait of unknown length has taken."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread


@contextmanager
def elapsed(text: str) -> Iterator[None]:
    """Shows the text and the time since, while the body runs; silent where stderr is not a terminal."""
    from tqdm import tqdm

    done = Event()
    with tqdm(desc=text, bar_format="{desc}: {elapsed}", disable=None) as bar:

        def tick() -> None:
            while not done.wait(0.5):
                bar.refresh()

        # The wait itself stays on the main thread, where Ctrl-C reaches it.
        ticker = Thread(target=tick, daemon=True)
        ticker.start()
        try:
            yield
        finally:
            done.set()
            ticker.join()
