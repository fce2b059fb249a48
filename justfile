# The recipes behind ./dev, which makes sure of the tools first. Run them through it.

set positional-arguments

target := env("CARGO_TARGET_DIR", "target")
# CI logs get no progress bars; a terminal does.
export CARGO_TERM_PROGRESS_WHEN := if env("CI", "") == "true" { "never" } else { "auto" }

[private]
default:
    @./dev help

# Builds the release binary; silent when nothing changed since the last build.
build:
    #!/usr/bin/env bash
    set -euo pipefail
    binary={{ quote(target) }}/release/devsignal
    quiet=
    if [ -x "$binary" ] && [ -z "$(find Cargo.toml Cargo.lock rust-toolchain.toml crates proto migrations -newer "$binary" -type f -print -quit)" ]; then
        quiet=--quiet
    fi
    exec cargo build --locked --release -p devsignal $quiet

# Builds and runs everything in one process, until Ctrl-C.
up *ARGS:
    @./dev up "$@"

# Stops what `up` started.
down *ARGS:
    @./dev down "$@"

# Stops it and deletes its data.
reset *ARGS:
    @./dev reset "$@"

# Versions of the tools, and whether this machine is ready.
doctor *ARGS:
    @./dev doctor "$@"

# Formats the code.
fmt:
    cargo fmt --all

# Formatting, clippy with warnings as errors, contracts.
lint: fmt-check clippy contracts

[private]
fmt-check:
    cargo fmt --all --check

[private]
clippy:
    cargo clippy --locked --workspace --all-targets -- -D warnings

[private]
contracts: compatible
    buf lint proto

# Compares the contract with the last release's: nothing may change that breaks a reader.
[private]
compatible:
    #!/usr/bin/env bash
    set -euo pipefail
    release=$(git describe --tags --abbrev=0 --match 'v[0-9]*' 2>/dev/null || true)
    if [ -z "$release" ]; then
        echo "no release yet (no tag v*): there is nothing that the contract could break"
        exit 0
    fi
    before=$(mktemp -d)
    trap 'rm -rf "$before"' EXIT
    git archive "$release" proto | tar -x -C "$before"
    buf breaking proto --against "$before/proto"
    echo "the contract breaks nothing of $release"

# Everything CI runs. Arguments go to `cargo nextest run`.
test *ARGS: lint
    cargo build --locked --workspace --bins
    just with-test-stack cargo nextest run --locked --workspace --profile ci "$@"
    just doc-tests

# Runs a command with one Postgres and one nats-server for all tests.
[private]
with-test-stack +COMMAND:
    #!/usr/bin/env bash
    set -euo pipefail
    directory=$(mktemp -d)
    mkfifo "$directory/alive"
    {{ quote(target) }}/debug/test-stack "$directory/stack.json" <"$directory/alive" &
    stack=$!
    # The stack stops when this end is closed: by us, or by the kernel if we are killed.
    exec 7>"$directory/alive"
    trap 'exec 7>&-; wait $stack || true; rm -rf "$directory"' EXIT
    for _ in $(seq 600); do
        [ ! -f "$directory/stack.json" ] || break
        kill -0 $stack 2>/dev/null || { wait $stack; exit 1; }
        sleep 0.1
    done
    [ -f "$directory/stack.json" ] || { echo "the test stack did not start within a minute" >&2; exit 1; }
    DEVSIGNAL_TEST_STACK="$directory/stack.json" "$@" 7>&-

# Documentation tests, of the crates that have any.
[private]
doc-tests:
    #!/usr/bin/env bash
    set -euo pipefail
    packages=()
    for crate in crates/*/; do
        if grep -rqE '^[[:space:]]*//[/!][[:space:]]*```' "$crate/src"; then
            packages+=(-p "$(basename "$crate")")
        fi
    done
    if [ ${#packages[@]} -gt 0 ]; then
        cargo test --locked --doc "${packages[@]}"
    else
        echo "no documentation tests"
    fi

# Benchmarks with their ceilings; results to a file and a table.
bench *ARGS:
    cargo build --locked --release -p devsignal --bin devsignal -p e2e --bin bench
    {{ quote(target) }}/release/bench "$@"

# Writes docs/openapi.json, docs/asyncapi.json and docs/schema.graphql as the gateway serves them.
openapi:
    DEVSIGNAL_WRITE_CONTRACT=1 cargo nextest run --locked -p gateway -E 'test(committed)'
