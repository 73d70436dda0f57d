# The MLflow server, in the version that the worker's client has. Nothing of this project is in it.
ARG PYTHON=python:3.11-slim-bookworm

FROM ${PYTHON} AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH
WORKDIR /src
COPY constraints.txt ./
RUN pip install -c constraints.txt mlflow "psycopg[binary]"

FROM ${PYTHON}
RUN groupadd --gid 10002 mlflow \
    && useradd --uid 10002 --gid 10002 --no-create-home --shell /usr/sbin/nologin mlflow \
    && install --directory --owner mlflow --group mlflow /var/lib/mlflow
COPY --from=build /opt/venv /opt/venv
COPY --chmod=0755 docker/entrypoint.sh /usr/local/bin/entrypoint.sh
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp \
    PGPASSFILE=/tmp/pgpass
USER 10002:10002
WORKDIR /var/lib/mlflow
EXPOSE 5000
ENTRYPOINT ["entrypoint.sh"]
CMD ["mlflow", "server", "--host", "0.0.0.0", "--port", "5000", "--workers", "1", \
     "--backend-store-uri", "postgresql+psycopg://mlflow@database/mlflow", \
     "--artifacts-destination", "/var/lib/mlflow/artifacts"]
