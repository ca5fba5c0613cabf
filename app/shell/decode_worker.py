"""The process in which uploaded pictures are decoded; started by `app.shell.decoder`.

It reads requests from standard input, and answers on standard output. A message is a line of JSON
and, after it, the bytes of a file or the pixels of a picture.
"""

import json
import signal
import sys
from typing import IO, Any

from tpad.data.images import load_image
from tpad.errors import ImageError


def main() -> None:
    """Serve requests until standard input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the server, which then ends
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    write(answers, {})  # ready
    while message := read(requests):
        request, data = message
        try:
            image = load_image(request["path"] or data, shrink_to=request["shrink_to"])
        except ImageError as error:
            write(answers, {"error": str(error)})
        else:
            write(answers, {"width": image.width, "height": image.height}, image.tobytes())


def write(stream: IO[bytes], facts: dict[str, Any], data: bytes = b"") -> None:
    """Send a message.

    Raises:
        OSError: the other process has ended.
    """
    stream.write(json.dumps(facts | {"bytes": len(data)}).encode() + b"\n")
    stream.write(data)
    stream.flush()


def read(stream: IO[bytes]) -> tuple[dict[str, Any], bytes] | None:
    """Receive a message; None if the other process has ended."""
    line = stream.readline()
    if not line.endswith(b"\n"):
        return None
    facts = json.loads(line)
    data = stream.read(facts["bytes"])
    return (facts, data) if len(data) == facts["bytes"] else None


if __name__ == "__main__":
    main()
