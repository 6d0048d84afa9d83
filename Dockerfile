# Two stages: the first installs the locked libraries and Duban into one folder, the second copies only that folder.
FROM python:3.13-slim AS build
WORKDIR /src
RUN python -m venv /opt/duban
ENV PATH=/opt/duban/bin:$PATH PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
COPY requirements.lock ./
RUN pip install --require-hashes --requirement requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY app app
COPY ingest ingest
COPY reports reports
COPY alembic alembic
RUN pip install --no-deps --no-build-isolation . \
    # remove build dependencies, and the libraries' tests and headers
    && pip uninstall -y hatchling editables pathspec pluggy tomlkit trove-classifiers pip \
    && find /opt/duban/lib -type d \( -name tests -o -name include \) -prune -exec rm -rf {} +

FROM python:3.13-slim
RUN useradd --system --uid 10001 --home-dir /data --no-create-home --shell /usr/sbin/nologin duban \
    && install --directory --owner duban --group duban --mode 750 /data
COPY --from=build /opt/duban /opt/duban
ENV PATH=/opt/duban/bin:$PATH PYTHONUNBUFFERED=1 DUBAN_DATA_DIR=/data
USER duban
WORKDIR /data
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
CMD ["duban", "serve", "--host", "0.0.0.0"]
