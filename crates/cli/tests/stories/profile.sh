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
