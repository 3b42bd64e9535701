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
