"""A visitor's session: every step, and its undoing."""

import pytest
from hypothesis import given, strategies as st

from app.shell.session import MAX_ELEMENTS, MAX_UNDO, Element, SessionFull, Snapshot, VisitorSession
from tpad.items import NewItem


def session_of(*ids: str) -> VisitorSession:
    session = VisitorSession()
    for item in ids:
        session = session.add(Element(item, item.upper()))
    return session


def ids(session: VisitorSession) -> list[str]:
    return [element.item_id for element in session.elements]


def test_adding_keeps_the_order_and_leaves_the_old_object_alone():
    before = session_of("a")
    after = before.add(Element("b", "B"))
    assert ids(before) == ["a"]
    assert ids(after) == ["a", "b"]


@pytest.mark.parametrize(
    ("index", "by", "expected"),
    [
        (0, 1, ["b", "a", "c"]),
        (2, -1, ["a", "c", "b"]),
        (2, -9, ["c", "a", "b"]),
        (0, -1, ["a", "b", "c"]),
        (2, 1, ["a", "b", "c"]),
        (7, 1, ["a", "b", "c"]),
        (-1, 1, ["a", "b", "c"]),
    ],
)
def test_moving(index, by, expected):
    assert ids(session_of("a", "b", "c").move(index, by)) == expected


def test_removing_takes_one_out_and_an_unknown_place_changes_nothing():
    session = session_of("a", "b", "a")
    assert ids(session.remove(0)) == ["b", "a"]
    assert session.remove(3) is session
    assert session.remove(-1) is session


def test_undo_goes_back_step_by_step_to_the_beginning():
    session = session_of("a", "b").move(0, 1).remove(0).clear()
    seen = []
    while session.past:
        session = session.undo()
        seen.append(ids(session))
    assert seen == [["a"], ["b", "a"], ["a", "b"], ["a"], []]
    assert session.undo() is session


def test_steps_that_change_nothing_cost_no_undo():
    session = session_of("a")
    assert session.move(0, -1) is session
    assert VisitorSession().clear() == VisitorSession()


def test_the_true_next_item_goes_when_the_session_changes_and_comes_back_by_undo():
    table = Snapshot((Element("a", "A"), Element("b", "B")), "a shopper", target="c")
    session = VisitorSession().open(table).reveal()
    assert session.now.revealed
    changed = session.remove(0)
    assert changed.now.target == ""
    assert not changed.now.revealed
    assert changed.undo().now.target == "c"


def test_nothing_to_reveal_without_a_true_next_item():
    session = session_of("a")
    assert session.reveal() is session


def test_a_full_session_says_so():
    session = session_of(*"x" * MAX_ELEMENTS)
    with pytest.raises(SessionFull, match="at most"):
        session.add(Element("y", "Y"))


def test_history_is_bounded():
    session = VisitorSession()
    for _ in range(MAX_UNDO):
        session = session.add(Element("a", "A")).clear()
    assert len(session.past) == MAX_UNDO


def test_an_element_without_id_is_given_as_its_content():
    content = NewItem(title="a new thing")
    session = session_of("a").add(Element("", "a new thing", content=content, key="upload:1"))
    assert session.values == ["a", content]
    assert session.elements[1].is_new


def test_sessions_with_pictures_can_be_hashed_as_gradio_does():
    from PIL import Image

    content = NewItem(image=Image.new("RGB", (8, 8)))
    first = VisitorSession().add(Element("", "x", content=content, key="upload:1"))
    second = VisitorSession().add(Element("", "x", content=content, key="upload:2"))
    assert hash(first) != hash(second)


@given(
    st.lists(
        st.tuples(st.sampled_from(["add", "remove", "left", "right", "clear"]), st.integers(-2, 6)),
        max_size=15,
    )
)
def test_undoing_every_step_ends_where_it_began(steps):
    session = VisitorSession()
    for number, (act, index) in enumerate(steps):
        if act == "add":
            session = session.add(Element(str(number), "t"))
        elif act == "remove":
            session = session.remove(index)
        elif act == "clear":
            session = session.clear()
        else:
            session = session.move(index, 1 if act == "right" else -1)
    while session.past:
        session = session.undo()
    assert session == VisitorSession()
