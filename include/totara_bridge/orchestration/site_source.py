"""The source that a site of bridge.toml is read by, as its Airflow Connection says."""

from sqlalchemy import Engine

from totara_bridge.config import Site
from totara_bridge.extract.crawl_book import kept_in_staging
from totara_bridge.orchestration.totara_hook import TotaraHook
from totara_bridge.reconcile import afresh
from totara_bridge.totara.source import Source
from totara_bridge.totara.sources import source_of


def source_of_site(engine: Engine, site: Site) -> Source:
    """The source of the site; what it keeps between runs is in staging.

    :raises ConfigurationInvalid: a field of the Connection is wrong, or it is not active or not a source.
    """
    return source_of(TotaraHook(site.connection).connection(), kept_in_staging(engine, site.code))


def source_afresh(engine: Engine, site: Site) -> Source:
    """The same source, which reads anew what it has read before and keeps nothing.

    :raises ConfigurationInvalid: as above.
    """
    return source_of(TotaraHook(site.connection).connection(), afresh(engine, site.code))
