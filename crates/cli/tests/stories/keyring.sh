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
