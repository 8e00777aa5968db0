# Whether providers accept their keys, asked of the providers.
without_server
mkdir -p "$HOME/.config/ai/ai_agents"
cat >"$HOME/.config/ai/ai_agents/manifest.json" <<JSON
{ "providers": {
    "openai":     { "priority": 1, "vault_key": "openai", "env_var": "OPENAI_API_KEY", "endpoint": "$OPENAI" },
    "anthropic":  { "priority": 2, "vault_key": "anthropic", "env_var": "ANTHROPIC_API_KEY", "endpoint": "$ANTHROPIC" },
    "openrouter": { "priority": 3, "vault_key": "openrouter", "env_var": "OPENROUTER_API_KEY", "endpoint": "$OPENROUTER" },
    "ollama":     { "priority": 4, "type": "local", "env_var": "OLLAMA_HOST", "endpoint": "$OLLAMA" },
    "elsewhere":  { "priority": 5, "vault_key": "elsewhere", "env_var": "OPENAI_API_KEY", "endpoint": "$REDIRECTING" },
    "away":       { "priority": 6, "vault_key": "away", "env_var": "OPENAI_API_KEY", "endpoint": "http://127.0.0.1:1" },
    "unknown":    { "priority": 7, "vault_key": "unknown", "env_var": "SOME_KEY" }
} }
JSON
set_key() {
    echo "$2" | leasehold set-key "$1" - >/dev/null 2>&1
}
for name in openai anthropic openrouter elsewhere away unknown; do set_key $name sk-good; done

# Accepted, with or without a key.
exits 0 leasehold test openai ollama
answers 'ok'
answers 'accepted'
exits 0 leasehold test anthropic --json
answers '"verdict": "restricted"'
answers '"ok": true'

# One provider is one object.
exits 0 leasehold test openai --json
tr -d ' \n' <"$HOME/answered" >one
grep -qF '{"provider":"openai","ok":true,"has_secret":true,"endpoint_reachable":true,"failures":[],"verdict":"accepted"' one ||
    die "another shape: $(cat one)"

# Rejected: the key is shown by nobody, not even by who rejects it.
set_key openai sk-canary-wrong
exits 4 leasehold test openai
answers 'key rejected'
! grep -q sk-canary "$HOME/answered" "$HOME/said" || die 'the key was told'
# The policy remembers that, until there is another key.
exits 0 leasehold run -- true
says 'the provider is anthropic'
says 'not openai:'
set_key openai sk-good
exits 0 leasehold run -- true
says 'the provider is openai'

# So it does of a key that is written elsewhere; a new one counts at once, and so does another endpoint.
manifest=$HOME/.config/ai/ai_agents/manifest.json
cp "$manifest" kept
sed -i 's,"vault_key": "openai","vault_key": "env://OPENAI_KEY",' "$manifest"
export OPENAI_KEY=sk-canary-wrong
exits 4 leasehold test openai
exits 0 leasehold run -- true
says 'not openai: its key was rejected'
exits 0 leasehold providers --offline
answers 'rejected, '
OPENAI_KEY=sk-good exits 0 leasehold run -- true
says 'the provider is openai'
sed -i "s,$OPENAI,$REDIRECTING," "$manifest"
exits 0 leasehold run -- true
says 'the provider is openai'
exits 0 leasehold providers --offline
! grep -q 'rejected, ' "$HOME/answered" || die 'the old mark is shown of another endpoint'
nowhere sk-canary-wrong
cp kept "$manifest"

# No money; a provider that sends the key somewhere else; nobody there; one that we do not know.
exits 6 leasehold test openrouter --json
answers '"key exhausted"'
exits 6 leasehold test elsewhere --json
answers '"verdict": "unknown"'
answers 'redirects'
exits 6 leasehold test away --json
answers '"endpoint unreachable"'
answers '"verdict": null'
exits 0 leasehold test unknown
answers 'neither its variable nor its pointer says which'

# All of them: each is told, and the exit code is that of the worst.
set_key openai sk-canary-wrong
leasehold delete-key unknown >/dev/null
exits 4 leasehold test --json
answers '"results"'
[ "$(grep -c '"provider"' "$HOME/answered")" = 7 ] || die 'not all were tested'
exits 5 leasehold test openrouter unknown away

# Nobody is asked.
exits 0 leasehold test --offline openai away --json
! grep -qE 'accepted|rejected|unreachable"' "$HOME/answered" || die 'somebody was asked'

# What was said is seen later.
exits 0 leasehold providers --offline
answers 'rejected, '
answers 'exhausted, '
