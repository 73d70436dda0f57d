# The service. No torch, no lightning, no mlflow, no pandas. Built from the repository root.
ARG PYTHON=python:3.11-slim-bookworm

FROM ${PYTHON} AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH
WORKDIR /src
COPY constraints.txt ./
# What serving/ and the rooms of forecaster/ it stands on import; tests/test_compose.py compares the two.
RUN pip install -c constraints.txt \
    fastapi \
    httptools \
    jiter \
    numpy \
    onnxruntime \
    opentelemetry-exporter-otlp-proto-http \
    plotly \
    prometheus-client \
    "psycopg[binary]" \
    pydantic \
    pydantic-settings \
    python-json-logger \
    sqlalchemy \
    starlette \
    uvicorn \
    uvloop
COPY pyproject.toml README.md LICENSE ./
COPY forecaster/ forecaster/
COPY serving/ serving/
RUN pip install --no-deps .

FROM ${PYTHON}
RUN groupadd --gid 10001 forecaster \
    && useradd --uid 10001 --gid 10001 --no-create-home --shell /usr/sbin/nologin forecaster \
    && install --directory --owner forecaster --group forecaster /var/lib/forecaster
COPY --from=build /opt/venv /opt/venv
COPY --chmod=0755 docker/entrypoint.sh /usr/local/bin/entrypoint.sh
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp \
    PGPASSFILE=/tmp/pgpass \
    FORECASTER_HOME=/var/lib/forecaster
USER 10001:10001
EXPOSE 8000
ENTRYPOINT ["entrypoint.sh"]
# --open: who may reach a container is for those who publish its port; FORECASTER_REQUIRE_KEY=true asks for keys.
CMD ["python", "-m", "serving", "--host", "0.0.0.0", "--open"]
