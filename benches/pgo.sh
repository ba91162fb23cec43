#!/usr/bin/env bash
# Builds examples/reverse_proxy guided by a profile of its own work, into target/pgo. Needs what install.sh installs, and an
# llvm-profdata of the compiler's LLVM: `rustup component add llvm-tools`, a package such as Debian's llvm-22, or LLVM_PROFDATA.
set -euo pipefail
cd "$(dirname "$0")/.."
major=$(rustc --version -v | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p')
tool=${LLVM_PROFDATA:-$(find "$(rustc --print sysroot)" -name llvm-profdata -type f | head -n 1)}
tool=${tool:-$(command -v "llvm-profdata-$major")} || {
  echo "no llvm-profdata of LLVM $major" >&2
  exit 2
}
work=$PWD/target/pgo
mkdir -p "$work"
rm -rf "$work/profile"
host=$(rustc --version -v | sed -n 's/^host: //p')
# With a target, build scripts and macros are left out of both.
build() { cargo build --release --example reverse_proxy --target "$host" --target-dir "$1"; }

RUSTFLAGS="-Cprofile-generate=$work/profile" build "$work/generate"
cargo bench --bench sockets --no-run
bench=$(find target/release/deps -name 'sockets-*' -type f -perm -u+x -printf '%T@ %p\n' | sort -rn | head -n 1 | cut -d' ' -f2)
"$bench" --role backend --listen 127.0.0.1:19100 &
backend=$!
"$work/generate/$host/release/examples/reverse_proxy" --listen 127.0.0.1:19101 --upstream http://127.0.0.1:19100 --threads 1 &
proxy=$!
trap 'kill $backend $proxy 2>/dev/null || true' EXIT
sleep 1
for path in /1k /64k; do
  wrk -t1 -c64 -d3s "http://127.0.0.1:19101$path"
done
wrk -t1 -c64 -d3s -H 'accept: application/json' -H 'cookie: a=b' -H 'x-client-id: 7' http://127.0.0.1:19101/1k
h2load -t1 -c8 -m8 -n30000 http://127.0.0.1:19101/1k
# The profile is written at a clean end.
kill -INT "$proxy"
wait "$proxy"

"$tool" merge -o "$work/merged.profdata" "$work"/profile/*.profraw
RUSTFLAGS="-Cprofile-use=$work/merged.profdata" build "$work/use"
echo "built $work/use/$host/release/examples/reverse_proxy"
