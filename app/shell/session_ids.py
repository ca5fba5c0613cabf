"""How the elements of a session are named in links and in the page's address."""

from urllib.parse import quote

from app.shell.own_items import OWN
from app.shell.session import Element, VisitorSession


def link_id(element: Element) -> str:
    """The id of an element in a link; "" for one of the visitor's own items."""
    if element.is_new and element.key.startswith(OWN):
        return ""
    return element.item_id or element.key


def link_ids(session: VisitorSession) -> str:
    """The quoted ids of the elements that a link can carry."""
    ids = [link_id(element) for element in session.elements]
    return ",".join(quote(item_id, safe=":") for item_id in ids if item_id)


def all_ids(session: VisitorSession) -> str:
    """The quoted ids of all elements; the visitor's own have keys that only this server knows."""
    return ",".join(quote(e.item_id or e.key, safe=":") for e in session.elements)
