"""Which format a caller wants: the header Accept, as RFC 9110 reads it."""

from collections.abc import Sequence

from totara_bridge.staging.pull_form import Form
from totara_bridge.web.problem import Problem


def choose(accept: str, forms: Sequence[Form] = tuple(Form)) -> Form:
    """The format that the caller likes best; of equals the one that comes first here.

    :param accept: empty: anything.
    :raises Problem: it takes none of them.
    """
    liked = {form: _quality(form, accept) for form in forms} if accept.strip() else {forms[0]: 1.0}
    best = max(liked, key=lambda form: liked[form])
    if liked[best] > 0:
        return best
    raise Problem(406, "not-acceptable", f"This address answers with {_listed(forms)}: ask for that in Accept.")


def _quality(form: Form, accept: str) -> float:
    """How much the caller likes it: what the range says that names it most closely."""
    kind = form.partition("/")[0]
    said: dict[str, float] = {}
    for each in accept.lower().split(","):
        name, *parameters = (word.strip() for word in each.split(";"))
        said[name] = _weight(parameters)
    return next((said[name] for name in (form, f"{kind}/*", "*/*") if name in said), 0)


def _weight(parameters: Sequence[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                weight = float(value)
            except ValueError:
                return 0
            return weight if 0 <= weight <= 1 else 0
    return 1


def _listed(forms: Sequence[Form]) -> str:
    return " or ".join(filter(None, (", ".join(forms[:-1]), forms[-1])))
