"""What one request may ask for."""

from dataclasses import dataclass

from farnear_service.errors import InvalidError


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one request may ask for."""

    max_k: int = 1000
    max_queries: int = 1000
    max_hits: int = 100_000
    max_upserts: int = 1000
    max_deletes: int = 10_000
    max_explained: int = 100
    max_examples: int = 1000
    max_seen: int = 10_000
    max_interactions: int = 10_000

    def check_k(self, k: int) -> None:
        """Raises InvalidError for more hits a list than allowed, or none."""
        if not 1 <= k <= self.max_k:
            raise InvalidError(f"k: is {k}; allowed are 1 to {self.max_k}")

    def check_explained(self, count: int) -> None:
        """Raises InvalidError for heat maps of more hits than allowed."""
        if count > self.max_explained:
            raise InvalidError(
                f"explain: asks for heat maps of up to {count} hits; allowed are {self.max_explained} in all"
            )


def check_count(field: str, count: int, limit: int) -> None:
    """Raises InvalidError for a list of more entries than allowed, or none."""
    if not 1 <= count <= limit:
        raise InvalidError(f"{field}: has {count} entries; allowed are 1 to {limit}")
