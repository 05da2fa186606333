"""The words of the logs, and what each means: what requests came to, and what people had done."""

#: Of requests.
OUTCOMES = {
    "sent": "All its items were stored.",
    "partly": "Some of its items were stored; each item has its own result.",
    "none_sent": "None of its items was stored; each item has its own result.",
    "refused": "The destination refused the batch as a whole: its items were sent again in smaller requests.",
    "rejected": "The destination refused the one item in it.",
    "too_large": "The request was too large for the destination: its items were sent again in smaller requests.",
    "in_flight": "The destination was still working on the same request: its items come again later.",
    "unavailable": "The destination was too busy, or broken: its items come again later.",
    "not_json": "The answer was no JSON, so nobody knows what was stored: its items come again under the same keys.",
    "unclear": "The answer says both yes and no: its items come again under the same keys.",
    "problem": "The destination or the connection to it is not set up as it must be: a person has to look.",
    "shadow": "Shadow mode: it was shown, and not sent.",
    "unreachable": "There was no connection: its items come again later.",
    "timeout": "There was no answer in time: its items come again under the same keys.",
    "reset": "The connection broke: its items come again under the same keys.",
    "garbled": "The answer could not be unpacked: its items come again under the same keys.",
    "token": "No token was to be had: its items come again later, or a person has to look.",
}

#: Of the audit log.
ACTIONS = {
    "setting": "A setting was changed.",
    "requeue": "Items were put back into the queue.",
    "cancel": "Items were withdrawn from the queue.",
    "backfill": "Completions of the past were queued.",
    "purge": "What was past its retention was deleted.",
    "api_token": "A token of the Pull API was issued, rotated or revoked.",
    "confirm_deletions": "A full compare was allowed to delete many completions.",
    "load_mappings": "Numbers of learners or courses were loaded.",
    "erase": "A learner was erased.",
    "erase_search": "It was searched for what is left of an erased learner.",
}
