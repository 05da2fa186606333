"""Why a completion was or was not sent, for any learner and course."""

from totara_bridge.why_not.answers import Answer, Why, why_not

__all__ = ["Answer", "Why", "why_not"]
