# The verbs on the kernel's keyring, where no D-Bus session runs and it was asked for.
without_server
export LEASEHOLD_STORE=kernel
# Other tests of this user have the same keyring.
entry="story-$$/key"
manifest="$HOME/.config/ai/ai_agents/manifest.json"
exits 0 leasehold init
sed "s#api.openai.com/pro_key#$entry#" "$manifest" >changed
cat changed >"$manifest"
trap 'leasehold store delete "kernel://agent_vault/$entry" >/dev/null 2>&1 || true' EXIT

exits 0 leasehold doctor --offline --only store
answers "the kernel's keyring"
exits 5 leasehold test --offline openai_pro
echo canary-one | exits 0 leasehold set-key openai_pro -
says "goes to kernel://agent_vault/$entry"
says "is lost when this machine stops"
echo canary-two | exits 0 leasehold set-key openai_pro -
says "replaces the one at kernel://agent_vault/$entry"
exits 0 leasehold providers --offline --json
answers "\"place\": \"kernel://agent_vault/$entry\""
answers '"has_secret": true'
exits 0 leasehold test --offline openai_pro
exits 0 leasehold doctor --offline --only secret:openai_pro
exits 0 leasehold store list
answers "$entry"
says 'is lost when this machine stops'
exits 0 leasehold store migrate --from sealed --to kernel --dry-run
says "warning: what is in the kernel's keyring is lost when this machine stops"

# Another process of the same user has it, also in a session of its own.
exits 0 leasehold run --provider openai_pro -- 'echo "$OPENAI_API_KEY"'
answers_just canary-two
exits 0 setsid -w leasehold get "kernel://agent_vault/$entry"
answers_just canary-two

# A key of a .env file goes there too, and one that changes reaches a command.
echo 'OPENAI_API_KEY=canary-three' >.env
exits 0 leasehold import --env-file .env --yes --delete-file
cat >app.sh <<'END'
trap 'echo "changed: $(cat "$LEASEHOLD_FILES/key")" >told; exit 0' USR1
: >started
for second in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do sleep 1 & wait $!; done
END
leasehold run --file "key=kernel://agent_vault/$entry" --refresh-interval 1s --on-change signal:USR1 -- sh app.sh &
wait_for started
echo canary-four | exits 0 leasehold set-key openai_pro -
wait_for told 'changed: canary-four'
wait $!

# Nothing of it was ever written to a disk.
nowhere canary-one
exits 0 leasehold delete-key openai_pro
exits 125 leasehold run --provider openai_pro -- true
exits 5 leasehold get "kernel://agent_vault/$entry"
