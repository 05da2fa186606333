"""Everything that can go wrong, and whether trying again can help.

::

    BridgeError
    ├── Transient                  try again later
    │   ├── SiteBusy               another run extracts the site now
    │   ├── TotaraUnavailable      no answer, or none now
    │   ├── OracleUnavailable      no answer, or none now
    │   ├── StagingUnavailable     the staging database does not answer now
    │   ├── StagingInUse           others hold what a migration changes
    │   ├── LearnerBusy            something about the learner is being sent now
    │   └── ChannelFailed          a channel takes no notices of alerts now
    └── Permanent                  a person is needed; a task fails at once
        ├── ConfigurationInvalid   bridge.toml, the environment or a Connection
        ├── RequestInvalid         a run or a command asks for what cannot be
        ├── StagingOutOfDate       the staging database is at a revision that this code does not work with
        ├── ErasureIncomplete      a name of an erased learner is still there
        ├── TotaraRefused          credentials, permission, prefix: Totara says no
        │   └── ReportUnreadable   a report or a file of it cannot be read, or lacks what is needed
        ├── SiteReplaced           another Totara answers under a known site code
        ├── DeletionsUnconfirmed   a full compare would delete more than is believable
        └── OracleRefused          credentials, path, contract: Oracle says no
            └── CredentialsRefused it gives no token, or takes none that it gave

Each message is one sentence: what, where, why, and what to do next. No message holds a secret.
"""

from totara_bridge.printable import one_line


class BridgeError(Exception):
    """Something went wrong in the bridge."""

    def __init__(self, sentence: str = "") -> None:
        """Say so, on one line: it may repeat another system's words, and goes into logs and terminals."""
        super().__init__(one_line(sentence))


class Transient(BridgeError):
    """It may work later."""


class SiteBusy(Transient):
    """Another run extracts the site now."""


class TotaraUnavailable(Transient):
    """Totara does not answer now."""


class OracleUnavailable(Transient):
    """Oracle does not answer now."""

    def __init__(self, sentence: str, *, retry_after: float | None = None) -> None:
        """Say so.

        :param retry_after: seconds that it asks to be left alone.
        """
        super().__init__(sentence)
        self.retry_after = retry_after


class StagingUnavailable(Transient):
    """The staging database does not answer now."""


class StagingInUse(Transient):
    """Others hold what a migration of the staging database changes, or another one is at work."""


class LearnerBusy(Transient):
    """Something about the learner is being sent at this moment."""


class ChannelFailed(Transient):
    """A channel takes no notices of alerts now."""


class Permanent(BridgeError):
    """It will not work until a person changes something."""


class ConfigurationInvalid(Permanent):
    """bridge.toml, the environment or a Connection says something that cannot be."""


class RequestInvalid(Permanent):
    """A run or a command asks for what cannot be."""


class StagingOutOfDate(Permanent):
    """The staging database is at a revision that this code does not work with."""


class ErasureIncomplete(Permanent):
    """A name of an erased learner is still in a row of theirs."""


class TotaraRefused(Permanent):
    """Totara refuses: credentials, permission or table prefix."""


class ReportUnreadable(TotaraRefused):
    """A report, or a file of one, cannot be read or understood, or lacks what is needed."""


class SiteReplaced(Permanent):
    """Another Totara answers under a known site code."""


class DeletionsUnconfirmed(Permanent):
    """A full compare would delete more completions than is believable."""


class OracleRefused(Permanent):
    """Oracle refuses: credentials, path or contract."""


class CredentialsRefused(OracleRefused):
    """Oracle gives no token for these credentials, or takes none that it gave."""
