# The program of the demo. It says what it was given by length and salted digest, never the secret itself.
# app.sh NAME FILE    says what the variable NAME holds, and waits until it is told that FILE has changed
# app.sh --digest     the digest of what is on standard input
command -v sha256sum >/dev/null || sha256sum() { shasum -a 256; }
digest() { printf '%s%s' "$DEMO_SALT" "$1" | sha256sum | cut -c 1-8; }
show() { echo "$1 ${#2} characters, digest $(digest "$2")"; }
if [ "$1" = --digest ]; then digest "$(cat)"; exit; fi

trap 'kill "$!"; show "was told of a change, and the file holds" "$(cat "$2")"; exit 0' USR1
show "has $1 of" "$(printenv "$1")"
for second in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do
    sleep 1 >/dev/null 2>&1 &
    wait "$!"
done
echo "saw no change in $second seconds"
exit 1
