"""The local path that a URL or a path means. Pure."""

from pathlib import Path
from urllib.parse import unquote, urlsplit


def local_path(location: str) -> Path:
    """Return the path of a `file://` URL, or of a plain path, as it stands.

    ValueError, saying which rule was broken, for anything that is not a file of this machine.
    """
    if not location or "\0" in location:
        raise ValueError(f"{location!r} is not a path")
    if "://" not in location:
        return Path(location)
    url = urlsplit(location)
    if url.scheme != "file":
        raise ValueError(f"only local files are supported, got a URL of scheme {url.scheme!r}")
    if url.netloc not in {"", "localhost"}:
        raise ValueError(f"a file URL names no host, got {url.netloc!r}; write file:///path")
    return Path(unquote(url.path))
