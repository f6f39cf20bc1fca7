from pathlib import Path

import farnear_service

# Numba sees a change of a function only in the file of the function that Python calls. So that no test runs code that
# was compiled before an edit, what is older than any of the sources is removed.
_FOLDER = Path(farnear_service.__file__).parent / "dbscan"
_NEWEST = max(source.stat().st_mtime for source in _FOLDER.glob("*.py"))
for _compiled in _FOLDER.glob("__pycache__/*.nbi"):
    if _compiled.stat().st_mtime < _NEWEST:
        _compiled.unlink()
