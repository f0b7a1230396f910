# The embedded AWS in a container. The image runs whatever code is sent to it as a function: publish its port to loopback only.
#
#   docker build -t streamkit .
#   docker run --rm -p 127.0.0.1:4566:4566 streamkit
FROM rust:1.95-bookworm AS build
WORKDIR /streamkit
COPY . .
RUN cargo build --release --locked --bin streamkit

# The interpreters are for functions with the runtimes python3.* and nodejs*; leave out what you do not need.
FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates nodejs python3 python3-boto3 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home streamkit
COPY --from=build /streamkit/target/release/streamkit /usr/local/bin/streamkit
USER streamkit
ENV STREAMKIT_HOME=/home/streamkit/state
EXPOSE 4566
ENTRYPOINT ["streamkit"]
CMD ["local", "start", "--foreground", "--port", "4566", "--bind", "0.0.0.0"]
