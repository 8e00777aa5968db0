# From a bare machine to one on which everything is as it should be, by what the doctor says.
without_server
exits 7 leasehold doctor --offline
answers 'leasehold init'
exits 8 leasehold doctor --offline --fix
answers 'mended: wrote'
answers 'set it: leasehold set-key openai_pro'
for name in openai_pro openrouter; do
    echo "canary-$name" | leasehold set-key $name - 2>/dev/null
done
exits 0 leasehold doctor --offline
answers 'whoever can read'

# Others can read the manifest: it is told, and mended on demand.
chmod 644 "$HOME/.config/ai/ai_agents/manifest.json"
exits 7 leasehold doctor --offline
answers 'hint: mend it: leasehold doctor --fix'
exits 0 leasehold doctor --offline --fix
answers 'mode 0644 is now 0600'

# A key that nothing uses any more, and one that was left in a file.
sed -i 's,api.openai.com/pro_key,api.openai.com/new_key,' "$HOME/.config/ai/ai_agents/manifest.json"
echo 'OPENAI_API_KEY=canary-openai_pro' >.env
exits 8 leasehold doctor --offline
answers "leasehold store delete 'sealed://agent_vault/api.openai.com/pro_key'"
answers '.env holds OPENAI_API_KEY'
leasehold store delete sealed://agent_vault/api.openai.com/pro_key >/dev/null
rm .env
echo canary-new | leasehold set-key openai_pro - 2>/dev/null
exits 0 leasehold doctor --offline --json
answers '"failure": 0'
! grep -q canary "$HOME/answered" "$HOME/said" || die 'a key was told'

# A server, where there is one.
export VAULT_ADDR=http://127.0.0.1:1
exits 8 leasehold doctor --only server,login
answers 'connection refused'
exits 2 leasehold doctor --only nonsense
