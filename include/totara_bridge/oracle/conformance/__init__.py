"""Whether an endpoint keeps the published contract: one result per rule of docs/oracle-endpoint.md."""

from totara_bridge.oracle.conformance.probe import Sample
from totara_bridge.oracle.conformance.rule import Finding, Rule, RuleResult
from totara_bridge.oracle.conformance.rules import RULES, check_conformance

__all__ = ["RULES", "Finding", "Rule", "RuleResult", "Sample", "check_conformance"]
