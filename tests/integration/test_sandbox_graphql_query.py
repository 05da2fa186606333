"""The sandbox's parser of GraphQL: what a client sends is understood, and what is wrong is told with its place."""

import pytest

from totara_bridge.sandbox.totara.http.graphql_query import GraphqlSyntaxError, Location, Variable, parse


def _syntax_error(document: str) -> tuple[str, Location]:
    with pytest.raises(GraphqlSyntaxError) as caught:
        parse(document)
    return str(caught.value), caught.value.location


@pytest.mark.parametrize(
    ("document", "words", "location"),
    [
        ("", "Syntax Error: Unexpected <EOF>", Location(1, 1)),
        ("{ a ", "Syntax Error: Expected Name, found <EOF>", Location(1, 5)),
        ("{ a\n  %", 'Syntax Error: Cannot parse the unexpected character "%".', Location(2, 3)),
        ('{ a(b: "c', "Syntax Error: Unterminated string.", Location(1, 8)),
        ("{ a(b 1) }", 'Syntax Error: Expected :, found Int "1"', Location(1, 7)),
        ("query(q: Int) { a }", 'Syntax Error: Expected $, found Name "q"', Location(1, 7)),
        ("{ a } { b }", "Syntax Error: Unexpected {", Location(1, 7)),
        ("{ ...f }", "Syntax Error: Expected Name, found ...", Location(1, 3)),
        ("{ }", "Syntax Error: Expected Name, found }", Location(1, 3)),
        ("{ a() }", "Syntax Error: Expected Name, found )", Location(1, 5)),
    ],
)
def test_a_document_that_cannot_be_read_says_where(document: str, words: str, location: Location) -> None:
    assert _syntax_error(document) == (words, location)


def test_everything_that_a_client_sends_is_understood() -> None:
    document = """query Named($a: [Int!]! = [1, 2], $b: T) { # a comment
      x: one(a: $a, b: {c: "d\\"\\u00e9", e: [1.5e3, -2, true, null, WORD]}) { two, three }
    }"""
    operation = parse(document)
    assert [(each.name, each.type, each.default) for each in operation.variables] == [
        ("a", "[Int!]!", [1, 2]),
        ("b", "T", None),
    ]
    (field,) = operation.selections
    assert (field.key, field.name, field.location) == ("x", "one", Location(2, 7))
    assert field.arguments == {"a": Variable("a"), "b": {"c": 'd"é', "e": [1500.0, -2, True, None, "WORD"]}}
    assert [each.name for each in field.selections] == ["two", "three"]
