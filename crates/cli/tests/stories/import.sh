# The keys of a .env file go to the stores of their providers.
without_server
leasehold init >/dev/null
cat >.env <<'ENV'
# What the project needs.
export OPENAI_API_KEY="canary-openai"   # of the team
OPENROUTER_API_KEY='canary-router$1'
STRIPE_SECRET_KEY=canary-stripe
DEBUG=1
GREETING=hello $USER
ENV

# First it is only shown; no value is.
exits 0 leasehold import --env-file .env
answers 'OPENAI_API_KEY      openai_pro  sealed://agent_vault/api.openai.com/pro_key'
answers 'no provider'
says 'STRIPE_SECRET_KEY: to import it, give the manifest a provider'
says 'nothing was done'
! grep -q canary- "$HOME/answered" "$HOME/said" || die 'a value was shown'
exits 125 leasehold run --provider openai_pro -- true

# The file is not deleted where something would be lost with it, and then nothing else is done either.
exits 2 leasehold import --env-file .env --yes --delete-file
says 'it also holds STRIPE_SECRET_KEY, DEBUG, GREETING'
exits 125 leasehold run --provider openai_pro -- true

# Then it is done.
exits 0 leasehold import --env-file .env --yes
says 'stored OPENAI_API_KEY at sealed://agent_vault/api.openai.com/pro_key'
says '.env still holds keys that are in a store: lines 2, 3'
exits 0 leasehold run --provider openai_pro --provider openrouter -- 'echo "$OPENAI_API_KEY $OPENROUTER_API_KEY"'
answers_just 'canary-openai canary-router$1'

# Again: the same is the same, another value replaces.
sed -i s/canary-openai/canary-newer/ .env
exits 0 leasehold import --env-file .env --yes --json
answers '"outcome": "replace"'
answers '"outcome": "same"'
! grep -q canary- "$HOME/answered" "$HOME/said" || die 'a value was shown'
exits 0 leasehold run --provider openai_pro -- 'echo "$OPENAI_API_KEY"'
answers_just canary-newer

# Somebody at a terminal is asked.
sed -i s/canary-newer/canary-typed/ .env
echo n | exits 0 script -qec 'leasehold import --env-file .env' /dev/null
grep -q 'Store this key?' "$HOME/answered" || die 'nobody was asked'
exits 0 leasehold run --provider openai_pro -- 'echo "$OPENAI_API_KEY"'
answers_just canary-newer
echo y | exits 0 script -qec 'leasehold import --env-file .env' /dev/null
exits 0 leasehold run --provider openai_pro -- 'echo "$OPENAI_API_KEY"'
answers_just canary-typed

# A file with nothing else in it goes, but no link, and none that git keeps.
printf 'OPENAI_API_KEY=canary-last\nEMPTY=\n' >keys.env
ln -s keys.env link.env
exits 2 leasehold import --env-file link.env --yes --delete-file
says 'it is a link'
if command -v git >/dev/null; then
    git init --quiet . 2>/dev/null
    git add keys.env
    exits 2 leasehold import --env-file keys.env --yes --delete-file
    says 'git keeps it'
    git rm --quiet --cached keys.env
fi
exits 0 leasehold import --env-file keys.env --yes --delete-file
says 'deleted keys.env'
[ ! -e keys.env ] || die 'the file is still there'
exits 0 leasehold run --provider openai_pro -- 'echo "$OPENAI_API_KEY"'
answers_just canary-last
nowhere canary-last

# What programs read in different ways is not taken for a key.
printf 'OPENAI_API_KEY=canary-$HOME\nOPENROUTER_API_KEY=canary-clear\n' >doubt.env
exits 0 leasehold import --env-file doubt.env
says 'nothing was done; --yes does it. not taken: OPENAI_API_KEY (unclear: programs differ on'
exits 2 leasehold import --env-file doubt.env --yes
answers 'unclear'
says 'stored OPENROUTER_API_KEY'
says 'not taken: OPENAI_API_KEY (unclear'
says 'leasehold set-key PROVIDER'
exits 0 leasehold run --provider openai_pro --provider openrouter -- 'echo "$OPENAI_API_KEY $OPENROUTER_API_KEY"'
answers_just 'canary-last canary-clear'
printf 'OPENAI_API_KEY=canary-a\nOPENAI_API_KEY=canary-b\n' >twice.env
exits 2 leasehold import --env-file twice.env --yes --json
answers '"applied": false'
answers '"outcome": "unclear"'
says 'it stands there twice'
! grep -q canary- "$HOME/answered" "$HOME/said" || die 'a value was shown'

# Nothing to take is no success, where somebody expects one; to have taken it before is one.
echo DEBUG=1 >strange.env
exits 0 leasehold import --env-file strange.env
says 'nothing in strange.env belongs to a provider'
exits 2 leasehold import --env-file strange.env --yes
says 'nothing in strange.env belongs to a provider'
echo OPENAI_API_KEY=canary-last | exits 0 leasehold import --env-file - --yes
answers 'same'

# From a pipe, which is no file.
echo OPENAI_API_KEY=canary-piped | exits 0 leasehold import --env-file - --yes
answers 'replace'
! grep -q 'still holds' "$HOME/said" || die 'a pipe holds nothing'
exits 0 leasehold run --provider openai_pro -- 'echo "$OPENAI_API_KEY"'
answers_just canary-piped
echo nonsense | exits 2 leasehold import --env-file - --yes
says 'standard input:1: neither a comment nor NAME=VALUE'
echo | exits 2 leasehold import --env-file - --yes --delete-file
says 'standard input cannot be deleted'

# A passphrase from the same pipe is its first line, as with set-key.
(
    export LEASEHOLD_STORE=sealed LEASEHOLD_SEALED_FILE="$HOME/other" LEASEHOLD_PASSPHRASE_FILE=-
    printf 'correct horse\ncanary-first' | exits 0 leasehold set-key openai_pro -
    printf 'correct horse\nOPENAI_API_KEY=canary-second\n' | exits 0 leasehold import --env-file - --yes
    answers 'replace'
    echo OPENAI_API_KEY=canary-third | exits 2 leasehold import --env-file - --yes
    says 'nothing in standard input belongs to a provider'
    exits 3 leasehold import --env-file - --yes </dev/null
)

# Nor is it guessed which of two providers is meant.
cp "$HOME/.config/ai/ai_agents/manifest.json" kept
sed -i 's/OPENROUTER_API_KEY/OPENAI_API_KEY/' "$HOME/.config/ai/ai_agents/manifest.json"
echo OPENAI_API_KEY=canary-whose >two.env
exits 2 leasehold import --env-file two.env --yes --delete-file
answers 'several providers'
cp kept "$HOME/.config/ai/ai_agents/manifest.json"

# What is no such file is told by its lines, not by their text.
printf 'OPENAI_API_KEY=canary\ncanary-line\n' >broken.env
exits 2 leasehold import --env-file broken.env --yes
says 'broken.env:2: neither a comment nor NAME=VALUE'
! grep -q canary-line "$HOME/said" || die 'the line was shown'
exits 5 leasehold import --env-file none.env
head -c 3000000 /dev/zero | tr '\0' a >large.env
exits 2 leasehold import --env-file large.env
