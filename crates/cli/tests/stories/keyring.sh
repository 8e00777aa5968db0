# The verbs on a desktop, with its keyring.
without_server
exits 0 leasehold init
echo canary-one | exits 0 leasehold set-key openai_pro -
says 'goes to keyring://agent_vault/api.openai.com/pro_key'
echo canary-two | exits 0 leasehold set-key openai_pro -
says 'replaces the one at keyring://agent_vault/api.openai.com/pro_key'
exits 0 leasehold providers --offline --json
answers '"place": "keyring://agent_vault/api.openai.com/pro_key"'
answers '"has_secret": true'
exits 0 leasehold run --provider openai_pro -- 'echo "$OPENAI_API_KEY"'
answers_just canary-two
exits 0 leasehold test --offline openai_pro
exits 0 leasehold store list
answers 'api.openai.com/pro_key'

# What another program wrote is found, and the other way round.
printf canary-three | secret-tool store --label=other service agent_vault username api.openrouter.ai/default
exits 0 leasehold run --provider openrouter -- 'echo "$OPENROUTER_API_KEY"'
answers_just canary-three
[ "$(secret-tool lookup service agent_vault username api.openai.com/pro_key)" = canary-two ] || die 'not found by others'

# A key of a .env file goes there too.
echo 'OPENAI_API_KEY=canary-four' >.env
exits 0 leasehold import --env-file .env --yes --delete-file
[ ! -e .env ] || die 'the file is still there'
exits 0 leasehold run --provider openai_pro -- 'echo "$OPENAI_API_KEY"'
answers_just canary-four

exits 0 leasehold delete-key openai_pro
exits 125 leasehold run --provider openai_pro -- true
says 'the keyring has no entry agent_vault/api.openai.com/pro_key'
[ -z "$(secret-tool lookup service agent_vault username api.openai.com/pro_key)" ] || die 'it is still there'

# Where nothing of it may be used, the sealed file can be asked for.
echo canary-five | exits 0 leasehold set-key openai_pro - --store sealed
says 'goes to sealed://'
exits 0 leasehold run --store sealed --provider openai_pro -- 'echo "$OPENAI_API_KEY"'
answers_just canary-five

# A running command gets a new key, whoever writes it.
echo canary-old | exits 0 leasehold set-key openai_pro -
leasehold run --provider openai_pro --on-change restart --refresh-interval 1s -- '
    echo "$OPENAI_API_KEY" >>values; until [ -e finish ]; do sleep 0.05; done' &
wait_for values canary-old
printf canary-new | secret-tool store --label=other service agent_vault username api.openai.com/pro_key \
    application 'Python keyring library'
wait_for values canary-new
echo canary-newer | leasehold set-key openai_pro - 2>/dev/null
wait_for values canary-newer
touch finish
wait $!

# Without the desktop, as over ssh, nothing goes where the keys are not; and it is said why one is missing.
away() {
    DBUS_SESSION_BUS_ADDRESS=unix:path=/nowhere "$@"
}
bar='keys were put in the keyring so far, and there is no keyring: no D-Bus session answers'
leasehold store delete sealed://agent_vault/api.openai.com/pro_key >/dev/null
echo canary-lost | exits 6 away leasehold set-key openai_pro -
says "$bar"
says '--store sealed'
exits 6 away leasehold delete-key openai_pro
exits 5 away leasehold test --offline openai_pro
says "openai_pro has no key; $bar"
echo 'OPENAI_API_KEY=canary-lost' >.env
exits 6 away leasehold import --env-file .env --yes
exits 125 away leasehold run --provider openai_pro -- true
says "hint: $bar"
exits 125 away leasehold run -- true
says 'openai_pro: its key is not set in the sealed file, and the keyring is away'
says "hint: openai_pro: $bar"
cat >two.json <<'END'
{"providers": {"one": {"priority": 1, "vault_key": "api.openai.com/pro_key", "env_var": "KEY"},
               "two": {"priority": 2, "vault_key": "env://HOME", "env_var": "KEY"}}}
END
exits 0 away leasehold run --manifest two.json -- true
says 'the provider is two'
says 'not one: its key is not set in the sealed file, and the keyring is away'
exits 7 away leasehold doctor --offline --only store
answers "plain pointers mean the sealed file; $bar"
exits 8 away leasehold doctor --offline --only secret:openai_pro
answers "hint: $bar"
exits 0 leasehold run --provider openai_pro -- 'echo "$OPENAI_API_KEY"'
answers_just canary-newer
rm .env
nowhere canary-lost

# On purpose it goes there all the same, and that is not remembered.
echo canary-here | exits 0 away leasehold set-key openai_pro - --store sealed
exits 0 away leasehold run --provider openai_pro -- 'echo "$OPENAI_API_KEY"'
answers_just canary-here
says "warning: $bar"
says 'the key of openai_pro is from the sealed file, and may be an old one'
exits 0 away leasehold run --store sealed --provider openai_pro -- true
! grep -q 'old one' "$HOME/said" || die 'warned of what was asked for'
exits 0 leasehold run --provider openai_pro -- true
! grep -q 'old one' "$HOME/said" || die 'warned of a keyring that is there'
exits 6 away leasehold delete-key openai_pro

# The other way round: the desktop comes after the keys.
leasehold delete-key openai_pro >/dev/null
exits 125 leasehold run --provider openai_pro -- true
says 'hint: the sealed file has it: leasehold store migrate --from sealed --to keyring --delete-source'
exits 125 leasehold run --strict-priority -- true
says 'hint: openai_pro: the sealed file has it: leasehold store migrate --from sealed --to keyring --delete-source'

# What was left in the keyring is told, also where the sealed file is asked for.
printf canary-orphan | secret-tool store --label=other service agent_vault username api.openai.com/former_key
exits 7 leasehold doctor --offline --only orphans --store sealed
answers "no pointer names keyring://agent_vault/api.openai.com/former_key"

# Keys that are moved into the keyring are in the keyring from then on.
rm "$HOME/.local/state/leasehold/store"
exits 0 leasehold store migrate --from sealed --to keyring
echo canary-lost | exits 6 away leasehold set-key openai_pro -
says 'keys were put in the keyring so far'

# Locked: it is said so by every verb, and nothing goes elsewhere.
echo canary-kept | leasehold set-key openai_pro - 2>/dev/null
lock_keyring
echo 'OPENAI_API_KEY=canary-five' >.env
echo canary-five | exits 6 leasehold set-key openai_pro -
says 'is locked'
exits 6 leasehold delete-key openai_pro
says 'is locked'
exits 6 leasehold import --env-file .env --yes
says 'is locked'
exits 6 leasehold store migrate --from keyring --to sealed
says 'is locked'
exits 6 leasehold store migrate --from sealed --to keyring
says 'is locked'
exits 6 leasehold test --offline openai_pro
exits 125 leasehold run --provider openai_pro -- true
says 'is locked'
exits 8 leasehold doctor --offline --only keyring,secret:openai_pro
answers 'is locked'
exits 0 leasehold providers --offline
answers locked
exits 0 leasehold store list
answers 'api.openai.com/pro_key'
