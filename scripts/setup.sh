#!/bin/sh
# Makes .venv and the local servers ready. Says nothing when there is nothing to do (`-v`: one line a part).
# Packages come from wherever your own pip and uv settings say.
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
        apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$package" >/dev/null
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
wanted=$(pwd && cksum pyproject.toml scripts/setup.sh)

if [ "$(cat $stamp 2>/dev/null || true)" != "$wanted" ] || ! .venv/bin/python -c '' 2>/dev/null; then
    if ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
        python=$(find_python)
        need_venv "$python"
        say "making .venv with $python"
        "$python" -m venv --clear .venv
    fi
    if ! .venv/bin/python -m uv --version >/dev/null 2>&1; then
        .venv/bin/python -m pip install --quiet --disable-pip-version-check uv
    fi
    say "installing Python packages (about 1 GB the first time)"
    (
        hand_pip_settings_to_uv
        .venv/bin/python -m uv pip install --quiet --compile-bytecode --python .venv --editable '.[all]' --group dev
        .venv/bin/python -m uv pip install --quiet --python .venv --editable '.[quality]' 2>/dev/null ||
            say "pesq could not be built (it needs a C compiler): the transport lab tells no PESQ"
    )
    printf '%s\n' "$wanted" >$stamp
fi

case "${1:-}" in
-v) exec .venv/bin/python -m voicefleet.stack.install ;;
*) exec .venv/bin/python -m voicefleet.stack.install --quiet ;;
esac
