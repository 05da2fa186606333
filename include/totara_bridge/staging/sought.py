"""Words as a person looks for them: to the letter; or with ``*`` at the end, how what is looked for begins."""

_ANY_REST = "*"

# above every character that is one
_LAST = "chr(1114111)"


def value(word: str) -> str:
    """What the conditions expect as their parameter."""
    return word.removesuffix(_ANY_REST)


def fits(expression: str, sought: str, word: str, *, in_order: bool = False) -> str:
    """SQL: the expression is the word, or begins with it; an index of the expression serves either.

    :param sought: SQL of what is looked for, over the parameter that has `value`.
    :param in_order: the index is in the order of the collation "C"; else it is one of ``text_pattern_ops``.
    """
    if not word.endswith(_ANY_REST):
        return f"{expression} = {sought}"
    at_least, below = (">=", "<") if in_order else ("~>=~", "~<~")
    return f"({expression} {at_least} {sought} AND {expression} {below} ({sought} || {_LAST}))"
