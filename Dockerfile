# A daemon for a team, on a Valkey of its own or on the embedded one: see docs/deployment.md.
FROM python:3.13-slim AS build
WORKDIR /src
COPY pyproject.toml README.md CHANGELOG.md LICENSE ./
COPY .claude-plugin .claude-plugin
COPY plugin plugin
COPY lua lua
COPY postino postino
RUN python -m venv /opt/postino && /opt/postino/bin/pip install --no-cache-dir '.[notify]'

FROM python:3.13-slim
RUN useradd --uid 10001 --create-home postino && install -d -o postino -g postino -m 0700 /var/lib/postino
COPY --from=build /opt/postino /opt/postino
# beyond loopback, so it starts only with a token, and with TLS or POSTINO_BEHIND_PROXY=1
ENV PATH=/opt/postino/bin:$PATH POSTINO_HOME=/var/lib/postino POSTINO_WEB_HOST=0.0.0.0 POSTINO_WEB_PORT=3333
USER postino
VOLUME /var/lib/postino
EXPOSE 3333
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s CMD ["postino", "status"]
# the log, which otherwise is standard error, goes to standard output
CMD ["sh", "-c", "exec postino serve --supervised 2>&1"]
