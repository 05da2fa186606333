"""E-mail by Airflow's own notifier, given up soon, and only to a server whose certificate is good.

While a silent mail server is waited for, nobody else is told.
"""

from functools import cached_property

from airflow.providers.smtp.hooks.smtp import SmtpHook
from airflow.providers.smtp.notifications.smtp import SmtpNotifier

#: Seconds that each step of a mail server may take, whatever its Connection allows.
_TIMEOUT = 10


class _Hook(SmtpHook):
    """Airflow's, which by itself waits 30 seconds six times over, and can be told to verify nothing."""

    @property
    def timeout(self) -> int:
        """Seconds."""
        return min(super().timeout, _TIMEOUT)

    @property
    def ssl_context(self) -> str:
        """The server's certificate is verified, also where the Connection says that it is not to be."""
        return "default"

    @property
    def smtp_retry_limit(self) -> int:
        """None at once: the next run of the watch is the next try."""
        return 0


class Mail(SmtpNotifier):
    """One e-mail."""

    @cached_property
    def hook(self) -> SmtpHook:
        """To the Connection's server."""
        return _Hook(smtp_conn_id=self.smtp_conn_id, auth_type=self.auth_type)
