#!/bin/sh
# Makes .venv and what a target needs ready: `scripts/setup.sh [-v] [TARGET]`; without a target, everything. Says nothing
# when there is nothing to do (`-v`: one line a part). Packages come from wherever your own pip and uv settings say; which
# ones, and what they hash to, say the locks (`make lock` writes them). Nothing is run whose hash is not in one.
set -eu
cd "$(dirname "$0")/.."

say() { printf '%s\n' "setup: $*"; }
fail() { printf '%s\n' "setup: $*" >&2; exit 2; }

find_python() {
    for name in ${PYTHON:-python3 python3.13 python3.12 python3.11}; do
        if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$name"
            return
        fi
    done
    fail "Python 3.11 or newer is needed. Install it, or name one: make setup PYTHON=/path/to/python3"
}

# Debian and Ubuntu keep the part that makes virtual environments in a package of its own.
need_venv() {
    "$1" -c 'import ensurepip, venv' 2>/dev/null && return
    package="python$("$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])')-venv"
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        say "installing $package"
        apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$package" >/dev/null
    else
        fail "$1 cannot make virtual environments. Install the package $package, then run this again"
    fi
}

# uv does not read pip's settings. Who has set up pip for a mirror, a proxy's certificate or a folder of wheels
# means the installation, not the tool; settings of uv's own come first.
pip_setting() {
    .venv/bin/python -m pip config get "global.$1" 2>/dev/null || true
}
hand_pip_settings_to_uv() {
    index=${PIP_INDEX_URL:-$(pip_setting index-url)}
    extra=${PIP_EXTRA_INDEX_URL:-$(pip_setting extra-index-url)}
    wheels=${PIP_FIND_LINKS:-$(pip_setting find-links)}
    certificates=${PIP_CERT:-$(pip_setting cert)}
    [ -z "$index" ] || export UV_DEFAULT_INDEX="${UV_DEFAULT_INDEX:-${UV_INDEX_URL:-$index}}"
    [ -z "$extra" ] || export UV_INDEX="${UV_INDEX:-$extra}"
    [ -z "$wheels" ] || export UV_FIND_LINKS="${UV_FIND_LINKS:-$(printf '%s' "$wheels" | tr -s ' \n' ',')}"
    [ -z "$certificates" ] || export SSL_CERT_FILE="${SSL_CERT_FILE:-$certificates}"
}

stamp=.venv/voicefleet-setup
# What the environment was made from. The path is in it: scripts in a venv that was moved do not run.
wanted=$(pwd && cksum pyproject.toml scripts/setup.sh scripts/dev.lock scripts/installer.lock scripts/compile.lock \
    scripts/quality.lock scripts/smart-turn.lock scripts/smollm.lock)

if [ "$(cat $stamp 2>/dev/null || true)" != "$wanted" ] || ! .venv/bin/python -c '' 2>/dev/null; then
    if ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
        python=$(find_python)
        need_venv "$python"
        say "making .venv with $python"
        "$python" -m venv --clear .venv
    fi
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --only-binary :all: \
        --require-hashes --requirement scripts/installer.lock
    say "installing Python packages (about 1 GB the first time)"
    (
        hand_pip_settings_to_uv
        uv() { .venv/bin/python -m uv pip "$@"; }
        # Most packages are wheels. What has none for this Python or machine is built from source, whose hash is locked too,
        # with tools from a lock and nothing else.
        uv install --quiet --no-build --require-hashes --python .venv --requirement scripts/compile.lock
        uv sync --quiet --compile-bytecode --no-build-isolation --require-hashes --python .venv scripts/dev.lock ||
            fail "the locked packages could not be installed (see above). Where one is built, a C compiler and make are needed"
        uv install --quiet --no-deps --no-build-isolation --python .venv --editable .
        # Of one of these only the weights in it are used, so without the dozens of packages it depends on.
        uv install --quiet --no-deps --no-build --require-hashes --python .venv --requirement scripts/smart-turn.lock
        # Wheels alone, which not every machine has: without it the tests of the language model are skipped, and say so.
        uv install --quiet --no-deps --no-build --require-hashes --python .venv --requirement scripts/smollm.lock ||
            say "the language model smollm has no wheels for this machine"
        # pesq has no wheels at all, and is not needed: on its own, so that it may fail.
        uv install --quiet --no-deps --no-build-isolation --require-hashes --python .venv \
            --requirement scripts/quality.lock 2>/dev/null ||
            say "pesq could not be built (it needs a C compiler): the transport lab tells no PESQ"
    )
    printf '%s\n' "$wanted" >$stamp
fi

quiet=--quiet
if [ "${1:-}" = -v ]; then
    quiet=
    shift
fi
exec .venv/bin/python -m voicefleet.stack.install $quiet "$@"
