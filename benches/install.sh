#!/bin/sh
# Installs what `cargo bench --bench sockets` runs beside the gateway, on Debian and its relatives. Needs root.
set -eu
apt-get update
apt-get install -y --no-install-recommends nginx-light wrk nghttp2-client util-linux
