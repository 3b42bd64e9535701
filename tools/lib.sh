# Sourced by the scripts beside it: the lines they print and the settings that uv takes over from pip.

# A `date` without %N (macOS) leaves whole seconds.
now() { date +%s.%N; }

# step NAME WHAT BEGAN: one line that says what was done and how long it took.
step() {
    LC_ALL=C awk -v name="$1" -v what="$2" -v began="$3" -v ended="$(now)" \
        'BEGIN { printf "  %-11s %-56s %6.1f s\n", name, what, ended - began }' >&2
}

pip_setting() { python3 -m pip config get "global.$1" 2>/dev/null || :; }

# A machine that was set up for pip (own index, own certificates) needs nothing more for uv.
uv_settings() {
    export UV_SYSTEM_CERTS="${UV_SYSTEM_CERTS:-1}"
    export UV_PYTHON_PREFERENCE="${UV_PYTHON_PREFERENCE:-system}"
    export UV_HTTP_TIMEOUT="${UV_HTTP_TIMEOUT:-${PIP_DEFAULT_TIMEOUT:-120}}"
    certificates=${SSL_CERT_FILE:-${PIP_CERT:-$(pip_setting cert)}}
    index=${UV_DEFAULT_INDEX:-${UV_INDEX_URL:-${PIP_INDEX_URL:-$(pip_setting index-url)}}}
    extra=${UV_INDEX:-${UV_EXTRA_INDEX_URL:-${PIP_EXTRA_INDEX_URL:-$(pip_setting extra-index-url)}}}
    [ -z "$certificates" ] || export SSL_CERT_FILE="$certificates"
    [ -z "$index" ] || export UV_DEFAULT_INDEX="$index"
    [ -z "$extra" ] || export UV_INDEX="$extra"
}

fail() { echo "error: $1" >&2; exit 1; }

# Two makes at once: the second waits for the first.
wait_for_turn() {
    if command -v flock >/dev/null; then
        exec 9>.venv.lock
        flock 9
    fi
}

# apt_install STEP WHAT WHO PACKAGE…: install Debian's packages, or say what is missing for whom.
apt_install() {
    part=$1 what=$2 who=$3
    shift 3
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null ||
        fail "$what is missing and $who need it; install it (on Debian: sudo apt-get install $*)."
    began=$(now)
    export DEBIAN_FRONTEND=noninteractive
    set -- -qq -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 install --yes --no-install-recommends "$@"
    apt-get "$@" >/dev/null 2>&1 || { apt-get -qq update >/dev/null 2>&1 && apt-get "$@" >/dev/null; } ||
        fail "apt-get could not install $what."
    step "$part" "$what installed from Debian's packages" "$began"
}
