"""Why a completion was or was not sent, for any learner and course."""

from totara_bridge.why_not.answers import Answer, Why, answers_for, why_not

__all__ = ["Answer", "Why", "answers_for", "why_not"]
