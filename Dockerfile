# One image for every role: `docker run penstock worker`, `control`, `web`, `topics ensure`, ...
# Versions are those of requirements.lock, which the tests run with.
ARG PYTHON=3.11.13-slim-bookworm

FROM python:${PYTHON} AS build
# kafka and postgres are what a cluster needs; --build-arg EXTRAS=kafka,postgres,parquet adds more.
ARG EXTRAS=kafka,postgres
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv --without-pip /opt/penstock
WORKDIR /src
COPY requirements.lock pyproject.toml README.md ./
COPY streams streams
COPY evidence evidence
COPY rollout rollout
COPY monitors monitors
COPY audit audit
COPY penstock penstock
RUN pip --python /opt/penstock/bin/python install --constraint requirements.lock ".[${EXTRAS}]"

FROM python:${PYTHON}
LABEL org.opencontainers.image.title="Penstock" \
      org.opencontainers.image.description="Watches machine-learning models in production"
RUN groupadd --gid 10001 penstock \
 && useradd --uid 10001 --gid penstock --no-create-home --home-dir /var/lib/penstock penstock \
 && install --directory --owner penstock --group penstock --mode 0700 /var/lib/penstock
COPY --from=build /opt/penstock /opt/penstock
COPY deploy/image/probe.py /opt/penstock/probe.py
ENV PATH=/opt/penstock/bin:$PATH \
    PENSTOCK_DATA_DIR=/var/lib/penstock
USER 10001
WORKDIR /var/lib/penstock
VOLUME /var/lib/penstock
EXPOSE 8080 9464
# Live, not ready: a database that is away is no reason to restart anybody.
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
  CMD ["python", "/opt/penstock/probe.py"]
ENTRYPOINT ["penstock"]
CMD ["--help"]
