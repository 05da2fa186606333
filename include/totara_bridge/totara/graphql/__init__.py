"""Totara's external GraphQL API (17 and later): its access token, its limits, its errors, its learners and jobs."""

from totara_bridge.totara.graphql.client import GraphqlClient
from totara_bridge.totara.graphql.job_assignments import JobAssignment, job_assignments
from totara_bridge.totara.graphql.learners import Learner, learners
from totara_bridge.totara.graphql.token import TokenHolder

__all__ = ["GraphqlClient", "JobAssignment", "Learner", "TokenHolder", "job_assignments", "learners"]
