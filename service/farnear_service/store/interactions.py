"""What users saw, liked and disliked.

A user is filed under the SHA-256 of the name, so that no page ever holds a name: SQLite leaves stray copies of rows
behind where it moves them from page to page, and nothing short of rewriting the whole file would find those.
"""

import json
from collections.abc import Sequence
from hashlib import sha256

from farnear_service.errors import NotFoundError
from farnear_service.store.database import Database
from farnear_service.types import Collection, Interaction, Opinion


class Interactions(Database):
    """What can be done with the histories of users."""

    def record_interactions(self, collection: Collection, user: str, interactions: Sequence[Interaction]) -> None:
        """Takes down what a user did, in one transaction; on disk when this returns.

        A user has one interaction with an item: the one of the latest time, and of equal times the one recorded last.
        Raises NotFoundError for an item that is not there; nothing of the call is kept then.
        """
        with self._transaction() as connection:
            missing = connection.execute(
                "SELECT value FROM json_each(?)"
                " WHERE NOT EXISTS (SELECT 1 FROM items WHERE collection = ? AND item_id = value)",
                (json.dumps([one.item_id for one in interactions], ensure_ascii=False), collection.key),
            ).fetchone()
            if missing is not None:
                raise NotFoundError(f"interactions: collection {collection.name!r} has no item {missing[0]!r}")
            connection.executemany(
                "INSERT INTO interactions (collection, user, item_id, opinion, time) VALUES (?, ?, ?, ?, ?)"
                " ON CONFLICT DO UPDATE SET opinion = excluded.opinion, time = excluded.time"
                " WHERE excluded.time >= time",
                [(collection.key, _filed(user), one.item_id, one.opinion.value, one.time) for one in interactions],
            )

    def interactions(
        self, collection: Collection, user: str, *, behind: tuple[float, str] | None = None, limit: int
    ) -> list[Interaction]:
        """Up to `limit` interactions of a user, newest first and at one time in order of id.

        `behind` is time and item id of the last one that was seen; None means from the start.
        """
        time, item_id = behind or (float("inf"), "")
        rows = self._connection().execute(
            "SELECT item_id, opinion, time FROM interactions WHERE collection = ? AND user = ?"
            " AND (time < ? OR time = ? AND item_id > ?) ORDER BY time DESC, item_id LIMIT ?",
            (collection.key, _filed(user), time, time, item_id, limit),
        )
        return [Interaction(item_id=item_id, opinion=Opinion(opinion), time=time) for item_id, opinion, time in rows]

    def delete_interactions(self, collection: Collection, user: str) -> int:
        """Forgets a user, on disk when this returns; returns how many interactions were kept.

        What they were is overwritten, and the log emptied of it unless a backup is being taken or the disk is full.
        """
        deleted = self._delete(lambda: self._delete_interactions(collection, user))
        self._empty_log()
        return deleted

    def _delete_interactions(self, collection: Collection, user: str) -> int:
        with self._transaction() as connection:
            connection.execute("PRAGMA secure_delete = ON")  # the pages that become free too
            try:
                return connection.execute(
                    "DELETE FROM interactions WHERE collection = ? AND user = ?", (collection.key, _filed(user))
                ).rowcount
            finally:
                connection.execute("PRAGMA secure_delete = FAST")


def _filed(user: str) -> bytes:
    return sha256(user.encode()).digest()
