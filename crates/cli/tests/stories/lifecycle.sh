# The life of a key, stage by stage, on a machine without a keyring and without a server.
without_server
folder=$HOME/.config/ai/ai_agents
manifest=$folder/manifest.json

# 1. Bootstrap: a manifest with providers to begin with, for this user alone, and no secret in it.
exits 0 leasehold init
answers "wrote $manifest"
closed() {
    [ "$(stat -c %a "$folder") $(stat -c %a "$manifest")" = '700 600' ] || die 'others can read the manifest'
}
closed
# Also in a folder that somebody made before, as others do.
rm "$manifest"
chmod 755 "$folder"
exits 0 leasehold init
closed
exits 0 leasehold init
answers 'is there already'
exits 0 leasehold providers --offline
answers 'sealed://agent_vault/api.openai.com/pro_key'
answers 'missing'
exits 5 leasehold test --offline openai_pro
answers 'missing secret'
says 'leasehold set-key openai_pro'

# 2. The key is written: where it goes is said first, and it is neither shown nor in the manifest.
echo canary-one | exits 0 leasehold set-key openai_pro -
says 'goes to sealed://agent_vault/api.openai.com/pro_key'
answers_just stored
nowhere canary-one
# It is an argument at no time. Whoever gives it as one is told so, and nothing shows it once more.
unseen() {
    exits "$@"
    ! grep -q canary- "$HOME/answered" "$HOME/said" || die "it was shown: $*"
}
for style in '' --json '--log-format json'; do
    unseen 2 leasehold set-key openai_pro canary-typed $style
    says 'a key is never an argument'
    says "change this key, since it is in your shell's history"
done
unseen 2 leasehold set-key openai_pro --key canary-typed
unseen 2 leasehold set-key openai_pro --key=canary-typed
unseen 2 leasehold set-key openai_pro canary-typed canary-typed
unseen 2 leasehold delete-key openai_pro canary-typed
unseen 2 leasehold token revoke canary-typed
says 'a token is never an argument'
unseen 2 leasehold token lookup --accessor hvs.canary-0123456789abcdefgh
unseen 5 leasehold set-key sk-canary-0123456789abcdefgh -
unseen 5 leasehold test sk-canary-0123456789abcdefgh
unseen 2 leasehold sk-canary-0123456789abcdefgh
unseen 125 leasehold run --env canary-typed -- true
unseen 125 leasehold run --env KEY=canary-typed -- true
unseen 125 leasehold run --provider sk-canary-0123456789abcdefgh -- true
unseen 127 leasehold run sk-canary-0123456789abcdefgh
exits 0 leasehold run --provider openai_pro -- 'echo "$OPENAI_API_KEY"'
answers_just canary-one

# A name that is nearly right is answered with the one that was meant.
exits 5 leasehold set-key openai -
says 'did you mean openai_pro? The manifest has: local_ollama, openai_pro, openrouter'

# 3. What is known of it can be seen by everyone, the key by nobody.
exits 0 leasehold providers --offline --json
answers '"has_secret": true'
exits 0 leasehold test --offline openai_pro --json
answers '"ok": true'
exits 0 leasehold store list
answers 'api.openai.com/pro_key'
answers 'openai_pro'

# 4. A command gets it, in the variable that the manifest names, and nobody else does.
exits 0 leasehold run --provider openai_pro -- 'echo "$OPENAI_API_KEY"'
answers_just canary-one
[ -z "${OPENAI_API_KEY:-}" ] || die 'our own environment has it'

# 2 again: rotation. The next command gets the new one.
echo canary-two | exits 0 leasehold set-key openai_pro
says 'replaces the one at'
exits 0 leasehold run --provider openai_pro -- sh -c 'echo "$OPENAI_API_KEY"'
answers_just canary-two
nowhere canary-two

# 6. Deletion.
exits 0 leasehold delete-key --dry-run openai_pro
answers 'would delete sealed://agent_vault/api.openai.com/pro_key'
exits 0 leasehold delete-key openai_pro --json
answers '"deleted": true'
exits 0 leasehold delete-key openai_pro --json
answers '"deleted": false'
exits 125 leasehold run --provider openai_pro -- true
says 'has no entry agent_vault/api.openai.com/pro_key'
says 'leasehold set-key openai_pro'

# 7. Another pointer is another place: nothing is moved, and what is left at the old one is named.
echo canary-old | leasehold set-key openai_pro -
sed -i 's,openai.com/pro_key,openai.com/team_key,' "$manifest"
exits 125 leasehold run --provider openai_pro -- true
echo canary-new | exits 0 leasehold set-key openai_pro -
says 'goes to sealed://agent_vault/api.openai.com/team_key'
exits 0 leasehold run --provider openai_pro -- 'echo "$OPENAI_API_KEY"'
answers_just canary-new
exits 0 leasehold store list
answers 'no pointer'
exits 7 leasehold doctor --offline --only orphans
answers 'no pointer names sealed://agent_vault/api.openai.com/pro_key'
answers 'leasehold store delete'
exits 0 leasehold store delete sealed://agent_vault/api.openai.com/pro_key
answers_just 'deleted sealed://agent_vault/api.openai.com/pro_key'
exits 0 leasehold store list --json
! grep -q pro_key "$HOME/answered" || die 'it is still there'
exits 0 leasehold doctor --offline --only orphans

# The whole time no key was anywhere but in the sealed file.
for key in canary-one canary-two canary-old canary-new; do nowhere $key; done
