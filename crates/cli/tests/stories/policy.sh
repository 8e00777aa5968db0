# Which provider a command gets where none is named: the first by priority that is usable.
without_server
# At first there is no desktop.
bus=$DBUS_SESSION_BUS_ADDRESS
export DBUS_SESSION_BUS_ADDRESS=unix:path=/nowhere
mkdir -p "$HOME/.config/ai/ai_agents"
manifest() {
    cat >"$HOME/.config/ai/ai_agents/manifest.json"
}
manifest <<'JSON'
{ "providers": {
    "without_key":   { "priority": 1, "vault_key": "none", "env_var": "KEY_A" },
    "unreachable":   { "priority": 2, "vault_key": "unreachable", "env_var": "KEY_B", "endpoint": "http://127.0.0.1:1" },
    "usable":        { "priority": 3, "vault_key": "usable", "env_var": "KEY_C" },
    "usable_too":    { "priority": 3, "vault_key": "usable_too", "env_var": "KEY_D" },
    "last":          { "vault_key": "last", "env_var": "KEY_E", "endpoint": "http://127.0.0.1:9/v1", "base_url_env": "BASE" }
} }
JSON
for name in unreachable usable usable_too last; do
    echo "canary-$name" | leasehold set-key $name - 2>/dev/null >/dev/null
done

# It is said which, and why nobody before it.
exits 0 leasehold run -- 'echo "$KEY_C${KEY_A:-}${KEY_B:-}${KEY_D:-}${KEY_E:-}"'
answers_just canary-usable
says 'the provider is usable (KEY_C from sealed://agent_vault/usable)'
says 'not without_key: its key is not set'
says 'not unreachable: its endpoint cannot be reached'

# The next one takes over where the first fails; of two with one priority the name decides.
leasehold delete-key usable >/dev/null
exits 0 leasehold run -- 'echo "$KEY_D"'
answers_just canary-usable_too

# The very first or none.
exits 125 leasehold run --strict-priority -- true
says 'the first provider is not usable'
says 'without_key: its key is not set'
echo canary-first | leasehold set-key without_key - 2>/dev/null >/dev/null
exits 0 leasehold run --strict-priority -- 'echo "$KEY_A"'
answers_just canary-first

# One that is named is taken whatever is thought of it, and several together.
exits 0 leasehold run --provider last -- 'echo "$KEY_E at $BASE"'
answers_just 'canary-last at http://127.0.0.1:9/v1'
exits 0 leasehold run --provider unreachable --provider usable_too -- 'echo "$KEY_B $KEY_D${KEY_A:-}"'
answers_just 'canary-unreachable canary-usable_too'

# None is usable: each is told with its reason.
for name in without_key usable_too last; do leasehold delete-key $name >/dev/null; done
exits 125 leasehold run -- true
says 'no provider is usable'
says 'last: its key is not set'

# One quoted line is for the shell, several words are not.
echo canary-usable | leasehold set-key usable - 2>/dev/null >/dev/null
exits 0 leasehold run --provider usable -- 'echo "$KEY_C" | tr a-z A-Z'
answers_just CANARY-USABLE
exits 0 leasehold run --provider usable -- echo '$KEY_C' '|' tr
answers_just '$KEY_C | tr'
exits 3 leasehold run --provider usable -- 'exit 3'

# Where something else is asked for, no provider is looked for; and none is needed where there is no manifest.
exits 0 leasehold run --env A=env://HOME -- 'echo "${KEY_C:-none}"'
answers_just none
rm "$HOME/.config/ai/ai_agents/manifest.json"
exits 0 leasehold run -- echo alone
answers_just alone

# A blank is no key, wherever it is.
manifest <<JSON
{ "providers": {
    "empty": { "priority": 1, "vault_key": "env://EMPTY", "env_var": "KEY_A" },
    "blank": { "priority": 2, "vault_key": "file://$HOME/blank", "env_var": "KEY_A" },
    "good":  { "priority": 3, "vault_key": "usable", "env_var": "KEY_A" }
} }
JSON
printf ' \n' >"$HOME/blank"
EMPTY= exits 0 leasehold run -- 'echo "$KEY_A"'
answers_just canary-usable
says 'not empty: its key is blank; not blank: its key is blank'
# What is told is no warning.
EMPTY= exits 0 leasehold --log-format json run -- true
grep -F 'the provider is good' "$HOME/said" | grep -qF '"level":"INFO"' || die 'it is told as another level'
EMPTY= exits 0 leasehold -q run -- true
[ ! -s "$HOME/said" ] || die 'it is told though only errors are wanted'

# Of many that are passed over the first are told.
{
    printf '{ "providers": { "good": { "vault_key": "usable", "env_var": "KEY_A" }'
    for n in 1 2 3 4 5 6 7 8; do printf ', "p%d": { "priority": %d, "vault_key": "none" }' $n $n; done
    echo ' } }'
} | manifest
exits 0 leasehold run -- 'echo "$KEY_A"'
answers_just canary-usable
says 'not p5: its key is not set; and 3 more'
! grep -q p6 "$HOME/said" || die 'more are told'

# On a desktop a key that is there twice, or in a locked keyring, is passed over.
export DBUS_SESSION_BUS_ADDRESS=$bus
manifest <<'JSON'
{ "providers": {
    "twice":  { "priority": 1, "vault_key": "twice", "env_var": "KEY_A" },
    "locked": { "priority": 2, "vault_key": "locked", "env_var": "KEY_A" },
    "good":   { "priority": 3, "vault_key": "sealed://agent_vault/usable", "env_var": "KEY_A" }
} }
JSON
echo canary-locked | exits 0 leasehold set-key locked -
for target in one two; do
    printf canary-twice | secret-tool store --label=test service agent_vault username twice target $target
done
exits 0 leasehold run -- 'echo "$KEY_A"'
answers_just canary-locked
says 'not twice: the keyring has several entries agent_vault/twice'
exits 0 leasehold providers
answers ' unclear '
lock_keyring
exits 0 leasehold run -- 'echo "$KEY_A"'
answers_just canary-usable
says 'not locked: the keyring with agent_vault/locked is locked'
exits 125 leasehold run --strict-priority -- true
says 'twice: the keyring with agent_vault/twice is locked'
exits 0 leasehold providers --json
[ "$(grep -cF '"secret": "locked"' "$HOME/answered")" = 2 ] || die 'they are not told as locked'
[ "$(grep -c 'is locked' "$HOME/said")" = 1 ] || die 'it is told of each key that the keyring is locked'
answers '"has_secret": null'
