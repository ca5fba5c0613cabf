"""What a visitor has requested last; earlier requests need not be finished."""

from dataclasses import dataclass

from app.dashboard.view import View


@dataclass
class LatestRequest:
    """The latest request of one visitor.

    Attributes:
        stamp_and_view: the database's stamp and the view; None if that could not be drawn.
        drawn: the same view, with values that are not offered replaced.
        number: counts the requests.
        address: number of the last address of the page that was followed.
        following: the view of that address until its drawing starts; another event that comes in
            between must not fall back on the controls, which still have their old values.
    """

    stamp_and_view: tuple[str, View] | None = None
    drawn: View | None = None
    number: int = 0
    address: int = 0
    following: View | None = None

    @property
    def view(self) -> View | None:
        """The view of the latest request."""
        if self.stamp_and_view is None:
            return self.following
        return self.drawn or self.stamp_and_view[1]

    def follow(self, address: int, view: View) -> None:
        """Note the view of an address, which is then drawn whatever was drawn before."""
        self.following, self.stamp_and_view, self.drawn = view, None, None
        self.address = address

    def start(self, stamp: str, view: View) -> int:
        """Note a new request; returns its number."""
        self.stamp_and_view, self.drawn, self.following = (stamp, view), None, None
        self.number += 1
        return self.number

    def covers(self, stamp: str, view: View) -> bool:
        """Whether the same has been requested already."""
        if self.stamp_and_view is None or self.stamp_and_view[0] != stamp:
            return False
        known = [self.stamp_and_view[1]] + ([] if self.drawn is None else [self.drawn])
        return view.essence in [one.essence for one in known]
