"""Examples of what is answered: one learner who completed one course, twice."""

from typing import Any

Example = dict[str, Any]

COMPLETION: Example = {
    "id": "sbx-3-20",
    "version": 871234,
    "site": "sbx",
    "userId": 3,
    "courseId": 20,
    "status": "complete",
    "progress": 100,
    "grade": 87.5,
    "rpl": None,
    "timeenrolled": "2025-11-03T08:00:00+00:00",
    "timestarted": "2025-11-04T09:12:31+00:00",
    "timecompleted": "2026-01-31T12:00:00+00:00",
    "changedAt": "2026-01-31T12:05:07.123456+00:00",
    "deleted": False,
    "user": {
        "username": "ann",
        "idnumber": "A-17",
        "email": "ann@example.com",
        "firstname": "Ann",
        "lastname": "Lee",
        "suspended": False,
        "deleted": False,
    },
    "course": {"shortname": "SAFETY", "idnumber": "SAFETY-1", "fullname": "Safety at work", "categoryId": 5},
    "instances": [
        {
            "recordKey": "TBAAAAAAAAAAAAAAAAAAAAAAAAAA",
            "revision": 1,
            "status": "complete",
            "timecompleted": "2025-01-30T10:00:00+00:00",
            "archived": True,
            "ended": False,
        },
        {
            "recordKey": "TBAAAAAAAAAAAAAAAAAAAAAAAAAB",
            "revision": 2,
            "status": "complete",
            "timecompleted": "2026-01-31T12:00:00+00:00",
            "archived": False,
            "ended": False,
        },
    ],
    "acknowledgement": {
        "status": "processed",
        "reference": "4711",
        "message": None,
        "version": 871234,
        "acknowledgedAt": "2026-01-31T12:10:00.500000+00:00",
    },
}

USER: Example = {
    "id": "sbx-3",
    "version": 57,
    "site": "sbx",
    "userId": 3,
    "username": "ann",
    "idnumber": "A-17",
    "email": "ann@example.com",
    "firstname": "Ann",
    "lastname": "Lee",
    "suspended": False,
    "deleted": False,
    "erased": False,
    "changedAt": "2026-01-31T12:05:07.123456+00:00",
}

COURSE: Example = {
    "id": "sbx-20",
    "version": 8,
    "site": "sbx",
    "courseId": 20,
    "shortname": "SAFETY",
    "idnumber": "SAFETY-1",
    "fullname": "Safety at work",
    "categoryId": 5,
    "visible": True,
    "changedAt": "2026-01-31T12:05:07.123456+00:00",
}

ACKNOWLEDGEMENTS: list[Example] = [
    {"id": "sbx-3-20", "status": "processed", "version": 871234, "reference": "4711"},
    {"id": "sbx-3-21", "status": "rejected", "message": "No such course here."},
]

RESULTS: Example = {
    "results": [
        {"id": "sbx-3-20", "result": "recorded"},
        {"id": "sbx-3-21", "result": "unknown", "detail": "There is no completion with this id."},
    ],
    "recorded": 1,
    "unchanged": 0,
    "outdated": 0,
    "unknown": 1,
    "invalid": 0,
}

STATUS: Example = {
    "status": "ok",
    "checkedAt": "2026-01-31T12:05:07.123456+00:00",
    "problems": [],
    "sites": [{"code": "sbx", "extractedAt": "2026-01-31T12:00:00+00:00"}],
    "destinations": [{"code": "oracle", "waiting": 0, "oldest": None}],
}

BROKEN: Example = STATUS | {
    "status": "broken",
    "problems": [
        {"name": "silence", "subject": "sbx", "words": "Nothing was extracted since 30 January: see the run book."}
    ],
}
