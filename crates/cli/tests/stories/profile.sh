# A profile names the same things once.
cat >leasehold.toml <<'TOML'
[profile.web]
env = { DB_PASSWORD = "vault://secret/db#password" }
env_from = ["vault://kv1/db"]
files = { "db.json" = "vault://secret/db" }
TOML
exits 0 leasehold run --profile web -- sh -c 'echo "$DB_PASSWORD $PASSWORD $(cat "$LEASEHOLD_FILES/db.json")"'
answers_just 'canary-one canary-v1 {"password":"canary-one","username":"app"}'

# A flag adds to it.
exits 0 leasehold run --profile web --env EXTRA=vault://secret/db#username -- sh -c 'echo "$DB_PASSWORD $EXTRA"'
answers_just 'canary-one app'
exits 125 leasehold run --profile wed -- true
says 'web'
nothing_left

# A variable's name is checked wherever it stands.
printf '[profile.web]\nenv = { "no-name" = "vault://secret/db#password" }\n' >leasehold.toml
exits 125 leasehold run --profile web -- true
says '`no-name` cannot be the name of a variable'

# It may name providers, whose keys need no server.
leasehold init >/dev/null
export LEASEHOLD_STORE=sealed
for name in openai_pro openrouter; do echo canary-$name | leasehold set-key $name - >/dev/null 2>&1; done
cat >leasehold.toml <<'TOML'
[profile.ai]
providers = ["openai_pro"]
[profile.both]
providers = ["openai_pro", "openrouter"]
env = { DB_PASSWORD = "vault://secret/db#password" }
[profile.wrong]
providers = ["openai"]
TOML
exits 0 leasehold run --profile ai -- 'echo "$OPENAI_API_KEY ${OPENROUTER_API_KEY:-none}"'
answers_just 'canary-openai_pro none'
exits 0 env LEASEHOLD_PROFILE=both leasehold run -- 'echo "$OPENAI_API_KEY $OPENROUTER_API_KEY $DB_PASSWORD"'
answers_just 'canary-openai_pro canary-openrouter canary-one'

# A flag adds to them, and the same one twice is one.
exits 0 leasehold run --profile ai --provider openai_pro --provider openrouter --provider openrouter -- \
    'echo "$OPENAI_API_KEY $OPENROUTER_API_KEY"'
answers_just 'canary-openai_pro canary-openrouter'
exits 125 leasehold run --profile ai --strict-priority -- true
says 'the profile names providers, and --strict-priority takes another'
exits 125 leasehold run --profile wrong -- true
says 'did you mean openai_pro?'

# Two that want the same variable are both named.
sed -i s/OPENROUTER_API_KEY/OPENAI_API_KEY/ "$HOME/.config/ai/ai_agents/manifest.json"
exits 125 leasehold run --profile both -- true
says 'the providers openai_pro and openrouter would both be the variable OPENAI_API_KEY'
exits 125 leasehold run --profile ai --env OPENAI_API_KEY=env://HOME -- true
says 'the provider openai_pro and what --env or the profile names would both be the variable OPENAI_API_KEY'
nothing_left
