# One image for the API and the projector; the servers are images of their own.
FROM python:3.13-slim AS build
WORKDIR /build
RUN python -m venv /opt/matchgraph
COPY requirements/serve.txt requirements/
RUN /opt/matchgraph/bin/pip install --no-cache-dir --require-hashes -r requirements/serve.txt
COPY . .
RUN /opt/matchgraph/bin/pip install --no-cache-dir --no-deps --no-build-isolation .

FROM python:3.13-slim
COPY --from=build /opt/matchgraph /opt/matchgraph
RUN useradd --system --no-create-home matchgraph
USER matchgraph
ENV PATH=/opt/matchgraph/bin:$PATH MATCHGRAPH_HOST=0.0.0.0 MATCHGRAPH_MODE=production
EXPOSE 8000
ENTRYPOINT ["matchgraph"]
CMD ["serve", "--no-projector", "--no-catalogs"]
