# What the stories have in common.

# The server's own command line, as its administrator.
admin() {
    env -u VAULT_ROLE_ID -u VAULT_SECRET_ID VAULT_TOKEN="$ROOT_TOKEN" bao "$@"
}

# Fails with a message and what was said last.
die() {
    echo "FAILED: $*" >&2
    echo "--- said:" >&2
    cat "$HOME/said" >&2 2>/dev/null || true
    exit 1
}

# A command that must end with this exit code. What it says on standard error is kept for `says`.
exits() {
    wanted=$1
    shift
    code=0
    "$@" >"$HOME/answered" 2>"$HOME/said" || code=$?
    [ "$code" = "$wanted" ] || die "exit code $code, not $wanted: $*"
}

# The last command's standard error has this text.
says() {
    grep -qF -- "$1" "$HOME/said" || die "it does not say: $1"
}

# The last command's standard output has this text.
answers() {
    grep -qF -- "$1" "$HOME/answered" || die "it does not answer: $1 (but: $(cat "$HOME/answered"))"
}

# The last command's standard output is exactly this text.
answers_just() {
    [ "$(cat "$HOME/answered")" = "$1" ] || die "it does not answer just: $1 (but: $(cat "$HOME/answered"))"
}

# Nothing of us lives on the server but the administrator's token, and nothing is owed.
nothing_left() {
    left=$(admin list -format=json auth/token/accessors | grep -c '"' || true)
    [ "$left" = 1 ] || die "$left tokens live, not only the administrator's"
    [ -z "$(ls -A "$HOME/.local/state/leasehold/journal" 2>/dev/null)" ] || die "something is in the journal"
    [ -z "$(ls -A "$HOME/leasehold-$(id -u)" 2>/dev/null)" ] || die "files are left"
}

# Waits until a file is there, or has this text.
wait_for() {
    soon has "$@"
}

has() {
    [ -e "$1" ] && { [ $# = 1 ] || grep -qF -- "$2" "$1"; }
}

# Asks again and again, for thirty seconds at most, until a condition holds.
soon() {
    tries=0
    until "$@"; do
        tries=$((tries + 1))
        [ $tries -lt 600 ] || die "never came: $*"
        sleep 0.05
    done
}

# No server and no login, as on a workstation without one.
without_server() {
    unset VAULT_ADDR VAULT_ROLE_ID VAULT_SECRET_ID
}

# The desktop's keyring as after a login that did not unlock it.
lock_keyring() {
    dbus-send --session --print-reply --dest=org.freedesktop.secrets /org/freedesktop/secrets \
        org.freedesktop.Secret.Service.Lock array:objpath:/org/freedesktop/secrets/collection/login >/dev/null
}

# Nothing below the home has this text in it.
nowhere() {
    ! grep -raqF --exclude=answered --exclude=said -- "$1" "$HOME" || die "it is on the disk: $1"
}
