"""What the Hugging Face hub answers when it refuses something."""

import httpx
from huggingface_hub import errors


def refused(status: int) -> Exception:
    """The error that huggingface_hub raises over an HTTP status."""
    answer = httpx.Response(status, request=httpx.Request("POST", "https://hub.test/api"))
    return errors.HfHubHTTPError(f"{status} from the hub\nlong story", response=answer)
