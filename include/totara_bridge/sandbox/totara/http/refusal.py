"""The refusals of the web services, in the words that were recorded; why is only said on a site that is debugged."""


class Refusal(Exception):
    """A call that is not answered."""

    def __init__(self, kind: str, code: str, message: str, reason: str) -> None:
        """:param reason: ``debuginfo``."""
        super().__init__(message)
        self.kind = kind
        self.code = code
        self.message = message
        self.reason = reason


def invalid_token(reason: str) -> Refusal:
    """There is no such token."""
    return Refusal("moodle_exception", "invalidtoken", "Invalid token - token not found", reason)


def no_access(reason: str) -> Refusal:
    """The token, its user or its service may not do this: all are told the same."""
    return Refusal("webservice_access_exception", "accessexception", "Access control exception", reason)


def no_record(reason: str) -> Refusal:
    """The function, course, user or audience does not exist."""
    message = "Can not find data record in database."
    return Refusal("dml_missing_record_exception", "invalidrecordunknown", message, reason)


def bad_parameter(reason: str) -> Refusal:
    """A parameter is missing, too many or of another type."""
    message = "Invalid parameter value detected"
    return Refusal("invalid_parameter_exception", "invalidparameter", message, reason)


def no_permission(capability: str, words: str) -> Refusal:
    """The token's user lacks a capability."""
    message = f"Sorry, but you do not currently have permissions to do that ({words})"
    return Refusal("required_capability_exception", "nopermissions", message, capability)


def not_possible(code: str, message: str, reason: str = "") -> Refusal:
    """Anything else that Totara does not do."""
    return Refusal("moodle_exception", code, message, reason)
