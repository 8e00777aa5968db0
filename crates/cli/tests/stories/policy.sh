# Which provider a command gets where none is named: the first by priority that is usable.
without_server
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
