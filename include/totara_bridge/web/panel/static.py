"""The page's own files, under an address that changes with them: browsers keep them, and never mix old with new."""

import hashlib
from pathlib import Path

from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

FOLDER = Path(__file__).parents[1] / "static"


def _version() -> str:
    digest = hashlib.sha256()
    for file in sorted(FOLDER.rglob("*")):
        if file.is_file():
            digest.update(file.relative_to(FOLDER).as_posix().encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()[:12]


#: Of all files together.
VERSION = _version()


class PageFiles(StaticFiles):
    """The files for a path with a parameter ``version``.

    A page that was open while the bridge was updated asks by the old version and gets the new file: its version of the
    JSON is understood by both.
    """

    def __init__(self) -> None:
        """Of `FOLDER`."""
        super().__init__(directory=FOLDER)

    async def get_response(self, path: str, scope: Scope) -> Response:
        """The file, to be kept for ever where it was asked for by its version."""
        response = await super().get_response(path, scope)
        lasting = scope["path_params"].get("version") == VERSION
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable" if lasting else "no-cache"
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response
