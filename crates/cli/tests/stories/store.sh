# Keys move from one store to another: the sealed file, the keyring, and the server.
leasehold init >/dev/null
for name in openai_pro openrouter; do
    echo "canary-$name" | leasehold set-key $name - --store sealed >/dev/null 2>&1
done
key() {
    leasehold run "$@" -- 'echo "$OPENAI_API_KEY"'
}

# First it is only shown.
exits 0 leasehold store migrate --from sealed --to keyring --dry-run
answers 'would copy'
exits 0 leasehold store list --store keyring --json
answers '"entries": []'

# Copied, and found to be the same.
exits 0 leasehold store migrate --from sealed --to keyring
answers 'copied'
exits 0 leasehold store migrate --from sealed --to keyring
answers 'same'
exits 0 key --provider openai_pro
answers_just canary-openai_pro

# Where the new place has another key, that stays, and the old one too.
echo canary-other | leasehold set-key openai_pro - --store keyring >/dev/null 2>&1
exits 2 leasehold store migrate --from sealed --to keyring --delete-source
answers 'differs'
exits 0 key --provider openai_pro --store sealed
answers_just canary-openai_pro
exits 0 leasehold store migrate --from sealed --to keyring --delete-source --overwrite --json
answers '"deleted": true'
exits 0 key --provider openai_pro
answers_just canary-openai_pro
exits 0 leasehold store list --store sealed --json
answers '"entries": []'

# To the server, and what to set so that plain pointers mean it.
exits 0 leasehold store migrate --from keyring --to vault://secret/ai --delete-source
answers 'vault://secret/ai#api.openai.com/pro_key'
says 'LEASEHOLD_STORE=vault://secret/ai'
export LEASEHOLD_STORE=vault://secret/ai
exits 0 key --provider openai_pro
answers_just canary-openai_pro
exits 0 leasehold providers --offline --json
answers '"has_secret": true'
exits 0 leasehold store list
answers 'openrouter'
echo canary-served | exits 0 leasehold set-key openai_pro -
exits 0 key --provider openai_pro
answers_just canary-served
exits 0 leasehold run -- 'echo "$OPENAI_API_KEY"'
answers_just canary-served
exits 0 leasehold test --offline openai_pro
exits 0 leasehold delete-key openrouter
says 'the earlier ones still hold the key'
exits 0 leasehold store delete vault://secret/ai#api.openai.com/pro_key
says 'openai_pro points there'
exits 125 key --provider openai_pro

# One without a login says so, and the others are told all the same.
(
    unset VAULT_ROLE_ID VAULT_SECRET_ID
    exits 3 leasehold store list
    exits 0 leasehold providers --offline
    answers local_ollama
    exits 3 leasehold set-key openai_pro - </dev/null
    exits 3 leasehold test --offline
    grep -q 'local_ollama  *ok' "$HOME/answered" || die 'the other one is hidden'
    exits 125 leasehold run --provider openai_pro -- true
    says 'no other login is configured'
    exits 125 leasehold run -- true
    says 'openai_pro: vault://secret/ai#api.openai.com/pro_key: there is no token'
)
unset LEASEHOLD_STORE

# The sealed file's own key may rest in the keyring. It is drawn there when the file is first written, and not again.
export LEASEHOLD_STORE=sealed LEASEHOLD_SEALED_FILE="$HOME/other" LEASEHOLD_SEALED_KEY=keyring://leasehold/sealed.key
exits 125 key --provider openai_pro
says 'has no entry'
echo canary-sealed | exits 0 leasehold set-key openai_pro -
exits 0 key --provider openai_pro
answers_just canary-sealed
[ "$(secret-tool lookup service leasehold username sealed.key | wc -c)" = 64 ] || die 'no key of 32 bytes'
drawn=$(secret-tool lookup service leasehold username sealed.key)
secret-tool clear service leasehold username sealed.key
exits 6 leasehold set-key openai_pro - </dev/null
says 'is locked: the keyring has no entry leasehold/sealed.key'
says 'hint: bring back what it was sealed with'
exits 125 key --provider openai_pro
says 'hint: bring back what it was sealed with'
exits 8 leasehold doctor --offline --only sealed-key
printf %s "$drawn" | secret-tool store --label=back service leasehold username sealed.key
exits 0 key --provider openai_pro

exits 2 leasehold store delete keyring://leasehold/sealed.key
says 'opens the sealed file, and is not deleted'
exits 0 key --provider openai_pro

# It gets another: a passphrase, a key file, and the one that is drawn by default.
echo 'correct horse' >passphrase
chmod 644 passphrase
exits 0 leasehold store rekey --to-passphrase-file passphrase
says "LEASEHOLD_PASSPHRASE_FILE=$PWD/passphrase"
exits 125 key --provider openai_pro
says 'is sealed with a passphrase'
unset LEASEHOLD_SEALED_KEY
export LEASEHOLD_PASSPHRASE_FILE="$PWD/passphrase"
exits 0 key --provider openai_pro
answers_just canary-sealed
exits 8 leasehold doctor --offline --only sealed-key
answers 'others can get at'
exits 0 leasehold doctor --offline --only sealed-key --fix
echo tiny >tiny
exits 2 leasehold store rekey --to-key "file://$PWD/tiny"
says 'its key is shorter than 16 bytes'
exits 0 key --provider openai_pro
exits 0 leasehold store rekey --to-key "file://$PWD/drawn"
says "$PWD/passphrase no longer opens it"
unset LEASEHOLD_PASSPHRASE_FILE
export LEASEHOLD_SEALED_KEY="file://$PWD/drawn"
exits 0 key --provider openai_pro
answers_just canary-sealed
mv drawn away
exits 125 key --provider openai_pro
says "is locked: its key $PWD/drawn is not there"
says 'hint: bring back what it was sealed with'
mv away drawn
exits 0 leasehold store rekey --to-drawn --json
answers '"status": "sealed anew"'
unset LEASEHOLD_SEALED_KEY
exits 0 key --provider openai_pro
answers_just canary-sealed
exits 2 leasehold store rekey
exits 5 env LEASEHOLD_SEALED_FILE="$HOME/none" leasehold store rekey --to-key "file://$PWD/none"
[ ! -e none ] || die 'a key was drawn for no file'
exits 2 leasehold store rekey --to-drawn
says 'has this key already'
exits 2 env LEASEHOLD_SEALED_KEY=keyring://agent_vault/sealed leasehold store list
says 'the service agent_vault is for the keys of providers'
unset LEASEHOLD_STORE LEASEHOLD_SEALED_FILE

# What cannot be.
exits 2 leasehold store migrate --from sealed --to sealed
says 'both stores are the sealed file'
exits 2 leasehold store migrate --from somewhere --to sealed
exits 2 leasehold store delete nonsense
exits 2 leasehold store delete env://HOME
says 'is read, and never written'
exits 0 leasehold store delete sealed://agent_vault/nothing
answers 'there is nothing'
nothing_left
