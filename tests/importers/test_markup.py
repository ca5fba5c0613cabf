"""HTML, scripts and style sheets in what was taken from web pages."""

import pytest

from tpad.importers.markup import is_code, plain_texts, to_plain


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("<b>Red</b> phone &amp; case", "Red phone & case"),
        ("a<br>b<br/>c<p>d</p>", "a b c d"),
        ("H<sub>2</sub>O", "H2O"),
        ("&quot;x&quot; it&#39;s &amp;amp; &lt;br&gt;", '"x" it\'s &'),
        ("</span></span></span>", ""),
        ("<span class='a", ""),
        ("<script>if (a < b) {}</script>ok<style>.a{}</style>", "ok"),
        ("<!-- no --> yes", "yes"),
        ('<img src="x.png" class="nav" alt="Digital Music"/>', "Digital Music"),
        ("<img alt=Music> more", "more"),
        ("<a-widget id=1>x</a-widget>", "x"),
    ],
)
def test_markup_is_removed(text, plain):
    assert to_plain(text) == plain


@pytest.mark.parametrize(
    "text",
    [
        "a < b and c<d",
        "x<y and y>z",
        "I <3 you",
        "R&D at AT&T",
        "<限定> box",
        "Mix <Remix>  2",
        "a <b",
    ],
)
def test_other_text_does_not_change(text):
    assert to_plain(text) == text


@pytest.mark.parametrize(
    "text", ["<" * 200_000, "<a" * 100_000, "<!--" * 50_000, "<script>" * 25_000, "<a b='" * 30_000]
)
def test_hostile_markup_is_read_once(text):
    assert len(to_plain(text)) <= len(text)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("var aPageStart = (new Date()).getTime();", True),
        (".a-box-inner{background-color:#fff}#buy .selected{color:red}", True),
        ("P.when('A').execute(function(A) { })", True),
        ("@media (x) { .a { color: red } }", True),
        ("C# = fun", False),
        ("The .NET {core} book", False),
        ("Set {of 3}", False),
        ("function (x) in analysis", False),
        ("=" + "function" + " " * 100_000, False),
    ],
)
def test_scripts_and_style_sheets(text, code):
    assert is_code(text) is code


def test_a_field_is_counted_once():
    told = []
    assert plain_texts(
        ["<b>a</b>", "<i>b</i>", "var x = 1"], "title", lambda *of: told.append(of)
    ) == [
        "a",
        "b",
        "",
    ]
    assert [reason for reason, _ in told] == [
        "title holds HTML",
        "title is a script or style sheet of the page",
    ]
    assert plain_texts(["var x = 1"], "description", pytest.fail) == ["var x = 1"]
