"""How a report shows a completion to a person: words, months and numbers in the language of who looks.

The English ones are as recorded on a 17.3. Those of the other languages are made up: they stand for what a program
must not rely on.
"""

from datetime import datetime
from decimal import Decimal
from typing import Literal
from zoneinfo import ZoneInfo

from totara_bridge.sandbox.totara.change_log import Status

Language = Literal["en", "de", "fr"]

STATUS_WORDS: dict[Language, dict[int, str]] = {
    "en": {
        Status.NOT_STARTED: "Not yet started",
        Status.IN_PROGRESS: "In progress",
        Status.COMPLETE: "Complete",
        Status.COMPLETE_RPL: "Complete via rpl",
    },
    "de": {
        Status.NOT_STARTED: "Noch nicht begonnen",
        Status.IN_PROGRESS: "In Bearbeitung",
        Status.COMPLETE: "Abgeschlossen",
        Status.COMPLETE_RPL: "Abgeschlossen durch Anerkennung",
    },
    "fr": {
        Status.NOT_STARTED: "Pas encore commencé",
        Status.IN_PROGRESS: "En cours",
        Status.COMPLETE: "Terminé",
        Status.COMPLETE_RPL: "Terminé par reconnaissance",
    },
}
MONTHS: dict[Language, tuple[str, ...]] = {
    "en": ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"),
    "de": ("Jan.", "Feb.", "März", "Apr.", "Mai", "Juni", "Juli", "Aug.", "Sep.", "Okt.", "Nov.", "Dez."),
    "fr": ("janv.", "févr.", "mars", "avr.", "mai", "juin", "juil.", "août", "sept.", "oct.", "nov.", "déc."),
}
LABELS: dict[Language, dict[str, str]] = {
    "en": {
        "user_id": "User ID",
        "user_username": "Username",
        "user_idnumber": "User ID number",
        "user_emailunobscured": "User email",
        "course_id": "Course ID",
        "course_shortname": "Course short name",
        "course_idnumber": "Course ID number",
        "course_completion_status": "Completion status",
        "course_completion_enrolleddate": "Date enrolled",
        "course_completion_starteddate": "Date started",
        "course_completion_completeddate": "Completion date",
        "course_completion_rplnote": "RPL note",
        "course_completion_grade": "Grade",
    },
    "de": {
        "course_completion_status": "Abschlussstatus",
        "course_completion_completeddate": "Abschlussdatum",
        "course_completion_grade": "Bewertung",
    },
    "fr": {
        "course_completion_status": "Statut d'achèvement",
        "course_completion_completeddate": "Date d'achèvement",
        "course_completion_grade": "Note",
    },
}


def label(key: str, language: Language) -> str:
    """The heading of a column; of one that nobody translated, the English one."""
    return LABELS[language].get(key) or LABELS["en"].get(key, key)


def status_words(status: int, language: Language) -> str:
    """What a completion's status is called; nothing for one that Totara does not know."""
    return STATUS_WORDS[language].get(status, "")


def day(time: int | None, zone: ZoneInfo, language: Language) -> str:
    """The day of a time in Unix seconds; nothing for none, which may also be 0."""
    if not time:
        return ""
    at = datetime.fromtimestamp(time, zone)
    return f"{at.day} {MONTHS[language][at.month - 1]} {at.year}"


def percentage(grade: Decimal | None, language: Language) -> str:
    """A grade with one decimal; a dash for none."""
    if grade is None:
        return "-"
    shown = f"{grade:.1f}%"
    return shown if language == "en" else shown.replace(".", ",")
