"""The HTTP server; routes plug in, one file each.

Importing it needs the extra ``serve``:

Raises:
    MissingExtra: if one of its libraries is not installed.
"""

from luban.core.errors import MissingExtra

try:
    import fastapi as _fastapi  # noqa: F401
    import jsonschema_rs as _jsonschema  # noqa: F401
    import prometheus_client as _prometheus  # noqa: F401
    import uvicorn as _uvicorn  # noqa: F401
except ImportError as error:
    raise MissingExtra(error.name or "fastapi", "serve") from None
