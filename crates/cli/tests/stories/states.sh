# Each state of a provider's key, and each way in which it can fail: exit code, message, and kind.
without_server
leasehold init >/dev/null
manifest=$HOME/.config/ai/ai_agents/manifest.json

# fails CODE KIND TEXT VERB..: both as text and as JSON. Standard input has a key.
fails() {
    code=$1 kind=$2 text=$3
    shift 3
    echo canary-key | exits "$code" leasehold "$@"
    says "$text"
    echo canary-key | exits "$code" leasehold --log-format json "$@"
    says "\"kind\":\"$kind\""
    ! grep -q canary-key "$HOME/said" "$HOME/answered" || die 'the key was told'
}

# Not configurable: without a pointer a key can neither be set nor deleted, and nothing is injected.
fails 2 invalid 'Provider has no vault_key: local_ollama' set-key local_ollama -
fails 2 invalid 'Provider has no vault_key: local_ollama' delete-key local_ollama
env | sort >before
exits 0 leasehold run --provider local_ollama -- env
grep -vE '^(_|LEASEHOLD_[A-Z]*)=' "$HOME/answered" | sort >after
grep -v '^_=' before | diff - after >&2 || die 'something was injected'

# Configured, and no key: it fails where it is needed.
fails 125 not_found 'agent_vault/api.openai.com/pro_key' run --provider openai_pro -- true
exits 5 leasehold test --offline openai_pro --json
answers '"has_secret": false'
answers '"missing secret"'
exits 0 leasehold delete-key openai_pro

# Present, rotated, deleted.
for key in canary-first canary-second; do
    echo $key | exits 0 leasehold set-key openai_pro -
    exits 0 leasehold run --provider openai_pro -- 'echo "$OPENAI_API_KEY"'
    answers_just $key
done
exits 0 leasehold delete-key openai_pro
fails 125 not_found 'agent_vault/api.openai.com/pro_key' run --provider openai_pro -- true

# A key that is present, and a provider that names no variable: nothing is injected.
cp "$manifest" kept
sed -i 's/"env_var": "OPENAI_API_KEY"/"env_var": null/' "$manifest"
echo canary-third | exits 0 leasehold set-key openai_pro -
exits 0 leasehold run --provider openai_pro -- env
! grep -q canary-third "$HOME/answered" || die 'the key was injected'
cp kept "$manifest"

# No such provider.
fails 5 not_found 'Provider not found: nobody' set-key nobody -
fails 5 not_found 'Provider not found: nobody' delete-key nobody
fails 5 not_found 'Provider not found: nobody' test nobody
fails 125 not_found 'Provider not found: nobody' run --provider nobody -- true
says 'local_ollama, openai_pro, openrouter'

# A key that is none.
for key in '' ' ' '\t\n'; do
    printf "$key" | exits 2 leasehold set-key openai_pro -
    says 'nothing was stored'
done
exits 0 leasehold run --provider openai_pro -- 'echo "$OPENAI_API_KEY"'
answers_just canary-third

# Somebody else wrote a blank: that is no key, and it is told what it is.
sed -i 's,"api.openai.com/pro_key","env://BLANK",' "$manifest"
for blank in '' ' ' '
'; do
    export BLANK="$blank"
    fails 125 invalid 'env://BLANK: the key is' run --provider openai_pro -- true
    exits 0 leasehold providers --offline
    answers ' blank '
    exits 5 leasehold test --offline openai_pro --json
    answers '"has_secret": false'
    exits 8 leasehold doctor --offline --only secret:openai_pro
    answers 'is blank'
    answers 'put it into the variable BLANK'
done
unset BLANK

# One that comes while a command runs does not take the place of the key that it has.
sed -i "s,env://BLANK,file://$PWD/key," "$manifest"
put() {
    printf '%s' "$1" >key.new
    mv key.new key
}
put canary-fourth
leasehold run --provider openai_pro --on-change restart --refresh-interval 1s -- '
    echo "[$OPENAI_API_KEY]" >>values; until [ -e finish ]; do sleep 0.05; done' 2>told &
wait_for values '[canary-fourth]'
put ' '
wait_for told '/key: the key is blank; the command goes on with what it has'
put canary-fifth
wait_for values '[canary-fifth]'
touch finish
wait $!
[ "$(grep -c . values)" = 2 ] || die "restarted wrongly: $(cat values)"
cp kept "$manifest"

# The keyring fails: there is none.
export LEASEHOLD_STORE=keyring
fails 6 unreachable 'no D-Bus session answers' set-key openai_pro -
fails 6 unreachable 'no D-Bus session answers' delete-key openai_pro
fails 125 unreachable 'no D-Bus session answers' run --provider openai_pro -- true
exits 6 leasehold test --offline openai_pro --json
answers '"store_failure": "unreachable"'
exits 0 leasehold providers --offline
answers unknown
says 'no D-Bus session answers'
# One whose key is elsewhere is not hidden by that.
sed -i 's,"api.openrouter.ai/default","env://HOME",' "$manifest"
exits 6 leasehold test --offline
grep -q 'openrouter  *ok' "$HOME/answered" || die 'the other one is hidden'
unset LEASEHOLD_STORE
cp kept "$manifest"

# The manifest is none, has faults, or is not there: all verbs say so in one way.
each_verb() {
    fails "$@" providers
    fails "$@" set-key openai_pro -
    fails "$@" delete-key openai_pro
    fails "$@" test
    shift
    fails 125 "$@" run --provider openai_pro -- true
}
printf '{ "providers":\n  nonsense }' >"$manifest"
each_verb 2 invalid "$manifest:2:"
printf '{ "providers": { "a": { "priority": -1,\n "env_var": "A-B" } } }' >"$manifest"
each_verb 2 invalid "$manifest:2:13: \`env_var\` is no name of a variable"
says 'priority'
printf '{ "providers": { "a": { "vault_key": "sk-proj-canary-key0123456789" } } }' >"$manifest"
each_verb 2 invalid 'looks like a key'
rm "$manifest"
each_verb 5 not_found "$manifest"
says 'leasehold init'
